"""Progress as data: stages report events to a callable; who shows them is decided elsewhere."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field


@dataclass(frozen=True)
class ProgressEvent:
    """How far a stage is.

    `done` of `total` counts in `unit`; `total` is None where it is unknown. `values` are the
    latest figures worth showing (losses, frames/s), `message` one line for people.
    """

    stage: str
    done: float = 0
    total: float | None = None
    unit: str = ""
    message: str = ""
    values: dict[str, float] = field(default_factory=dict)

    def to_json(self) -> str:
        """The event as one line of JSON, marked so that it can be told from a log line."""
        return json.dumps({"event": "progress", **asdict(self)}, sort_keys=True)

    @classmethod
    def from_line(cls, line: str) -> "ProgressEvent | None":
        """The event that `to_json` wrote as this line, or None where the line is anything else."""
        if not line.startswith("{"):
            return None
        try:
            document = json.loads(line)
        except json.JSONDecodeError:
            return None
        if not isinstance(document, dict) or document.pop("event", None) != "progress":
            return None
        return cls(**document)


Progress = Callable[[ProgressEvent], None]


def silent(event: ProgressEvent) -> None:
    """Show nothing."""
