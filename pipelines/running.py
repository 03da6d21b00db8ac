"""What every flow shares: the run it works on, and the task that a stage is.

Nothing here is retried by Prefect: boto3 retries requests, Ray restarts workers, and a stage that
failed is run again by a person or a schedule, from where it was.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from prefect import runtime, task
from prefect.cache_policies import NO_CACHE

from pipelines.reporting import StageReporter
from videogen.artifacts import StageResult
from videogen.cli.render import shown, style_of
from videogen.cli.services import Services, connect
from videogen.config.loading import to_yaml
from videogen.config.run import Stage
from videogen.config.settings import Settings
from videogen.execution.executor import Executor, StageJob, run_job
from videogen.execution.local import VIDEOGEN_COMMAND, LocalExecutor
from videogen.presets import load_config
from videogen.progress import Progress
from videogen.runs.handle import RunHandle, checked_run_id, new_run_id
from videogen.stack.state import write_privately


@dataclass(frozen=True)
class FlowRun:
    """One run as a flow sees it."""

    run_id: str
    services: Services
    executor: Executor
    progress: Progress
    """Shows progress where the flow runs, beside Prefect's log."""
    config_path: Path
    force: bool

    def stage(self, stage: Stage) -> StageResult:
        """Run a stage as a task of the surrounding flow."""
        job = StageJob(stage, str(self.config_path), self.run_id, force=self.force)
        return run_stage(stage, self.services.config.name, self.run_id, partial(self._follow, job))

    def _follow(self, job: StageJob, reporter: StageReporter) -> StageResult:
        return run_job(self.executor, job, progress=reporter.both(self.progress), log=reporter.log)


@contextmanager
def open_run(
    config: str,
    run_id: str | None,
    *,
    force: bool,
    progress: str,
    command: Sequence[str] | None,
) -> Iterator[FlowRun]:
    """The run with its store and its executor, for the length of the block.

    `config` is a preset's name or the path of a YAML file; `progress` a style of `--progress`;
    `command` is what runs a stage in place of `python -m videogen`. Raises `ConfigError`.
    """
    loaded = load_config(config)
    drawn = checked_run_id(run_id) if run_id else new_run_id()
    with (
        shown(style_of(progress)) as show,
        connect(loaded, Settings.from_environment(), show) as services,
    ):
        directory = services.settings.state_dir / "runs" / drawn
        config_path = directory / "resolved.yaml"
        write_privately(config_path, to_yaml(services.config))  # a URI may hold a password
        executor = LocalExecutor(
            result_of=lambda job: RunHandle(services.store, job.run_id).read(job.stage),
            log_dir=directory,
            command=tuple(command or VIDEOGEN_COMMAND),
        )
        yield FlowRun(drawn, services, executor, show, config_path, force)


@task(
    task_run_name="{stage} {name} (run {run_id})",
    cache_policy=NO_CACHE,
    result_serializer="json",
    retries=0,
)
def run_stage(
    stage: Stage,
    name: str,  # noqa: ARG001 - part of the task run's name
    run_id: str,  # noqa: ARG001 - part of the task run's name
    follow: "partial[StageResult]",
) -> StageResult:
    """One stage through the executor."""
    return follow(StageReporter(stage))


def flow_run_name() -> str:
    """The run's id, with the flow's name, for Prefect's pages."""
    parameters: dict[str, Any] = runtime.flow_run.parameters
    return f"{runtime.flow_run.flow_name} {parameters.get('run_id') or runtime.flow_run.id}"
