"""What Prefect's pages show of a stage while it runs: log lines and a progress artifact."""

from logging import Logger, LoggerAdapter
from time import monotonic
from typing import cast
from uuid import UUID

from prefect import get_run_logger
from prefect.artifacts import create_progress_artifact, update_progress_artifact

from videogen.config.run import Stage
from videogen.progress import Progress, ProgressEvent

_LOG_INTERVAL_S = 15.0
_ARTIFACT_INTERVAL_S = 5.0
_PERCENT = 100.0


class StageReporter:
    """Reports one stage to the task run that it was made in."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._logger: Logger | LoggerAdapter[Logger] = get_run_logger()
        self._artifact: UUID | None = None
        self._artifact_at = -_ARTIFACT_INTERVAL_S
        self._logged_at = -_LOG_INTERVAL_S
        self._message = ""

    def both(self, progress: Progress) -> Progress:
        """A callable that hands events to `progress`, and reports them here."""

        def report(event: ProgressEvent) -> None:
            progress(event)
            self._log_event(event)
            self._show(event)

        return report

    def log(self, line: str) -> None:
        """Report a line of the stage's log."""
        self._logger.info(line)

    def _log_event(self, event: ProgressEvent) -> None:
        now = monotonic()
        is_last = event.total is not None and event.done >= event.total
        is_new = bool(event.message) and event.message != self._message
        if not (is_last or is_new or now - self._logged_at >= _LOG_INTERVAL_S):
            return
        self._logged_at, self._message = now, event.message
        self._logger.info(_described(event))

    def _show(self, event: ProgressEvent) -> None:
        now = monotonic()
        if not event.total or (
            event.done < event.total and now - self._artifact_at < _ARTIFACT_INTERVAL_S
        ):
            return
        self._artifact_at = now
        percent = min(_PERCENT, _PERCENT * event.done / event.total)
        if self._artifact is None:
            created = create_progress_artifact(
                percent, description=f"{self._stage} (counted in {event.unit or 'steps'})"
            )
            self._artifact = cast(UUID, created)  # a coroutine only where a loop runs
        else:
            update_progress_artifact(self._artifact, percent)


def _described(event: ProgressEvent) -> str:
    total = "" if event.total is None else f" of {event.total:,.0f}"
    count = f"{event.done:,.0f}{total} {event.unit}".rstrip() if event.unit else ""
    values = "  ".join(f"{name} {value:,.4g}" for name, value in event.values.items())
    return "  ".join(part for part in (count, event.message, values) if part) or event.stage
