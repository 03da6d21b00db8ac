"""Near-copies: generated clips that lie nearer to a training clip than real clips lie."""

from collections import defaultdict
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float, Int

from videogen.evaluation.metrics.vectors import Vectors, nearest, require_comparable

NEAR_QUANTILE: Final = 0.05
_CURVE_POINTS: Final = 101


@dataclass(frozen=True)
class Memorisation:
    """Nearest training clips of the fakes, and of the reals for comparison."""

    rate: float
    """Share of fakes that are near-copies; clips as good as reals measure 0.05."""
    threshold: float
    """Distance up to which a fake is one."""
    index: Int[np.ndarray, " n"]
    """Of each fake: the row of its nearest training clip."""
    fake: Float[np.ndarray, " n"]
    """Of each fake: how far that is, Euclidean."""
    real: Float[np.ndarray, " m"]
    """The same of each real."""

    def quantiles(self) -> dict[str, tuple[float, ...]]:
        """0 %, 1 % … 100 % of both distances, by `fake` and `real`."""
        points = np.linspace(0, 1, _CURVE_POINTS)
        both = {"fake": self.fake, "real": self.real}
        return {name: tuple(np.quantile(x, points).tolist()) for name, x in both.items()}


def memorisation(fake: Vectors, real: Vectors, training: Vectors) -> Memorisation:
    """How many fakes are near-copies of training clips.

    A near-copy is no farther from its nearest training clip than the 5 % quantile of that distance
    over real clips. A real clip that is itself among the training clips (its row is theirs to the
    bit) is not compared with itself: one such row is left out. A second one, a duplicate in the
    data, counts, at distance 0. So fakes as good as unseen reals measure 0.05, and copies 1.

    Raises:
        EvaluationError: fewer than two vectors a set, widths differ, or a value is not finite.
    """
    require_comparable(fake, training)
    require_comparable(real, training)
    index, of_fakes = nearest(fake, training)
    _, of_reals = nearest(real, training, _own_rows(real, training))
    threshold = float(np.quantile(of_reals, NEAR_QUANTILE))
    return Memorisation(
        rate=float((of_fakes <= threshold).mean()),
        threshold=threshold,
        index=index,
        fake=of_fakes,
        real=of_reals,
    )


def _own_rows(real: Vectors, training: Vectors) -> Int[np.ndarray, " m"]:
    """Of each real: a training row equal to it, no row twice; -1 where there is none."""
    rows: defaultdict[bytes, list[int]] = defaultdict(list)
    for index in reversed(range(len(training))):
        rows[training[index].tobytes()].append(index)
    own = np.full(len(real), -1, np.int64)
    for index, vector in enumerate(real.astype(training.dtype)):
        known = rows[vector.tobytes()]
        if known:
            own[index] = known.pop()
    return own
