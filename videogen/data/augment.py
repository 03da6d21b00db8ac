"""Differentiable augmentation of what a discriminator sees (Zhao et al. 2020, "DiffAugment").

One draw holds for every frame of a clip, so that augmentation never looks like motion. Real and
fake clips are both augmented, and gradients pass through to the fake ones. There are no flips,
rotations or inversions: small oriented data would leak them into samples.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from videogen.config.augment import AugmentConfig

Clips = Float[Tensor, "b t c h w"]


class Draws(NamedTuple):
    """What decides how each clip is augmented: uniform numbers in [0, 1)."""

    chosen: Float[Tensor, "b 3"]
    """Translation, colour, cutout: each is done where its number is below the probability."""
    shift: Float[Tensor, "b 2"]
    colour: Float[Tensor, "b 3"]
    hole: Float[Tensor, "b 2"]

    @classmethod
    def of(cls, num: int, rng: torch.Generator) -> "Draws":
        """Draws for `num` clips from a CPU generator."""
        return cls(*(torch.rand(num, size, generator=rng) for size in (3, 2, 3, 2)))

    def part(self, start: int, end: int) -> "Draws":
        """Those of some of the clips."""
        return Draws(*(numbers[start:end] for numbers in self))


def augment(clips: Clips, config: AugmentConfig, probability: float, draws: Draws) -> Clips:
    """Each kind of change on about `probability` of the clips, in [-1, 1] or a little beyond.

    `draws` are on the clips' device, one row a clip.
    """
    if probability <= 0:
        return clips
    chosen = draws.chosen < probability
    clips = _where(
        chosen[:, 0], translate(clips, (2 * draws.shift - 1) * config.translation), clips
    )
    clips = _where(chosen[:, 1], recolour(clips, (2 * draws.colour - 1) * config.colour), clips)
    return _where(chosen[:, 2], cut_out(clips, draws.hole, config.cutout), clips)


def translate(clips: Clips, shift: Float[Tensor, "b 2"]) -> Clips:
    """Shift (down, right) by shares of the frame, in whole pixels; black comes in (-1)."""
    batch, frames, channels, height, width = clips.shape
    rows = (shift[:, 0] * height).round().long()
    columns = (shift[:, 1] * width).round().long()
    row = torch.arange(height, device=clips.device) - rows[:, None]
    column = torch.arange(width, device=clips.device) - columns[:, None]
    outside = ((row < 0) | (row >= height))[:, :, None] | ((column < 0) | (column >= width))[
        :, None, :
    ]
    place = row.clamp(0, height - 1)[:, :, None] * width + column.clamp(0, width - 1)[:, None, :]
    index = place.view(batch, 1, 1, -1).expand(-1, frames, channels, -1)
    moved = clips.flatten(3).gather(3, index).view_as(clips)
    return moved.masked_fill(outside[:, None, None], -1.0)


def recolour(clips: Clips, change: Float[Tensor, "b 3"]) -> Clips:
    """Change brightness, saturation and contrast by shares of their range."""
    brightness, saturation, contrast = (
        part[:, None, None, None, None] for part in change.unbind(1)
    )
    clips = clips + brightness
    grey = clips.mean(dim=2, keepdim=True)
    clips = grey + (clips - grey) * (1 + saturation)
    level = clips.mean(dim=(1, 2, 3, 4), keepdim=True)
    return level + (clips - level) * (1 + contrast)


def cut_out(clips: Clips, centre: Float[Tensor, "b 2"], side: float) -> Clips:
    """A mid-grey (0) square of `side` times the frame, centred anywhere in it."""
    height, width = clips.shape[3:]
    near = []
    for length, middle in ((height, centre[:, 0]), (width, centre[:, 1])):
        position = (torch.arange(length, device=clips.device) + 0.5) / length
        near.append((position - middle[:, None]).abs() < side / 2)
    hole = near[0][:, :, None] & near[1][:, None, :]
    return clips.masked_fill(hole[:, None, None], 0.0)


def _where(chosen: Bool[Tensor, " b"], changed: Clips, clips: Clips) -> Clips:
    return torch.where(chosen[:, None, None, None, None], changed, clips)
