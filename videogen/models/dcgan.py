"""`dcgan`: the project's seed recipe, a DCGAN (Radford et al. 2016) on single frames.

It learns how frames look and nothing of how they follow each other: a video is a walk between
latents by slerp (spherical interpolation), so what moves in it is the walk, not the world.

The recipe: 100 latents, dense without bias to 8x8, 5x5 transposed convolutions with batch norm and
LeakyReLU, the first without upsampling, tanh at the end; a discriminator of strided 5x5
convolutions with LeakyReLU and dropout, dense to one logit. A resolution above 32 px adds one stage
per doubling to both.
"""

import itertools
import math

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from videogen.config.models import DcganConfig
from videogen.models.discriminator import (
    NOTHING_KNOWN,
    Conditions,
    Judgement,
    VideoDiscriminator,
    View,
)
from videogen.models.generator import CONTENT, Latents, VideoGenerator
from videogen.models.latents import take_rows
from videogen.models.layout import follow

BASE_SIZE = 8
_RGB = 3
_KERNEL = 5
_SLOPE = 0.3
_PARALLEL = 1e-4
"""Latents whose angle has a sine below this are interpolated along a straight line."""


class DcganGenerator(VideoGenerator):
    """Latents every `walk_frames` frames, slerp between them, and each frame on its own."""

    def __init__(self, config: DcganConfig, size: int) -> None:
        super().__init__()
        self.config = config
        doublings = int(math.log2(size // BASE_SIZE))
        channels = [config.base_channels << power for power in range(doublings, -1, -1)]
        self.dense = nn.Linear(config.latent_dim, channels[0] * BASE_SIZE**2, bias=False)
        self.dense_norm = nn.BatchNorm1d(channels[0] * BASE_SIZE**2)
        self.stages = nn.ModuleList()
        for index, (before, width) in enumerate(zip(channels, [*channels[1:], _RGB], strict=True)):
            stride = 2 if index else 1
            conv = nn.ConvTranspose2d(
                before, width, _KERNEL, stride, _KERNEL // 2, stride - 1, bias=False
            )
            last = width == _RGB
            after = [nn.Tanh()] if last else [nn.BatchNorm2d(width), nn.LeakyReLU(_SLOPE)]
            self.stages.append(nn.Sequential(conv, *after))
        _glorot(self)

    def latent_shapes(self, num_frames: int) -> dict[str, tuple[int, ...]]:
        """Latents to walk between for times from 0 up to `num_frames`."""
        return {CONTENT: (num_frames // self.config.walk_frames + 2, self.config.latent_dim)}

    def forward(self, latents: Latents, times: Float[Tensor, "b t"]) -> Float[Tensor, "b t c h w"]:
        """Frames at `times`, in [-1, 1]."""
        place = times / self.config.walk_frames
        left = place.floor()
        walked = slerp(
            take_rows(latents[CONTENT], left.long()),
            take_rows(latents[CONTENT], left.long() + 1),
            (place - left)[..., None],
        )
        x = F.leaky_relu(self.dense_norm(self.dense(walked.flatten(0, 1))), _SLOPE)
        x = rearrange(x, "n (c h w) -> n c h w", h=BASE_SIZE, w=BASE_SIZE)
        x = follow(x, self.stages[0].get_submodule("0"))
        for one in self.stages:
            x = one(x)
        frames: Tensor = x.unflatten(0, times.shape)
        return frames


class DcganDiscriminator(VideoDiscriminator):
    """One logit per frame of `size` pixels square."""

    view: View = "frames"

    def __init__(self, config: DcganConfig, size: int) -> None:
        super().__init__()
        self.dropout = config.dropout
        halvings = int(math.log2(size // BASE_SIZE))
        channels = [_RGB, *(config.base_channels << power for power in range(halvings))]
        self.convs = nn.ModuleList(
            nn.Conv2d(before, width, _KERNEL, 2, _KERNEL // 2)
            for before, width in itertools.pairwise(channels)
        )
        self.dense = nn.Linear(channels[-1] * BASE_SIZE**2, 1)
        _glorot(self)

    def forward(
        self,
        clips: Float[Tensor, "b 1 c h w"],
        rng: torch.Generator | None = None,
        known: Conditions = NOTHING_KNOWN,  # noqa: ARG002 - the contract
    ) -> Judgement:
        """How real each frame looks; dropout takes its masks from `rng`, and without one is off."""
        x = follow(rearrange(clips, "b 1 c h w -> b c h w"), self.convs[0])
        for conv in self.convs:
            x = self._drop(F.leaky_relu(conv(x), _SLOPE), rng)
        return Judgement(self.dense(x.flatten(1))[:, 0])

    def _drop(self, x: Tensor, rng: torch.Generator | None) -> Tensor:
        if rng is None or not self.training or self.dropout == 0:
            return x
        kept = torch.rand(x.shape, generator=rng, device=x.device) >= self.dropout
        return x * kept / (1 - self.dropout)


def slerp(
    start: Float[Tensor, "*n d"], end: Float[Tensor, "*n d"], weight: Float[Tensor, "*n 1"]
) -> Float[Tensor, "*n d"]:
    """Along the arc from `start` (weight 0) to `end` (weight 1), lengths included.

    Unlike a straight line it does not cut through the middle, where no latent was in training.
    """
    cosine = (F.normalize(start, dim=-1) * F.normalize(end, dim=-1)).sum(dim=-1, keepdim=True)
    angle = torch.acos(cosine.clamp(-1, 1))
    sine = torch.sin(angle)
    arc = (torch.sin((1 - weight) * angle) * start + torch.sin(weight * angle) * end) / sine
    return torch.where(sine > _PARALLEL, arc, torch.lerp(start, end, weight))


def _glorot(network: nn.Module) -> None:
    """Weights as the recipe's framework makes them: uniform after Glorot & Bengio (2010)."""
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
