"""The section train: model, objective, optimiser, budget."""

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from videogen.config.augment import AugmentConfig
from videogen.config.models import ModelConfig, R3ganVConfig
from videogen.config.section import UNHASHED, Cosine, Schedule, Section


def _switch(value: object) -> object:
    """YAML takes a bare `on` for true, and `off` for false."""
    return {True: "on", False: "off"}[value] if isinstance(value, bool) else value


_DISTANCES = frozenset({"fvd", "kvd", "motion_distance_db"})
EXTRACTOR_DISTANCE = "fd_"
"""Of the Fréchet distance by an extractor beside I3D, which it names."""


def is_evaluation_figure(name: str | None) -> bool:
    """Whether it is a figure of evaluations, lower is better; no step of a training reports it."""
    return name is not None and (name in _DISTANCES or name.startswith(EXTRACTOR_DISTANCE))


class OnlineEvaluationConfig(Section):
    """FVD while the training goes on, of committed checkpoints, beside it and at low priority."""

    interval_clips: Annotated[
        int, Field(ge=1, description="seen, from one checkpoint that is judged to the next")
    ] = 10_000
    num_clips: Annotated[
        int,
        Field(ge=2, description="a side; all else of the protocol is evaluate's, but near-copies"),
    ] = 64


class TrainConfig(Section):
    """How the generator is trained. Progress is counted in clips seen by all workers."""

    model: ModelConfig = R3ganVConfig()
    loss: Literal["bce", "mse", "relativistic"] = "relativistic"
    gamma: Schedule = Field(
        default=Cosine(start=60.0, end=40.0), description="weight of R1 + R2; 0 leaves them out"
    )
    penalty_interval: Annotated[
        int, Field(ge=1, description="steps from one R1 + R2, weighted by as much, to the next")
    ] = 8
    augment: AugmentConfig = AugmentConfig()
    global_batch_size: Annotated[int, Field(ge=1)] = 16
    total_clips: Annotated[int, Field(ge=1)] = 100_000
    num_frames: Annotated[int, Field(ge=1)] = 16
    frame_stride: Annotated[int, Field(ge=1)] = 1
    seed: Annotated[int, Field(ge=0)] = 0
    learning_rate: Schedule = Cosine(start=1e-3, end=2e-4)
    beta1: Annotated[float, Field(ge=0, lt=1)] = 0.0
    beta2: Schedule = Cosine(start=0.9, end=0.99)
    weight_decay: Annotated[float, Field(ge=0, description="L2, as in Adam (not AdamW)")] = 0.0
    max_gradient_norm: Annotated[
        float | None, Field(gt=0, description="of all of a network's gradients; unset: no limit")
    ] = None
    ema_half_life_clips: Schedule = Field(
        default=Cosine(start=1_000.0, end=1_000.0), description="0: the generator itself"
    )
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    compile: Annotated[
        Literal["auto", "on", "off"],
        BeforeValidator(_switch),
        Field(json_schema_extra=UNHASHED, description="the generator, by torch.compile"),
    ] = "auto"
    max_hours: Annotated[
        float | None,
        Field(
            gt=0,
            json_schema_extra=UNHASHED,
            description="stop after so long, with a checkpoint to go on from",
        ),
    ] = None
    log_interval_clips: Annotated[int, Field(ge=1, json_schema_extra=UNHASHED)] = 1_000
    sample_interval_clips: Annotated[int, Field(ge=1, json_schema_extra=UNHASHED)] = 10_000
    checkpoint_interval_clips: Annotated[int, Field(ge=1, json_schema_extra=UNHASHED)] = 10_000
    keep_checkpoints: Annotated[int, Field(ge=1, json_schema_extra=UNHASHED)] = 3
    online_evaluation: Annotated[
        OnlineEvaluationConfig | None, Field(json_schema_extra=UNHASHED)
    ] = None
    best_metric: Annotated[
        str | None,
        Field(
            json_schema_extra=UNHASHED,
            description="a reported figure, or fvd, kvd, ... of online_evaluation; the checkpoint "
            "where it was lowest is kept too",
        ),
    ] = None

    @model_validator(mode="after")
    def _best_is_found_out(self) -> Self:
        if is_evaluation_figure(self.best_metric) and self.online_evaluation is None:
            raise ValueError(
                f"best_metric {self.best_metric!r} is what evaluations measure: set "
                "online_evaluation, for instance online_evaluation.interval_clips "
                f"({self.checkpoint_interval_clips})"
            )
        return self

    @model_validator(mode="after")
    def _at_least_one_batch(self) -> Self:
        if self.total_clips < self.global_batch_size:
            raise ValueError(
                f"total_clips ({self.total_clips}) must be at least one "
                f"global_batch_size ({self.global_batch_size})"
            )
        return self
