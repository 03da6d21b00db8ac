"""All random numbers of a step: functions of the seed, the clips seen and the place in the batch.

What belongs to a clip is drawn for the whole global batch, and a worker takes the rows of its
share: neither a resume nor the number of workers changes it. Numbers are drawn on the CPU, so that
devices do not change them either, and sent without waiting.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from videogen.data.augment import Draws
from videogen.data.loading.order import RandomKey, Share
from videogen.models.latents import draw

_SEED_MASK = (1 << 63) - 1


@dataclass(frozen=True)
class StepDraws:
    """Those of the step that begins after `clips_seen`, for the clips of a share."""

    seed: int
    share: Share
    device: torch.device
    clips_seen: int

    def rng(self, purpose: str, device: torch.device | None = None) -> torch.Generator:
        """A generator for this purpose in this step, on the CPU unless a device is given."""
        word = int(RandomKey.of("train step", self.seed, purpose).draw(self.clips_seen, 1)[0])
        return torch.Generator(device or "cpu").manual_seed(word & _SEED_MASK)

    def masks(self, purpose: str, place: int) -> torch.Generator:
        """For what is random within a discriminator, on the device.

        Such numbers belong to the clips judged together, of which the first has this `place` in
        the global batch: another division of the batch draws others.
        """
        return self.rng(f"{purpose} masks {place}", self.device)

    def latents(
        self, purpose: str, shapes: Mapping[str, tuple[int, ...]], per_clip: int
    ) -> dict[str, Tensor]:
        """Standard normal, `per_clip` rows for each clip of the share, on the device."""
        rng = self.rng(f"{purpose} latents")
        drawn = draw(shapes, self.share.global_batch * per_clip, rng)
        return {name: self._mine(rows, per_clip) for name, rows in drawn.items()}

    def uniform(self, purpose: str) -> Float[Tensor, " b"]:
        """One number in [0, 1) for each clip of the share, on the device."""
        return self._mine(torch.rand(self.share.global_batch, generator=self.rng(purpose)), 1)

    def augmentation(self, purpose: str, per_clip: int) -> Draws:
        """For each sample of each clip of the share, on the device."""
        rng = self.rng(f"{purpose} augmentation")
        drawn = Draws.of(self.share.global_batch * per_clip, rng)
        return Draws(*(self._mine(rows, per_clip) for rows in drawn))

    def _mine(self, rows: Tensor, per_clip: int) -> Tensor:
        return sent(rows[self.share.start * per_clip : self.share.end * per_clip], self.device)


def sent(tensor: Tensor, device: torch.device) -> Tensor:
    """A CPU tensor on the device, without making the host wait for it."""
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)
