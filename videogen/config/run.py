"""The complete config of a run."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from videogen.config.evaluate import EvaluateConfig
from videogen.config.section import Section, digest_of
from videogen.config.sections import (
    ExecutionConfig,
    IngestConfig,
    RegisterConfig,
    StorageConfig,
)
from videogen.config.train import EXTRACTOR_DISTANCE, TrainConfig

Stage = Literal["ingest", "train", "evaluate", "register"]
STAGES: tuple[Stage, ...] = ("ingest", "train", "evaluate", "register")
STAGE_FORMATS: dict[Stage, int] = {"ingest": 2, "train": 2, "evaluate": 2, "register": 1}
"""Raised when a stage makes something else from the same config and inputs: for `ingest` when
decoding, resizing, cutting or splitting change, for `train` when its checkpoints or its sums do."""


class RunConfig(Section):
    """Everything that describes a run; the run's name is also its dataset's."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")] = "videogen"
    storage: StorageConfig = StorageConfig()
    execution: ExecutionConfig = ExecutionConfig()
    ingest: IngestConfig = IngestConfig()
    train: TrainConfig = TrainConfig()
    evaluate: EvaluateConfig = EvaluateConfig()
    register_: RegisterConfig = Field(default=RegisterConfig(), alias="register")

    @model_validator(mode="after")
    def _stages_fit_together(self) -> Self:
        window = (self.train.num_frames - 1) * self.train.frame_stride + 1
        if window > self.ingest.min_clip_frames:
            raise ValueError(
                f"train.num_frames ({self.train.num_frames}) at train.frame_stride "
                f"({self.train.frame_stride}) needs clips of {window} frames, but "
                f"ingest.min_clip_frames is {self.ingest.min_clip_frames}"
            )
        if self.train.global_batch_size < self.execution.num_workers:
            raise ValueError(
                f"train.global_batch_size ({self.train.global_batch_size}) must be at least "
                f"execution.num_workers ({self.execution.num_workers})"
            )
        return self

    @model_validator(mode="after")
    def _best_is_measured(self) -> Self:
        best = self.train.best_metric
        if best is not None and best.startswith(EXTRACTOR_DISTANCE):
            distances = [EXTRACTOR_DISTANCE + one.name for one in self.evaluate.extractors]
            if best not in distances:
                raise ValueError(
                    f"train.best_metric {best!r} names an extractor that is not in "
                    f"evaluate.extractors; choose one of {', '.join(['fvd', 'kvd', *distances])}"
                )
        return self

    @property
    def model_name(self) -> str:
        """The name in the model registry."""
        return self.register_.model_name or self.name

    def stage_document(self, stage: Stage) -> dict[str, Any]:
        """What of the config decides the result of a stage: the stage's section, canonical."""
        section: Section = self.register_ if stage == "register" else getattr(self, stage)
        document = section.canonical()
        if stage == "register":
            document["model_name"] = self.model_name
        return document

    @property
    def digest(self) -> str:
        """Names what to make, all stages together; not where, nor how."""
        return digest_of({stage: self.stage_document(stage) for stage in STAGES})

    @property
    def ingest_digest(self) -> str:
        """Names how frames were made: the same digest means comparable clips."""
        return digest_of({"format": STAGE_FORMATS["ingest"], **self.stage_document("ingest")})
