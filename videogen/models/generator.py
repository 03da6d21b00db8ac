"""What every generator offers, whatever it is made of: clips from latents, at any times."""

from abc import ABC, abstractmethod
from collections.abc import Mapping

from jaxtyping import Float, Int
from torch import Tensor, nn

Latents = Mapping[str, Tensor]
"""Standard normal tensors by name, each `(batch, *shape)` with the shape of `latent_shapes`; and,
for a generator of labelled clips, their classes `(batch,)` as `LABEL`."""

CONTENT = "content"
"""The latent that says what is seen; truncation acts on it."""
MOTION = "motion"
"""The latent that says how it moves: `(codes, features)`, one code every so many frames."""
CATEGORY = "category"
"""The latent of scores whose highest says of which category a clip is."""
LABEL = "label"
"""Beside the latents, not drawn with them: each clip's class, an integer; only where classes are
learned."""


class VideoGenerator(nn.Module, ABC):
    """Makes clips; those of a batch depend on nothing but their own latents and times.

    That holds in evaluation mode; in training mode batch norm, where a model has it, mixes a batch.
    """

    stationary: bool = True
    """Whether motion is alike at all times. Clips to train on then start at any time, so that later
    times are learned too; else they start at 0, as those that are asked for do."""

    @abstractmethod
    def latent_shapes(self, num_frames: int) -> dict[str, tuple[int, ...]]:
        """Shapes, without the batch, of the latents for times from 0 up to `num_frames`.

        A longer clip has the same shapes, or more rows; the first rows mean the same frames.

        Raises:
            ConfigError: the model cannot make clips of that many frames.
        """

    @abstractmethod
    def forward(self, latents: Latents, times: Float[Tensor, "b t"]) -> Float[Tensor, "b t c h w"]:
        """Frames at `times` (in frames of the data, from 0, any real number), nominally in [-1, 1].

        There is no final squashing in every model: clamp before making pixels of it.
        """

    def categories(
        self,
        latents: Latents,  # noqa: ARG002 - for the models that have categories
    ) -> Int[Tensor, " b"] | None:
        """Which category each clip is of, for discriminators that guess it; None: there is none."""
        return None
