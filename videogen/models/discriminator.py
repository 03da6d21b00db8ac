"""What every discriminator offers: a judgement of clips, seen whole or frame by frame."""

from abc import ABC, abstractmethod
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

View = Literal["clip", "frames", "frame"]
"""What a discriminator is shown of a clip: all of it; each frame as a sample of its own; or one
frame of it, drawn anew in every step."""


class Judgement(NamedTuple):
    """What a discriminator says of samples."""

    logits: Float[Tensor, "b *patches"]
    """How real: one for a sample, or one for each patch of it. Any real numbers."""
    categories: Float[Tensor, "b k"] | None = None
    """Logits of the category that the generator was given; only where it is given one."""


class Conditions(NamedTuple):
    """What is known of samples beside their pixels; None: nothing."""

    times: Float[Tensor, "b f"] | None = None
    """Of their frames, in frames of the data; only the distances between them mean something."""
    labels: Int[Tensor, " b"] | None = None
    """Their classes, from 0 on."""


NOTHING_KNOWN = Conditions()


class VideoDiscriminator(nn.Module, ABC):
    """Judges clips."""

    view: View

    @abstractmethod
    def forward(
        self,
        clips: Float[Tensor, "b f c h w"],
        rng: torch.Generator | None = None,
        known: Conditions = NOTHING_KNOWN,
    ) -> Judgement:
        """Judge samples of `f` frames in [-1, 1] (1 frame unless the view is `clip`).

        A discriminator of labelled clips needs the labels of `known`, and one of unlabelled clips
        does not look at them; without times, frames follow each other.

        All that is random in it comes from `rng`, a generator on the clips' device; without one
        nothing is.
        """
