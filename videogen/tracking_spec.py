"""What names a run in MLflow; free of MLflow, so that handing it on costs no import of it."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class TrackerSpec:
    """All that another process needs to write to the same MLflow run; no secrets but the URI's."""

    tracking_uri: str = field(repr=False)
    experiment: str
    artifact_location: str | None
    run_id: str
    """MLflow's id of the run."""
