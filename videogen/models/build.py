"""From a model's config to its networks."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from videogen.config.models import DcganConfig, MocoganConfig, ModelConfig, R3ganVConfig
from videogen.errors import ConfigError
from videogen.models.dcgan import DcganDiscriminator, DcganGenerator
from videogen.models.discriminator import VideoDiscriminator
from videogen.models.generator import VideoGenerator
from videogen.models.mocogan import MocoganGenerator
from videogen.models.mocogan_discriminators import (
    MocoganClipDiscriminator,
    MocoganFrameDiscriminator,
)
from videogen.models.r3gan_v import R3ganVDiscriminator, R3ganVGenerator

MIN_SIZE = 32
MAX_SIZE = 256


@dataclass(frozen=True)
class Networks:
    """What a training step trains."""

    generator: VideoGenerator
    discriminators: Mapping[str, VideoDiscriminator]
    """By names that stand in checkpoints and metrics."""


def build_generator(
    model: ModelConfig, resolution: tuple[int, int], num_frames: int
) -> VideoGenerator:
    """The generator for frames of `resolution` (height, width), with fresh weights.

    Raises:
        ConfigError: the model cannot make such clips.
    """
    size = _size(model, resolution)
    if num_frames < 1:
        raise ConfigError(f"a generator of {num_frames} frames makes nothing: at least 1")
    match model:
        case DcganConfig():
            return DcganGenerator(model, size)
        case MocoganConfig():
            return MocoganGenerator(model, size)
        case R3ganVConfig():
            return R3ganVGenerator(model, size)


def build_discriminators(
    model: ModelConfig, resolution: tuple[int, int], num_frames: int
) -> dict[str, VideoDiscriminator]:
    """The discriminators of clips of `num_frames`, by name, with fresh weights.

    Raises:
        ConfigError: the model cannot judge such clips.
    """
    size = _size(model, resolution)
    match model:
        case DcganConfig():
            return {"frame": DcganDiscriminator(model, size)}
        case MocoganConfig():
            return {
                "frame": MocoganFrameDiscriminator(model, size),
                "clip": MocoganClipDiscriminator(model, size, num_frames),
            }
        case R3ganVConfig():
            if num_frames % model.tube_frames:
                raise ConfigError(
                    f"train.num_frames ({num_frames}) must be a multiple of "
                    f"train.model.tube_frames ({model.tube_frames})"
                )
            return {"clip": R3ganVDiscriminator(model, size, num_frames)}


def build_networks(
    model: ModelConfig, resolution: tuple[int, int], num_frames: int, *, seed: int
) -> Networks:
    """Generator and discriminators with weights that depend on the seed alone.

    Raises:
        ConfigError: as `build_generator` and `build_discriminators`.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Networks(
            build_generator(model, resolution, num_frames),
            build_discriminators(model, resolution, num_frames),
        )


def _size(model: ModelConfig, resolution: tuple[int, int]) -> int:
    height, width = resolution
    if height != width or height.bit_count() != 1 or not MIN_SIZE <= height <= MAX_SIZE:
        raise ConfigError(
            f"model {model.kind} makes square frames of {MIN_SIZE}, 64, 128 or {MAX_SIZE} px; "
            f"ingest.resolution is {height}x{width}"
        )
    return height
