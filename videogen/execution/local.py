"""The local executor: a stage is a subprocess of this machine."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from videogen.artifacts import StageResult
from videogen.errors import ConfigError, ServiceError, StageFailedError
from videogen.execution.executor import JobStatus, LogLines, StageJob
from videogen.execution.process_group import ProcessGroup
from videogen.progress import Progress, ProgressEvent

VIDEOGEN_COMMAND = (sys.executable, "-m", "videogen")
_ERROR_PREFIX = "error: "
_CANCEL_GRACE_S = 30.0


@dataclass
class _Job:
    group: ProcessGroup
    job: StageJob
    log_path: Path
    before: StageResult | None
    """The run's result of this stage when the job was started: not this job's work."""
    last_line: str = ""
    last_error: str = ""


class LocalExecutor:
    """Runs each job in a session of its own; a job never outlives this process.

    `result_of` reads a job's result from the store, `log_dir` gets one file a job.
    """

    def __init__(
        self,
        *,
        result_of: Callable[[StageJob], StageResult | None],
        log_dir: Path,
        command: Sequence[str] = VIDEOGEN_COMMAND,
    ) -> None:
        self._result_of = result_of
        self._log_dir = log_dir
        self._command = tuple(command)
        self._jobs: dict[str, _Job] = {}

    def submit(self, job: StageJob) -> None:
        """See `Executor.submit`."""
        if job.id in self._jobs:
            return
        log_path = self._log_dir / f"{job.stage}.log"
        try:
            self._log_dir.mkdir(parents=True, exist_ok=True)
            log_path.touch()
        except OSError as error:
            raise ServiceError(f"{log_path}: the log cannot be written: {error}") from error
        before = self._result_of(job)
        group = ProcessGroup(
            [*self._command, *job.arguments],
            environment={"PYTHONUNBUFFERED": "1"},
            output=log_path,
        )
        self._jobs[job.id] = _Job(group, job, log_path, before)

    def follow(self, job_id: str, *, progress: Progress, log: LogLines) -> StageResult:
        """See `Executor.follow`."""
        entry = self._known(job_id)
        try:
            with entry.log_path.open("a", encoding="utf-8", buffering=1) as log_file:
                for line in entry.group.lines():
                    event = ProgressEvent.from_line(line)
                    if event is not None:
                        progress(event)
                        continue
                    log_file.write(f"{line}\n")
                    _remember(entry, line)
                    log(line)
            status = entry.group.finish()
        except BaseException:
            self.cancel(job_id)
            raise
        return self._judge(entry, status)

    def cancel(self, job_id: str, grace_s: float = _CANCEL_GRACE_S) -> None:
        """See `Executor.cancel`."""
        if job_id in self._jobs:
            self._jobs[job_id].group.stop(grace_s)

    def status(self, job_id: str) -> JobStatus:
        """See `Executor.status`."""
        if job_id not in self._jobs:
            return "unknown"
        return "running" if self._jobs[job_id].group.running else "ended"

    def _known(self, job_id: str) -> _Job:
        if job_id not in self._jobs:
            raise ServiceError(f"job {job_id!r} was not submitted to this executor")
        return self._jobs[job_id]

    def _judge(self, entry: _Job, status: int) -> StageResult:
        """The result that the job wrote; one that was there before counts only where it exits 0."""
        result = self._result_of(entry.job)
        if result is not None and (status == 0 or result != entry.before):
            return result
        ended = f"killed by signal {-status}" if status < 0 else f"exit code {status}"
        reason = entry.last_error or (
            f"{ended} without a result; its last line: {entry.last_line or '(none)'}; "
            f"its log is {entry.log_path}"
        )
        is_usage = bool(entry.last_error) and status == ConfigError.exit_code
        raise (ConfigError if is_usage else StageFailedError)(f"{entry.job.stage}: {reason}")


def _remember(entry: _Job, line: str) -> None:
    if line.startswith(_ERROR_PREFIX):
        entry.last_error = line.removeprefix(_ERROR_PREFIX)
    if line.strip():
        entry.last_line = line.strip()
