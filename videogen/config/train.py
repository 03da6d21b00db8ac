"""The section train: model, objective, optimiser, budget."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from videogen.config.section import UNHASHED, Cosine, Schedule, Section

Width = Annotated[int, Field(ge=1)]


class DcganConfig(Section):
    """The seed document's recipe: a DCGAN on frames; it learns no motion."""

    kind: Literal["dcgan"] = "dcgan"
    latent_dim: Width = 100
    base_channels: Annotated[Width, Field(description="channels before RGB and after it")] = 64
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.3


class R3ganVConfig(Section):
    """R3GAN's blocks and loss with continuous time: learns content and motion."""

    kind: Literal["r3gan-v"] = "r3gan-v"
    content_dim: Width = 64
    motion_dim: Width = 64


ModelConfig = Annotated[DcganConfig | R3ganVConfig, Field(discriminator="kind")]


class TrainConfig(Section):
    """How the generator is trained. Progress is counted in clips seen by all workers."""

    model: ModelConfig = R3ganVConfig()
    loss: Literal["bce", "mse", "relativistic"] = "relativistic"
    gamma: Schedule = Field(
        default=Cosine(start=0.05, end=0.005), description="weight of R1 + R2; 0 leaves them out"
    )
    global_batch_size: Annotated[int, Field(ge=1)] = 32
    total_clips: Annotated[int, Field(ge=1)] = 100_000
    num_frames: Annotated[int, Field(ge=1)] = 16
    frame_stride: Annotated[int, Field(ge=1)] = 1
    seed: int = 0
    learning_rate: Schedule = Cosine(start=2e-4, end=5e-5)
    beta1: Annotated[float, Field(ge=0, lt=1)] = 0.0
    beta2: Schedule = Cosine(start=0.9, end=0.99)
    ema_half_life_clips: Annotated[int, Field(ge=0)] = 2_000
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    log_interval_clips: Annotated[int, Field(ge=1, json_schema_extra=UNHASHED)] = 1_000
    sample_interval_clips: Annotated[int, Field(ge=1, json_schema_extra=UNHASHED)] = 10_000
    checkpoint_interval_clips: Annotated[int, Field(ge=1, json_schema_extra=UNHASHED)] = 10_000
    keep_checkpoints: Annotated[int, Field(ge=1, json_schema_extra=UNHASHED)] = 3

    @model_validator(mode="after")
    def _at_least_one_batch(self) -> Self:
        if self.total_clips < self.global_batch_size:
            raise ValueError(
                f"total_clips ({self.total_clips}) must be at least one "
                f"global_batch_size ({self.global_batch_size})"
            )
        return self
