"""`r3gan-v`: a generator that learns motion, and its discriminator.

The generator paints a clip's layers once, from its content latent, with R3GAN's residual blocks
(Huang et al. 2024): a background and things in front of it, each with its own opacity, as in VGAN's
two streams (Vondrick et al. 2016). A continuous motion embedding (StyleGAN-V, Skorokhodov et al.
2022) then moves every front by an affine map per frame, and the layers are put over each other. So
a frame costs a warp, things keep their look while they move, and times may be any real numbers. It
cannot show what no moving layer can: things that change their look while the clip goes on, or a
background that moves.

The discriminator sees every frame: neighbouring frames together as one image, in a trunk of the
same blocks down to 16 px; then all of the clip at once.
"""

import math

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from videogen.config.models import R3ganVConfig
from videogen.models.blocks import (
    BASE_SIZE,
    downsample,
    linear,
    pointwise,
    scale_init,
    stage,
    stage_channels,
    upsample,
)
from videogen.models.discriminator import (
    NOTHING_KNOWN,
    Conditions,
    Judgement,
    VideoDiscriminator,
    View,
)
from videogen.models.generator import CONTENT, MOTION, Latents, VideoGenerator
from videogen.models.layout import follow
from videogen.models.motion import MotionEncoder

FUSED_SIZE = 8
"""Side, in pixels, from which on the discriminator sees the whole clip at once."""
PATCH = 2
"""The discriminator's first stage has half the side of a frame: 2x2 pixels are one position."""
_MOTION_WIDTH = 64
_STYLE = 64
_MODULATION = 0.3
"""How much, at first, the style scales and shifts the channels of every stage. With shifts alone
all things come out in one shape."""
_RGB = 3
_RGBA = 4
_AFFINE = 6
_FADE = 4.0
"""A front's opacity rises from 0 at the edge of its canvas to 1 over 1/4 of its side."""
_TURN_PACE = 0.1
"""Zooming, turning and shearing are learned this much more slowly than shifting."""
_SHARPNESS = 4.0
"""Opacity logits are multiplied by this, so that edges can be crisp early."""


class R3ganVGenerator(VideoGenerator):
    """Layers from the content latent, moved by the motion latent."""

    def __init__(self, config: R3ganVConfig, size: int) -> None:
        super().__init__()
        self.config = config
        num_stages = int(math.log2(size // BASE_SIZE)) + 1
        channels = stage_channels(config.generator_channels, num_stages)
        blocks = config.generator_blocks
        self.motion = MotionEncoder(
            config.motion_noise_dim, config.motion_dim, config.motion_interval
        )
        self.mapping = nn.Sequential(
            linear(config.content_dim, _STYLE, gain=math.sqrt(2)),
            nn.LeakyReLU(0.2),
            linear(_STYLE, _STYLE, gain=math.sqrt(2)),
            nn.LeakyReLU(0.2),
        )
        self.basis = nn.Parameter(torch.randn(channels[0], BASE_SIZE, BASE_SIZE))
        self.project = linear(_STYLE, channels[0], bias=False)
        self.widen = nn.ModuleList(
            pointwise(before, width)
            for before, width in zip([channels[0], *channels], channels, strict=False)
        )
        self.modulate = nn.ModuleList(
            linear(_STYLE, 2 * width, gain=_MODULATION, bias=False) for width in channels
        )
        self.stages = nn.ModuleList(stage(width, blocks, num_stages * blocks) for width in channels)
        self.paint = nn.Conv2d(channels[-1], _RGB + _RGBA * (config.num_layers - 1), 1)
        scale_init(self.paint.weight, 0.5)
        nn.init.zeros_(_bias_of(self.paint))
        self.move = nn.Sequential(
            linear(_STYLE + config.motion_dim, _MOTION_WIDTH, gain=math.sqrt(2)),
            nn.LeakyReLU(0.2),
            linear(_MOTION_WIDTH, _AFFINE * (config.num_layers - 1), gain=0.5),
        )
        self._start_with_shifts()

    def latent_shapes(self, num_frames: int) -> dict[str, tuple[int, ...]]:
        """One content vector, and motion codes for times up to `num_frames`."""
        return {
            CONTENT: (self.config.content_dim,),
            MOTION: self.motion.code_shape(num_frames),
        }

    def forward(self, latents: Latents, times: Float[Tensor, "b t"]) -> Float[Tensor, "b t c h w"]:
        """Frames at `times`; not squashed, so values a little beyond [-1, 1] occur."""
        style = self.mapping(latents[CONTENT])
        layers = self.paint(self._features(style))
        motion = self.motion(latents[MOTION], times)
        with torch.autocast(times.device.type, enabled=False):  # positions need float32
            maps = self._maps(style, motion)
            return _composite(layers.float(), maps)

    def _features(self, style: Float[Tensor, "b d"]) -> Float[Tensor, "b c h w"]:
        x = self.project(style)[:, :, None, None] * self.basis
        x = follow(x, self.stages[0].get_submodule("0.mix"))
        parts = zip(self.widen, self.modulate, self.stages, strict=True)
        for index, (widen, modulate, blocks) in enumerate(parts):
            if index:
                x = upsample(widen(x))
            scale, shift = modulate(style)[:, :, None, None].chunk(2, dim=1)
            x = blocks(torch.addcmul(shift, x, 1 + scale))
        features: Tensor = x
        return features

    def _maps(
        self, style: Float[Tensor, "b d"], motion: Float[Tensor, "b t e"]
    ) -> Float[Tensor, "b t k 2 3"]:
        """Where each front is looked at, per frame: identity plus what the motion says."""
        still = style.float()[:, None].expand(-1, motion.shape[1], -1)
        change = self.move(torch.cat([still, motion], dim=-1))
        change = rearrange(change, "b t (k i j) -> b t k i j", i=2, j=3)
        identity = torch.eye(2, 3, device=change.device, dtype=change.dtype)
        turns, shifts = change.split([2, 1], dim=-1)
        return torch.cat([turns * _TURN_PACE, shifts], dim=-1) + identity

    def _start_with_shifts(self) -> None:
        """At first things are shifted, and neither zoomed nor turned."""
        last = self.move[-1]
        if not isinstance(last, nn.Linear):
            raise TypeError("the last layer of `move` is linear")
        with torch.no_grad():
            rearrange(last.weight, "(k i j) d -> k i j d", i=2, j=3)[:, :, :2] = 0


class R3ganVDiscriminator(VideoDiscriminator):
    """One logit per clip of `num_frames` frames of `size` pixels square."""

    view: View = "clip"

    def __init__(self, config: R3ganVConfig, size: int, num_frames: int) -> None:
        super().__init__()
        self.tube = config.tube_frames
        num_tubes = num_frames // self.tube
        num_stages = int(math.log2(size // PATCH // BASE_SIZE)) + 1
        channels = stage_channels(config.discriminator_channels, num_stages)[::-1]
        blocks = config.discriminator_blocks
        self.read = nn.Conv2d(_RGB * PATCH**2 * self.tube, channels[0], 3, padding=1)
        scale_init(self.read.weight)
        nn.init.zeros_(_bias_of(self.read))
        self.stages = nn.ModuleList(stage(width, blocks, num_stages * blocks) for width in channels)
        self.widen = nn.ModuleList()
        self.fuse_before = num_stages - 1 - int(math.log2(FUSED_SIZE // BASE_SIZE))
        for index in range(1, num_stages):
            fused = num_tubes if index == self.fuse_before else 1
            self.widen.append(pointwise(channels[index - 1] * fused, channels[index]))
        last = channels[-1]
        self.gather = nn.Conv2d(last, last, BASE_SIZE, groups=last, bias=False)
        scale_init(self.gather.weight)
        self.judge = linear(last, 1, bias=False)

    def forward(
        self,
        clips: Float[Tensor, "b t c h w"],
        rng: torch.Generator | None = None,  # noqa: ARG002 - the contract: this one is not random
        known: Conditions = NOTHING_KNOWN,  # noqa: ARG002 - the contract
    ) -> Judgement:
        """How real each clip looks: higher is more real."""
        x = rearrange(
            clips, "b (n k) c (h p) (w q) -> (b n) (k c p q) h w", k=self.tube, p=PATCH, q=PATCH
        )
        x = self.stages[0](self.read(follow(x, self.read)))
        for index, widen in enumerate(self.widen, start=1):
            x = downsample(x)
            if index == self.fuse_before:
                x = rearrange(x, "(b n) c h w -> b (n c) h w", b=len(clips))
                x = follow(x, self.read)
            x = self.stages[index](widen(x))
        return Judgement(self.judge(self.gather(x).flatten(1))[:, 0])


def _composite(
    layers: Float[Tensor, "b c h w"], maps: Float[Tensor, "b t k 2 3"]
) -> Float[Tensor, "b t 3 h w"]:
    """The background, and over it every front looked at through its map.

    Fronts are warped with their colours multiplied by their opacity, which fades out towards the
    edge of their canvas; the background stays where it is.
    """
    fade = _fade(layers)
    frames = layers[:, None, :_RGB].expand(-1, maps.shape[1], -1, -1, -1)
    fronts = layers[:, _RGB:].split(_RGBA, dim=1)
    for index, front in enumerate(fronts):
        opacity = torch.sigmoid(_SHARPNESS * front[:, _RGB:]) * fade
        moved = _warp(torch.cat([front[:, :_RGB] * opacity, opacity], 1), maps[:, :, index])
        frames = frames * (1 - moved[:, :, _RGB:]) + moved[:, :, :_RGB]
    return frames


def _fade(layers: Float[Tensor, "b c h w"]) -> Float[Tensor, "h w"]:
    """1 inside, down to 0 over the outer quarters."""
    ramps = []
    for length in layers.shape[2:]:
        place = (torch.arange(length, device=layers.device, dtype=layers.dtype) + 0.5) / length
        ramps.append((_FADE * torch.minimum(place, 1 - place)).clamp(max=1))
    return ramps[0][:, None] * ramps[1][None, :]


def _warp(
    layer: Float[Tensor, "b c h w"], maps: Float[Tensor, "b t 2 3"]
) -> Float[Tensor, "b t c h w"]:
    """The layer sampled bilinearly at mapped positions, 0 outside; no copy of it per frame."""
    batch, _, height, width = layer.shape
    size = [maps.shape[0] * maps.shape[1], 1, height, width]
    grid = F.affine_grid(maps.flatten(0, 1), size, align_corners=False)
    tall = rearrange(grid, "(b t) h w xy -> b (t h) w xy", b=batch)
    moved = F.grid_sample(layer.contiguous(), tall, align_corners=False)
    return rearrange(moved, "b c (t h) w -> b t c h w", h=height)


def _bias_of(conv: nn.Conv2d) -> Tensor:
    if conv.bias is None:
        raise AssertionError("made with a bias")
    return conv.bias
