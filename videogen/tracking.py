"""Runs in MLflow: parameters, metrics by clips seen, artifacts, status.

Owns the one way in which videogen talks to MLflow's tracking side. Every call names its run, so
nothing depends on MLflow's process-wide state; every foreign error becomes a `RegistryError`.
"""

import re
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Literal, Protocol

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, Run, RunTag
from mlflow.exceptions import MlflowException

from videogen.errors import RegistryError
from videogen.mlflow_connection import connect, mlflow_errors, single_writer, sqlite_path
from videogen.tracking_spec import TrackerSpec

__all__ = [
    "RUN_TAG",
    "MlflowTracker",
    "RunStatus",
    "Tracker",
    "TrackerSpec",
    "flatten",
    "open_tracker",
    "start_run",
]

RUN_TAG = "videogen.run_id"
RunStatus = Literal["FINISHED", "FAILED", "KILLED"]

_MAX_VALUE_CHARS = 5_000  # MLflow takes 6,000 for a parameter, 8,000 for a tag; older ones 5,000
_MAX_KEY_CHARS = 250
_BATCH = 100
_UNFIT_FOR_KEYS = re.compile(r"[^\w\-. :/]")


class Tracker(Protocol):
    """Where a stage tells what it did. Every method raises `RegistryError`."""

    @property
    def run_id(self) -> str:
        """The tracking system's id of the run."""

    @property
    def spec(self) -> TrackerSpec:
        """What opens this tracker again, in another process."""

    def log_metrics(self, values: Mapping[str, float], step: int) -> None:
        """Record values at `step` (clips seen); a (name, step) that is known already is left."""

    def log_params(self, params: Mapping[str, object]) -> None:
        """Record parameters, nested ones as `a.b`; the first value of a name stays."""

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Set tags, replacing earlier values."""

    def log_artifact(self, path: Path, artifact_dir: str = "") -> None:
        """Upload a file into a directory of the run's artifacts, replacing one of that name."""

    def finish(self, status: RunStatus) -> None:
        """Close the run with this status; `start_run` opens it again."""


class MlflowTracker:
    """One MLflow run, whichever process started it."""

    def __init__(self, spec: TrackerSpec, client: MlflowClient) -> None:
        self._spec = spec
        self._client = client
        self._logged_steps: dict[str, set[int]] = {}

    @property
    def run_id(self) -> str:
        """MLflow's id of the run."""
        return self._spec.run_id

    @property
    def spec(self) -> TrackerSpec:
        """What opens this tracker again, in another process."""
        return self._spec

    def log_metrics(self, values: Mapping[str, float], step: int) -> None:
        """One request for all values whose (name, step) is new to the run."""
        with self._errors("logging metrics"):
            now_ms = int(time.time() * 1000)
            new = [
                Metric(_key(name), float(value), now_ms, step)
                for name, value in values.items()
                if step not in self._steps_of(_key(name))
            ]
            if new:
                self._client.log_batch(self.run_id, metrics=new)
            for metric in new:
                self._logged_steps[metric.key].add(step)

    def log_params(self, params: Mapping[str, object]) -> None:
        """Log new ones; a changed one (MLflow's are fixed) goes to a tag `changed.NAME`."""
        flat = {_key(name): str(value)[:_MAX_VALUE_CHARS] for name, value in flatten(params)}
        with self._errors("logging parameters"):
            known = self._client.get_run(self.run_id).data.params
            new = [Param(name, value) for name, value in flat.items() if name not in known]
            for start in range(0, len(new), _BATCH):
                self._client.log_batch(self.run_id, params=new[start : start + _BATCH])
        self.set_tags(
            {
                f"changed.{name}": value
                for name, value in flat.items()
                if known.get(name, value) != value
            }
        )

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Set them in one request per hundred."""
        all_tags = [RunTag(_key(name), value[:_MAX_VALUE_CHARS]) for name, value in tags.items()]
        with self._errors("setting tags"):
            for start in range(0, len(all_tags), _BATCH):
                self._client.log_batch(self.run_id, tags=all_tags[start : start + _BATCH])

    def log_artifact(self, path: Path, artifact_dir: str = "") -> None:
        """Upload one file; a file of the same name is replaced."""
        with self._errors(f"uploading {path.name}"):
            self._client.log_artifact(self.run_id, str(path), artifact_dir or None)

    def finish(self, status: RunStatus) -> None:
        """Close the run."""
        with self._errors("closing the run"):
            self._client.set_terminated(self.run_id, status)

    def _steps_of(self, name: str) -> set[int]:
        if name not in self._logged_steps:
            history = self._client.get_metric_history(self.run_id, name)
            self._logged_steps[name] = {metric.step for metric in history}
        return self._logged_steps[name]

    def _errors(self, doing: str) -> AbstractContextManager[None]:
        return mlflow_errors(self._spec.tracking_uri, doing)


def open_tracker(spec: TrackerSpec) -> Tracker:
    """The tracker of a run that `start_run` made. Raises `RegistryError`."""
    return MlflowTracker(spec, connect(spec.tracking_uri))


def start_run(
    tracking_uri: str, experiment: str, artifact_location: str | None, videogen_run_id: str
) -> TrackerSpec:
    """The MLflow run of a videogen run: found by its tag `videogen.run_id`, else created.

    A run that was closed is opened again. The experiment is created with `artifact_location`
    (None: the server's own choice, or `artifacts` beside the database of a `sqlite:` URI); one
    that exists keeps the location that it has. Raises `RegistryError`.
    """
    client = connect(tracking_uri)
    if artifact_location is None and (database := sqlite_path(tracking_uri)):
        artifact_location = (database.parent / "artifacts").as_uri()
    with single_writer(tracking_uri), mlflow_errors(tracking_uri, "starting a run"):
        experiment_id = _experiment_id(client, experiment, artifact_location)
        run = _find_run(client, experiment_id, videogen_run_id)
        if run is None:
            run = client.create_run(
                experiment_id, run_name=videogen_run_id, tags={RUN_TAG: videogen_run_id}
            )
        elif run.info.status != "RUNNING":
            client.update_run(run.info.run_id, status="RUNNING")
    return TrackerSpec(tracking_uri, experiment, artifact_location, run.info.run_id)


def flatten(params: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, object]]:
    """Pairs of dotted name and value, in the order given; lists stay values."""
    for name, value in params.items():
        if isinstance(value, Mapping):
            yield from flatten(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _key(name: str) -> str:
    return _UNFIT_FOR_KEYS.sub("_", name)[:_MAX_KEY_CHARS]


def _experiment_id(client: MlflowClient, name: str, artifact_location: str | None) -> str:
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        try:
            return client.create_experiment(name, artifact_location=artifact_location)
        except MlflowException as error:
            # Another process may have made it between the two calls.
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            experiment = client.get_experiment_by_name(name)
    if experiment is None or experiment.lifecycle_stage != "active":
        raise RegistryError(
            f"MLflow experiment {name!r} is deleted; restore it (`mlflow experiments restore`) or "
            "choose another name"
        )
    return str(experiment.experiment_id)


def _find_run(client: MlflowClient, experiment_id: str, videogen_run_id: str) -> Run | None:
    found = client.search_runs(
        [experiment_id],
        filter_string=f"tags.`{RUN_TAG}` = '{videogen_run_id}'",
        order_by=["attributes.start_time ASC"],
        max_results=1,
    )
    return found[0] if found else None
