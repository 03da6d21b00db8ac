"""The residual block of R3GAN (Huang et al. 2024, section 4), and what stages are made of."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

SLOPE = 0.2
GROUP_CHANNELS = 16
MIN_CHANNELS = 16
BASE_SIZE = 4
"""Side, in pixels, of the smallest stage."""

_LEAKY_GAIN = math.sqrt(2 / (1 + SLOPE**2))


def leaky(x: Tensor) -> Tensor:
    """LeakyReLU with the slope that the gains here are made for."""
    return F.leaky_relu(x, SLOPE)


def scale_init(weight: Tensor, gain: float = 1.0) -> None:
    """Normal weights that keep the variance of their input, times `gain` squared."""
    nn.init.normal_(weight, std=gain / math.sqrt(weight[0].numel()))


def linear(size_in: int, size_out: int, *, gain: float = 1.0, bias: bool = True) -> nn.Linear:
    """A linear layer with variance-keeping weights; gain 0 makes it answer zeros at first."""
    layer = nn.Linear(size_in, size_out, bias=bias)
    scale_init(layer.weight, gain)
    if bias:
        nn.init.zeros_(layer.bias)
    return layer


def pointwise(channels_in: int, channels_out: int) -> nn.Module:
    """1x1 convolution without bias where the width changes, else nothing."""
    if channels_in == channels_out:
        return nn.Identity()
    layer = nn.Conv2d(channels_in, channels_out, 1, bias=False)
    scale_init(layer.weight)
    return layer


def stage_channels(channels: Sequence[int], num_stages: int) -> list[int]:
    """Channels at 4, 8, 16, … px: as listed, then half of the one before, at least 16."""
    widths = list(channels[:num_stages])
    while len(widths) < num_stages:
        widths.append(max(widths[-1] // 2 // GROUP_CHANNELS * GROUP_CHANNELS, MIN_CHANNELS))
    return widths


class ResidualBlock(nn.Module):
    """1x1 to twice the width, 3x3 in groups of 16 channels, 1x1 back; no normalisation.

    The last convolution starts at zero, so a network starts as its skip path; the others are
    scaled by L^(-1/4), L being all blocks of the network, so that depth does not change updates
    (Zhang et al. 2019).
    """

    def __init__(self, channels: int, num_blocks: int) -> None:
        super().__init__()
        wide = 2 * channels
        gain = _LEAKY_GAIN * num_blocks**-0.25
        self.expand = nn.Conv2d(channels, wide, 1)
        self.mix = nn.Conv2d(wide, wide, 3, padding=1, groups=wide // GROUP_CHANNELS)
        self.project = nn.Conv2d(wide, channels, 1, bias=False)
        for conv in (self.expand, self.mix):
            scale_init(conv.weight, gain)
            nn.init.zeros_(conv.bias if conv.bias is not None else conv.weight)
        nn.init.zeros_(self.project.weight)

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        """The input plus what the block adds."""
        mixed = leaky(self.mix(leaky(self.expand(x))))
        return torch.add(x, self.project(mixed))


def stage(channels: int, blocks_per_stage: int, num_blocks: int) -> nn.Sequential:
    """The blocks at one resolution."""
    return nn.Sequential(*(ResidualBlock(channels, num_blocks) for _ in range(blocks_per_stage)))


def upsample(x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c 2*h 2*w"]:
    """Twice the side, bilinear."""
    return F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)


def downsample(x: Float[Tensor, "n c 2*h 2*w"]) -> Float[Tensor, "n c h w"]:
    """Half the side, the mean of 2x2 pixels; faster than average pooling in channels-last."""
    return F.interpolate(x, scale_factor=0.5, mode="bilinear", align_corners=False)
