"""Fakes of a step: what they are made of, and how the generator makes them."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from videogen.config.train import TrainConfig
from videogen.models.build import Networks
from videogen.models.discriminator import Conditions
from videogen.models.generator import LABEL, VideoGenerator
from videogen.training.draws import StepDraws

Clips = Float[Tensor, "b t c h w"]


@dataclass(frozen=True)
class Material:
    """Latents and times of one fake a clip; or of as many as a clip has frames, of one frame."""

    latents: dict[str, Tensor]
    times: Float[Tensor, "n f"]
    per_clip: int = 1

    def part(self, start: int, end: int) -> "Material":
        """That of some of the clips."""
        rows = slice(start * self.per_clip, end * self.per_clip)
        latents = {name: value[rows] for name, value in self.latents.items()}
        return Material(latents, self.times[rows], self.per_clip)

    def made_by(self, generator: Callable[..., Tensor]) -> Clips:
        """The fakes, as clips; where fakes are single frames, a clip is of unrelated ones."""
        made = generator(self.latents, self.times)
        return made if self.per_clip == 1 else made.view(-1, self.per_clip, *made.shape[2:])

    def categories(self, generator: VideoGenerator) -> Int[Tensor, " b"] | None:
        """Those that the clips were given; None where there are none, or frames are unrelated."""
        return generator.categories(self.latents) if self.per_clip == 1 else None


class Kitchen:
    """Draws material: for whole clips, if any discriminator judges clips, else for frames."""

    def __init__(self, config: TrainConfig, networks: Networks) -> None:
        views = {judge.view for judge in networks.discriminators.values()}
        self.frames = config.num_frames if "clip" in views else 1
        self._per_clip = config.num_frames if views == {"frames"} else 1
        span = (self.frames - 1) * config.frame_stride + 1
        anywhere = self.frames > 1 and networks.generator.stationary
        self._latest_start = self.frames if anywhere else 0
        self._shapes = networks.generator.latent_shapes(self._latest_start + span)

    def material(self, purpose: str, draws: StepDraws, known: Conditions) -> Material:
        """For a share of whose real clips this is known; other for each purpose.

        A fake has the times, from some start on, and the label of the real in its place.
        """
        times = known.times
        if times is None:
            raise ValueError("fakes are made at the times of the reals")
        latents = draws.latents(purpose, self._shapes, self._per_clip)
        if known.labels is not None:
            latents[LABEL] = known.labels.repeat_interleave(self._per_clip)
        if self.frames == 1:
            at = torch.zeros(len(times) * self._per_clip, 1, device=draws.device)
        else:
            starts = draws.uniform(f"{purpose} starts")
            at = times + starts[:, None] * self._latest_start
        return Material(latents, at, self._per_clip)
