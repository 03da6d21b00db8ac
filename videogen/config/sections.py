"""The sections storage, execution, ingest and register."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from videogen.config.section import UNHASHED, Resolution, Section


class StorageConfig(Section):
    """Where everything that lasts is kept."""

    root: str | None = Field(
        default=None,
        description="s3://bucket/prefix or a directory; unset: the embedded S3 server",
    )
    endpoint_url: str | None = Field(
        default=None, description="S3 endpoint, for servers other than AWS"
    )


class ExecutionConfig(Section):
    """Where and how to run; never part of a stage key."""

    executor: Literal["local"] = "local"
    ray_address: str | None = Field(
        default=None, description="a running Ray cluster; unset: a Ray of this machine"
    )
    tracking_uri: str | None = Field(
        default=None, description="MLflow tracking URI; unset: the embedded MLflow on SQLite"
    )
    num_workers: Annotated[int, Field(ge=1)] = 2
    cpus_per_worker: Annotated[float, Field(gt=0)] = 1.0
    use_gpu: bool | None = Field(
        default=None, description="one GPU a worker; unset: when the cluster has GPUs"
    )
    micro_batch_clips: Annotated[int, Field(ge=1)] | None = Field(
        default=None,
        description="clips that a worker computes at once, for want of memory; gradients add up. "
        "With batch norm or dropout another number is another random draw",
    )
    loader_threads: Annotated[int, Field(ge=1, le=64)] | None = Field(
        default=None, description="that read and decode in each worker; unset: by its CPUs"
    )
    cache_bytes: Annotated[int, Field(ge=0)] = Field(
        default=20 << 30, description="of each node's disk for shards; 0: none are kept"
    )


class ShotConfig(Section):
    """Where a source is cut into shots, so that no clip spans a cut."""

    threshold: Annotated[
        float, Field(gt=0, le=100, description="scene change score of FFmpeg's scdet, in percent")
    ] = 10.0
    gradual: bool = Field(default=True, description="find fades and dissolves too")


class FilterConfig(Section):
    """Which clips are left out, and counted: none, until a threshold is set."""

    max_blank_contrast: Annotated[float, Field(ge=0, le=128)] | None = Field(
        default=None,
        description="blank: no frame's levels deviate more than this (2 takes plain frames)",
    )
    min_brightness: Annotated[float, Field(ge=0, le=255)] | None = Field(
        default=None, description="too dark: mean luma below this"
    )
    max_frozen_fraction: Annotated[float, Field(ge=0, le=1)] | None = Field(
        default=None,
        description="frozen: a greater share of frames repeats the one before (0.95 is usual)",
    )
    min_motion: Annotated[float, Field(ge=0, le=255)] | None = Field(
        default=None, description="low motion: mean change between frames, in levels, below this"
    )
    near_duplicate_bits: Annotated[int, Field(ge=0, le=64)] | None = Field(
        default=None,
        description="near duplicate: perceptual hashes differ in at most these bits (2 finds "
        "re-encoded and resized copies)",
    )
    max_overlay_fraction: Annotated[float, Field(ge=0, le=1)] | None = Field(
        default=None, description="static overlay: a greater share of a moving picture stands still"
    )


class IngestConfig(Section):
    """How raw video becomes clips of frames."""

    sources: Annotated[
        tuple[str, ...],
        Field(json_schema_extra=UNHASHED, description="files, directories, globs, s3:// prefixes"),
    ] = ()
    metadata: Annotated[
        str | None,
        Field(
            json_schema_extra=UNHASHED,
            description="CSV or Parquet: source, label, licence, consent, owner, expires",
        ),
    ] = None
    resolution: Resolution = (64, 64)
    fps: Annotated[float, Field(gt=0, le=240)] = 8.0
    sequence_fps: Annotated[
        float, Field(gt=0, le=240, description="rate of directories of numbered frames")
    ] = 24.0
    crop: Literal["centre", "smart", "letterbox", "none"] = Field(
        default="centre",
        description="to the aspect ratio of resolution: cut the centre, cut where the motion is, "
        "pad with black, or stretch",
    )
    crop_bars: bool = Field(default=True, description="cut off black bars first")
    hdr: Literal["tone-map", "quarantine"] = "tone-map"
    max_corrupt_fraction: Annotated[
        float, Field(ge=0, le=1, description="of a source's frames; above it, it is quarantined")
    ] = 0.01
    shots: ShotConfig | None = ShotConfig()
    min_clip_frames: Annotated[int, Field(ge=1)] = 16
    max_clip_frames: Annotated[int, Field(ge=1, le=128)] = 64
    clip_stride: Annotated[int, Field(ge=1)] | None = Field(
        default=None,
        description="frames from the start of a clip to that of the next; unset: end to end",
    )
    filters: FilterConfig = FilterConfig()
    codec: Literal["auto", "raw", "jpeg"] = "auto"
    holdout_fraction: Annotated[float, Field(ge=0, lt=1)] = 0.1
    shard_size_bytes: Annotated[int, Field(ge=1 << 16, json_schema_extra=UNHASHED)] = 64 << 20
    stall_timeout_s: Annotated[
        float,
        Field(
            gt=0,
            json_schema_extra=UNHASHED,
            description="a source whose decoder gives no frame for so long is quarantined",
        ),
    ] = 120.0
    max_quarantined_fraction: Annotated[
        float,
        Field(ge=0, le=1, json_schema_extra=UNHASHED, description="above it the stage fails"),
    ] = 0.5

    @model_validator(mode="after")
    def _lengths_in_order(self) -> Self:
        if self.min_clip_frames > self.max_clip_frames:
            raise ValueError(
                f"min_clip_frames ({self.min_clip_frames}) must not exceed "
                f"max_clip_frames ({self.max_clip_frames})"
            )
        return self


class RegisterConfig(Section):
    """Under what name, and on what terms, the generator enters the registry."""

    model_name: Annotated[str, Field(pattern=r"^[^/:\s][^/:\n]{0,127}$")] | None = Field(
        default=None, description="name in the MLflow registry; unset: the run's name"
    )
    max_fvd: Annotated[float, Field(gt=0)] | None = Field(
        default=None, description="a first champion's FVD must be below this"
    )
    max_fvd_to_blank: Annotated[float, Field(gt=0)] = Field(
        default=1.0,
        description="a first champion's FVD must be below this share of the blank yardstick's",
    )
