"""What a discriminator is shown of clips: its view of them, augmented."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from videogen.config.augment import AugmentConfig
from videogen.data.augment import Draws, augment
from videogen.models.discriminator import Conditions, View
from videogen.training.draws import StepDraws

Clips = Float[Tensor, "b t c h w"]


@dataclass(frozen=True)
class Augmentation:
    """What is done to clips at one point of a run."""

    config: AugmentConfig
    probability: float


@dataclass(frozen=True)
class Sight:
    """One discriminator's view of the clips of a share in one step; drawn once, for both updates.

    Real clips have one and fakes another.
    """

    view: View
    per_clip: int
    """Samples that a clip gives: its frames where each is a sample of its own, else 1."""
    instants: Float[Tensor, " b"] | None
    """Where in each clip the frame that is looked at lies, of [0, 1); only for `frame`."""
    augmentation: Augmentation
    draws: Draws | None
    """For each sample; None where nothing is augmented."""

    @classmethod
    def drawn(
        cls, view: View, purpose: str, num_frames: int, draws: StepDraws, augmentation: Augmentation
    ) -> "Sight":
        """That of clips of `num_frames`."""
        per_clip = num_frames if view == "frames" else 1
        instants = draws.uniform(f"{purpose} frame") if view == "frame" else None
        changes = draws.augmentation(purpose, per_clip) if augmentation.probability > 0 else None
        return cls(view, per_clip, instants, augmentation, changes)

    def known(self, known: Conditions, rows: slice) -> Conditions:
        """Of the samples of some of the share's clips. Single frames have no times."""
        labels = None if known.labels is None else known.labels[rows]
        if labels is not None and self.per_clip > 1:
            labels = labels.repeat_interleave(self.per_clip)
        times = known.times[rows] if known.times is not None and self.view == "clip" else None
        return Conditions(times, labels)

    def of(self, clips: Clips, start: int, end: int) -> Float[Tensor, "n f c h w"]:
        """Samples of the clips `start` to `end` of the share, which are given alone."""
        if self.view == "frames":
            clips = clips.flatten(0, 1).unsqueeze(1)
        if self.instants is not None:
            frames = (self.instants[start:end] * clips.shape[1]).long()
            clips = torch.take_along_dim(clips, frames[:, None, None, None, None], dim=1)
        if self.draws is None:
            return clips
        draws = self.draws.part(start * self.per_clip, end * self.per_clip)
        return augment(clips, self.augmentation.config, self.augmentation.probability, draws)
