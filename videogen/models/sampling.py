"""From seeds to pixels."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from videogen.errors import ConfigError
from videogen.models.generator import VideoGenerator
from videogen.models.latents import draw_seeded, truncate


def generate(
    generator: VideoGenerator,
    seeds: Sequence[int],
    num_frames: int,
    *,
    truncation: float = 1.0,
    fps_ratio: float = 1.0,
    batch_size: int = 1,
) -> NDArray[np.uint8]:
    """One clip per seed, uint8 `(n t h w c)` RGB; each depends on its seed alone.

    `fps_ratio` is the frame rate of the data over the one wanted: 0.5 makes twice as many frames
    of the same motion. Batches above 1 are faster, but may round a pixel differently by 1. The
    generator's mode is put back as it was.

    Raises:
        ConfigError: a number is out of range.
    """
    if num_frames < 1 or not seeds:
        raise ConfigError(f"asked for {len(seeds)} clips of {num_frames} frames: both must be >= 1")
    if not 0 < fps_ratio <= 1e3 or not 0 <= truncation <= 2:  # noqa: PLR2004 - stated below
        raise ConfigError(
            f"fps ratio {fps_ratio} must be above 0 and at most 1000, truncation {truncation} "
            "from 0 to 2"
        )
    was_training = generator.training
    generator.eval()
    device = next(generator.parameters()).device
    shapes = generator.latent_shapes(math.ceil((num_frames - 1) * fps_ratio) + 1)
    times = torch.arange(num_frames, dtype=torch.float32, device=device) * fps_ratio
    batches = []
    try:
        with torch.inference_mode():
            for start in range(0, len(seeds), batch_size):
                chosen = seeds[start : start + batch_size]
                latents = truncate(draw_seeded(shapes, chosen, device), truncation)
                clips = generator(latents, times.expand(len(chosen), -1))
                batches.append(to_pixels(clips))
    finally:
        generator.train(was_training)
    return np.concatenate(batches)


def to_pixels(clips: Float[Tensor, "b t c h w"]) -> NDArray[np.uint8]:
    """Frames in [-1, 1] (clamped) as uint8 `(b t h w c)`."""
    scaled = ((clips.float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    pixels: NDArray[np.uint8] = rearrange(scaled, "b t c h w -> b t h w c").cpu().numpy()
    return pixels
