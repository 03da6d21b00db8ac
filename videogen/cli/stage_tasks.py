"""The four stages with everything bound: the one place where stages, services and runs meet."""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from videogen.artifacts import Artifact, CheckpointRef, DatasetRef, EvaluationReport, ModelRef
from videogen.cli.services import Services
from videogen.config.loading import to_yaml
from videogen.config.run import RunConfig, Stage
from videogen.errors import ConfigError
from videogen.progress import Progress
from videogen.runs.handle import RunHandle
from videogen.runs.stages import (
    StageOutcome,
    StageRun,
    StageTask,
    find_result,
    run_ingest,
    run_stage,
)

if TYPE_CHECKING:
    from videogen.tracking import Tracker

A = TypeVar("A", bound=Artifact)


@dataclass(frozen=True)
class Stages:
    """The stages of one run."""

    config: RunConfig
    services: Services
    handle: RunHandle
    progress: Progress

    def run(self, stage: Stage, *, force: bool = False) -> StageOutcome[Artifact]:
        """Run one stage, or link its result; the stages before it must have theirs."""
        self.handle.write_config(to_yaml(self.config))
        match stage:
            case "ingest":
                return run_ingest(self.handle, self.config, lambda: self._ingest(force=force))
            case "train":
                return run_stage(self.handle, self.config, self.train(), force=force)
            case "evaluate":
                evaluate = self.evaluate(self.checkpoint())
                return run_stage(self.handle, self.config, evaluate, force=force)
            case "register":
                register = self.register(self.checkpoint(), self.report())
                return run_stage(self.handle, self.config, register, force=force)

    def dataset(self) -> DatasetRef:
        """The dataset that this run works on: its own ingest's, else the current snapshot."""
        from videogen.ingest.stage import current_dataset

        own = self.handle.read("ingest")
        if own is not None:
            return DatasetRef.model_validate(own.artifact)
        return current_dataset(self.config, self.services.store)

    def checkpoint(self) -> CheckpointRef:
        """What training made for this config and dataset. Raises `ConfigError` where nothing is."""
        return self._needed(self.train())

    def report(self) -> EvaluationReport:
        """The report of this run's checkpoint. Raises `ConfigError` where none is."""
        return self._needed(self.evaluate(self.checkpoint()))

    def train(self) -> StageTask[CheckpointRef]:
        """Training, bound to the run's dataset."""
        dataset = self.dataset()
        store = self.services.store

        def work(run: StageRun) -> CheckpointRef:
            from videogen.evaluation.online import online_evaluation
            from videogen.training.stage import train

            with self._tracked("train", run, dataset) as tracker:
                return train(
                    self.config,
                    dataset,
                    store,
                    run,
                    tracker.spec,
                    self.services.cluster,
                    self.progress,
                    judge=online_evaluation(self.config, dataset, store),
                )

        def is_present(checkpoint: CheckpointRef) -> bool:
            return store.head(f"{checkpoint.prefix}/MANIFEST.json") is not None

        return StageTask("train", {"snapshot": dataset.snapshot}, CheckpointRef, work, is_present)

    def evaluate(self, checkpoint: CheckpointRef) -> StageTask[EvaluationReport]:
        """Evaluation, bound to a checkpoint."""
        dataset = self.dataset()

        def work(run: StageRun) -> EvaluationReport:
            from videogen.evaluation.stage import evaluate

            with self._tracked("evaluate", run, dataset) as tracker:
                return evaluate(
                    self.config,
                    dataset,
                    checkpoint.generator,
                    self.services.store,
                    tracker,
                    self.services.cluster,
                    self.progress,
                    self.services.settings,
                )

        inputs = {"snapshot": dataset.snapshot, "checkpoint": checkpoint.manifest_sha256}
        return StageTask("evaluate", inputs, EvaluationReport, work, lambda _: True)

    def register(self, checkpoint: CheckpointRef, report: EvaluationReport) -> StageTask[ModelRef]:
        """Registration, bound to a checkpoint and its report."""
        dataset = self.dataset()

        def work(run: StageRun) -> ModelRef:
            from videogen.registry.stage import register

            with self._tracked("register", run, dataset) as tracker:
                return register(
                    self.config,
                    dataset,
                    checkpoint,
                    report,
                    self.services.store,
                    tracker,
                    self.progress,
                    stage_key=run.key,
                )

        def is_present(model: ModelRef) -> bool:
            from videogen.registry.versions import version_exists

            return version_exists(self.services.tracking_uri, model.name, model.version)

        inputs = {
            "checkpoint": checkpoint.manifest_sha256,
            "evaluate": self.evaluate(checkpoint).key(self.config),
        }
        return StageTask("register", inputs, ModelRef, work, is_present)

    def _tracked(
        self, stage: Stage, run: StageRun, dataset: DatasetRef
    ) -> "AbstractContextManager[Tracker]":
        tags = {
            "videogen.dataset": dataset.dataset,
            "videogen.snapshot": dataset.snapshot,
            f"videogen.stage_key.{stage}": run.key,
            "videogen.config_digest": self.config.digest,
            "videogen.root": self.services.store.root,
        }
        return self.services.tracked(run.handle.run_id, tags)

    def _ingest(self, *, force: bool) -> DatasetRef:
        from videogen.ingest.stage import ingest

        return ingest(
            self.config, self.services.store, self.services.cluster, self.progress, force=force
        )

    def _needed(self, task: StageTask[A]) -> A:
        found = find_result(self.handle, self.config, task)
        if found is None:
            raise ConfigError(
                f"{task.stage}: no result for this config and dataset yet; run "
                f"`videogen {task.stage} CONFIG` first, or `videogen run CONFIG` for all stages"
            )
        return found.artifact
