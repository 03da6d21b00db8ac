"""The real stage `train`, run for the bench: what its own reports say once it is warm."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Self

from videogen.artifacts import CheckpointRef, DatasetRef, EvaluationReport
from videogen.benchmarks.own_services import OwnServices
from videogen.config.run import RunConfig
from videogen.config.sections import ExecutionConfig
from videogen.config.train import TrainConfig
from videogen.errors import StageFailedError
from videogen.evaluation.online import online_evaluation
from videogen.execution.ray_session import Cluster, ClusterSpec
from videogen.progress import ProgressEvent
from videogen.runs.handle import RunHandle
from videogen.runs.pointer import committed_checkpoints
from videogen.runs.stages import StageTask, run_stage
from videogen.tracking import open_tracker, start_run
from videogen.training.checkpoint_store import REPORT_FILE
from videogen.training.stage import train

NUM_CPUS = 2


@dataclass(frozen=True)
class Pace:
    """What one run's reports say together."""

    clips_per_s: float
    data_wait_fraction: float
    checkpoint_stall_fraction: float
    decided: str
    """The run's first log line."""
    judging_s: float = 0.0
    """What it took to judge the checkpoints that were, all together."""


@dataclass(frozen=True)
class StageRun:
    """One start of the stage."""

    train: TrainConfig
    num_workers: int
    cpus_per_worker: int
    warm_up_clips: int
    """Seen before what counts: what is loaded once is loaded then."""


class StageRunner:
    """The stage on a Ray of its own, a dataset in S3, metrics in MLflow; a context manager."""

    def __init__(self, place: OwnServices, dataset: DatasetRef, scratch: Path) -> None:
        self._place, self._dataset = place, dataset
        self._tracking_uri = f"sqlite:///{scratch}/mlflow.db"
        self._stack = ExitStack()
        self._cluster = Cluster(ClusterSpec(environment=place.environment, num_cpus=NUM_CPUS))
        self._count = 0

    def __enter__(self) -> Self:
        self._stack.enter_context(self._cluster)
        self._cluster.connect()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def run(self, asked: StageRun) -> Pace:
        """Train from nothing to the end. Raises as `videogen.training.stage.train` does."""
        self._count += 1
        run_id = f"bench-{self._count}"
        config = self._config(asked)
        spec = start_run(self._tracking_uri, config.name, None, run_id)
        events: list[ProgressEvent] = []
        dataset, store = self._dataset, self._place.store
        judge = online_evaluation(config, dataset, store)
        task = StageTask(
            "train",
            {"snapshot": dataset.snapshot},
            CheckpointRef,
            lambda run: train(
                config, dataset, store, run, spec, self._cluster, events.append, judge=judge
            ),
            lambda _: True,
        )
        run_stage(RunHandle(store, run_id), config, task, force=True)
        open_tracker(spec).finish("FINISHED")
        return replace(pace_of(events, asked.warm_up_clips), judging_s=self._judging_s(run_id))

    def _judging_s(self, run_id: str) -> float:
        store = self._place.store
        keys = [f"{one.prefix}/{REPORT_FILE}" for one in committed_checkpoints(store, run_id)]
        found = [store.get(key).data for key in keys if store.head(key) is not None]
        return sum(EvaluationReport.model_validate_json(one).seconds for one in found)

    def _config(self, asked: StageRun) -> RunConfig:
        execution = ExecutionConfig(
            num_workers=asked.num_workers,
            cpus_per_worker=asked.cpus_per_worker,
            use_gpu=False,
            tracking_uri=self._tracking_uri,
        )
        return RunConfig(
            name=self._dataset.dataset,
            storage=self._place.storage,
            execution=execution,
            train=asked.train,
        )


def pace_of(events: Sequence[ProgressEvent], warm_up_clips: int) -> Pace:
    """What the reports after the warm-up say: each speaks for the time since the one before.

    Raises `StageFailedError` where there is none.
    """
    reports = [event for event in events if "clips_per_s" in event.values]
    clips, seconds, waited, stalled = 0.0, 0.0, 0.0, 0.0
    before = 0.0
    for report in reports:
        if report.done > warm_up_clips:
            took = (report.done - before) / report.values["clips_per_s"]
            clips, seconds = clips + report.done - before, seconds + took
            waited += took * report.values["data_wait_fraction"]
            stalled += took * report.values["checkpoint_stall_fraction"]
        before = report.done
    if not seconds:
        raise StageFailedError(f"the stage reported nothing after {warm_up_clips} clips")
    decided = next((event.message for event in events if event.message), "")
    return Pace(clips / seconds, waited / seconds, stalled / seconds, decided)
