"""The generator that is kept: an exponential average of the trained one's weights."""

import copy
from typing import TypeVar

import torch
from torch import Tensor, nn

Network = TypeVar("Network", bound=nn.Module)

_RAMP = 0.1
"""The half-life is at most this share of the clips seen: early samples show progress."""


def ema_decay(half_life_clips: float, clips_seen: int, batch_clips: int) -> float:
    """What the average keeps of itself in a step of `batch_clips`; 0 with no half-life."""
    half_life = min(half_life_clips, _RAMP * clips_seen)
    return 0.5 ** (batch_clips / half_life) if half_life > 0 else 0.0


def averaged_copy(network: Network) -> Network:
    """A copy in evaluation mode whose weights no gradient reaches."""
    return copy.deepcopy(network).eval().requires_grad_(False)  # noqa: FBT003 - torch's own signature


@torch.no_grad()
def follow(average: nn.Module, network: nn.Module, decay: float) -> None:
    """Keep `decay` of the average's weights and take the rest from the network; copy buffers.

    Where a buffer is not finite, the network gets back what the average has: batch norm's
    statistics of one overflow, whose step nobody applies, would else stay for ever.
    """
    averaged: list[Tensor] = list(average.parameters())
    current: list[Tensor] = list(network.parameters())
    torch._foreach_lerp_(averaged, current, 1.0 - decay)
    for mine, theirs in zip(average.buffers(), network.buffers(), strict=True):
        if theirs.is_floating_point():
            theirs.copy_(torch.where(torch.isfinite(theirs), theirs, mine))
        mine.copy_(theirs)
