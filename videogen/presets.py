"""Named complete configs, and the way from a name or a file to a config."""

from collections.abc import Callable, Iterable
from pathlib import Path

from videogen.config.evaluate import EvaluateConfig
from videogen.config.loading import apply_overrides, build_config, read_document
from videogen.config.models import DcganConfig, MocoganConfig
from videogen.config.run import RunConfig
from videogen.config.section import Cosine
from videogen.config.sections import IngestConfig
from videogen.config.train import TrainConfig
from videogen.errors import ConfigError

SAMPLES_DIRECTORY = ".videogen/samples"
"""Where `make demo` puts its synthetic videos."""


def smoke() -> RunConfig:
    """Every stage in about a minute, for tests: says nothing about quality."""
    return RunConfig(
        name="smoke",
        ingest=IngestConfig(
            sources=(SAMPLES_DIRECTORY,), resolution=(32, 32), fps=8, max_clip_frames=32
        ),
        train=TrainConfig(
            global_batch_size=8,
            total_clips=64,
            log_interval_clips=8,
            sample_interval_clips=32,
            checkpoint_interval_clips=32,
        ),
        evaluate=EvaluateConfig(num_clips=4),
    )


def demo() -> RunConfig:
    """Moving shapes at 32 px on two CPU cores: minutes, and the picture in the README."""
    return RunConfig(
        name="demo",
        ingest=IngestConfig(
            sources=(SAMPLES_DIRECTORY,), resolution=(32, 32), fps=8, max_clip_frames=48
        ),
        train=TrainConfig(
            gamma=Cosine(start=60.0, end=40.0),
            total_clips=20_000,
            log_interval_clips=400,
            sample_interval_clips=4_000,
            checkpoint_interval_clips=4_000,
        ),
        evaluate=EvaluateConfig(num_clips=64),
    )


def seed_dcgan() -> RunConfig:
    """The recipe that the project started from: a DCGAN on frames, cross entropy, Adam 1e-4.

    It learns no motion: a video is a walk between latents. 50 epochs of 1,000 videos.
    """
    return RunConfig(
        name="seed-dcgan",
        ingest=IngestConfig(sources=(SAMPLES_DIRECTORY,), resolution=(32, 32), fps=8),
        train=TrainConfig(
            model=DcganConfig(),
            loss="bce",
            gamma=Cosine(start=0.0, end=0.0),
            learning_rate=Cosine(start=1e-4, end=1e-4),
            beta1=0.9,
            beta2=Cosine(start=0.999, end=0.999),
            ema_half_life_clips=0,
            total_clips=50_000,
        ),
    )


def mocogan_64() -> RunConfig:
    """MoCoGAN as published: 64 px, 16 frames, every 2nd; 100,000 steps of 32 clips.

    A step takes 6.4 CPU-seconds, and 1.5 GB, on a core with AVX-512 BF16.
    """
    return RunConfig(
        name="mocogan-64",
        ingest=IngestConfig(
            sources=(SAMPLES_DIRECTORY,), resolution=(64, 64), fps=8, min_clip_frames=31
        ),
        train=TrainConfig(
            model=MocoganConfig(),
            loss="bce",
            gamma=Cosine(start=0.0, end=0.0),
            global_batch_size=22,
            total_clips=3_200_000,
            frame_stride=2,
            learning_rate=Cosine(start=2e-4, end=2e-4),
            beta1=0.5,
            beta2=Cosine(start=0.999, end=0.999),
            weight_decay=1e-5,
            ema_half_life_clips=Cosine(start=0.0, end=0.0),
        ),
        evaluate=EvaluateConfig(frame_stride=2),
    )


PRESETS: dict[str, Callable[[], RunConfig]] = {
    "smoke": smoke,
    "demo": demo,
    "seed-dcgan": seed_dcgan,
    "mocogan-64": mocogan_64,
}


def load_config(name_or_path: str, overrides: Iterable[str] = ()) -> RunConfig:
    """The config of a preset or a YAML file, with `section.key=value` overrides applied.

    Raises `ConfigError` that names the key, and the nearest known one.
    """
    preset = PRESETS.get(name_or_path)
    if preset is not None:
        document = preset().model_dump(mode="json", by_alias=True)
    elif Path(name_or_path).exists():
        document = read_document(Path(name_or_path))
    else:
        raise ConfigError(
            f"config {name_or_path!r}: no such file, and no preset of that name "
            f"(presets: {', '.join(PRESETS)})"
        )
    return build_config(apply_overrides(document, overrides))
