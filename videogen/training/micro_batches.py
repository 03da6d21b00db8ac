"""A worker's share in parts that fit its memory, and means over them."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from videogen.data.loading.order import Share
from videogen.training.fakes import Material


@dataclass(frozen=True)
class MicroBatch:
    """Clips that a worker computes at once."""

    start: int
    """Place in the worker's share of the first."""
    end: int
    material: Material
    """What their fakes are made of."""
    weight: float
    """Of their mean loss, for gradients that add up to those of the mean over the global batch."""

    @property
    def rows(self) -> slice:
        """Their rows in the worker's share."""
        return slice(self.start, self.end)


def divided(num_clips: int, max_clips: int | None) -> list[tuple[int, int]]:
    """Starts and ends of the fewest parts of at most `max_clips`; sizes differ by one at most."""
    num_parts = -(-num_clips // (max_clips or num_clips))
    parts = [Share(num_clips, num_parts, index) for index in range(num_parts)]
    return [(part.start, part.end) for part in parts]


class Means:
    """Of figures of micro-batches, each counting by its clips."""

    def __init__(self, num_clips: int) -> None:
        self._num_clips = num_clips
        self._sums: dict[str, Tensor] = {}

    def add(self, figures: Mapping[str, Tensor], part: MicroBatch) -> None:
        """Count those of one micro-batch."""
        weight = (part.end - part.start) / self._num_clips
        for name, value in figures.items():
            weighted = value if weight == 1 else value * weight
            self._sums[name] = self._sums[name] + weighted if name in self._sums else weighted

    def read(self) -> dict[str, Tensor]:
        """The means, where the figures are."""
        return dict(self._sums)
