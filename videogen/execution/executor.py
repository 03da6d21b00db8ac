"""The contract of an executor: it runs the command that a stage is, somewhere, and watches it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

from videogen.artifacts import StageResult
from videogen.config.run import Stage
from videogen.progress import Progress

JobStatus = Literal["unknown", "running", "ended"]
LogLines = Callable[[str], None]


@dataclass(frozen=True)
class StageJob:
    """One stage of one run as a command: `videogen STAGE CONFIG --run-id ID --progress jsonl`."""

    stage: Stage
    config: str
    """A preset's name, or the path of a YAML file."""
    run_id: str
    force: bool = False
    attempt: int = 1

    @property
    def id(self) -> str:
        """Names the job wherever it runs; another attempt is another job."""
        return f"{self.run_id}-{self.stage}-{self.attempt}"

    @property
    def arguments(self) -> tuple[str, ...]:
        """The command's arguments after `videogen`."""
        forced = ("--force",) if self.force else ()
        return (
            *(self.stage, self.config, "--run-id", self.run_id),
            *("--progress", "jsonl", *forced),
        )


class Executor(Protocol):
    """Runs stage jobs. Jobs are known by their id."""

    def submit(self, job: StageJob) -> None:
        """Start the job; no effect where a job of its id was started before.

        Raises `ServiceError` where it cannot be started.
        """

    def follow(self, job_id: str, *, progress: Progress, log: LogLines) -> StageResult:
        """Wait for the job's end, handing on its progress events and log lines as they come.

        When this call is interrupted, the job is cancelled first.

        Raises, with the job's last error line, where it ended without a new result in the store:
        `ConfigError` where its exit code says so, else `StageFailedError`.
        """

    def cancel(self, job_id: str, grace_s: float = 30.0) -> None:
        """End the job and all its processes; no effect where it has ended.

        It is asked to stop, and killed after `grace_s`.
        """

    def status(self, job_id: str) -> JobStatus:
        """What is known of the job."""


def run_job(executor: Executor, job: StageJob, *, progress: Progress, log: LogLines) -> StageResult:
    """Submit a job and follow it to its end. Raises as `Executor.submit` and `.follow` do."""
    executor.submit(job)
    return executor.follow(job.id, progress=progress, log=log)
