"""Precision, recall, density and coverage: how two sets of vectors lie among each other."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float

from videogen.errors import EvaluationError
from videogen.evaluation.metrics.vectors import Vectors, require_comparable, squared_distances

_ROUNDING: Final = 1 + 1e-9
"""A ball holds what lies on it, also where the same distance was computed in another order."""


@dataclass(frozen=True)
class Neighbourhood:
    """Shares of clips; `density` may exceed 1."""

    precision: float
    """Fakes within some real's ball."""
    recall: float
    """Reals within some fake's ball."""
    density: float
    """Reals' balls that hold a fake, on average, over k."""
    coverage: float
    """Reals whose ball holds a fake."""


def neighbourhood(real: Vectors, fake: Vectors, k: int) -> Neighbourhood:
    """The four figures of Naeem et al. 2020, eqs. 1-2 and 5-6.

    A vector's ball reaches to its k-th nearest neighbour in its own set, itself not counted, and
    holds its surface (Kynkaanniemi et al. 2019, eq. 1): where k + 1 reals are the same clip, their
    ball still holds a fake that is that clip, too. Distances come block by block: memory is
    256 x n float64.

    Raises:
        EvaluationError: a set has no more than k vectors, widths differ, or a value is not finite.
    """
    require_comparable(real, fake)
    if min(len(real), len(fake)) <= k:
        raise EvaluationError(
            f"{k} neighbours of each clip need more than {k} clips a side, there are {len(real)} "
            f"real and {len(fake)} fake ones: lower evaluate.neighbours or take more clips"
        )
    reach_real, reach_fake = _reach(real, k), _reach(fake, k)
    held = np.zeros(len(fake), np.int64)  # by how many reals' balls
    recalled = covered = 0
    for rows, squared in squared_distances(real, fake):
        inside = squared <= reach_real[rows, None]
        held += inside.sum(axis=0)
        covered += int(inside.any(axis=1).sum())
        recalled += int((squared <= reach_fake).any(axis=1).sum())
    return Neighbourhood(
        precision=float((held > 0).mean()),
        recall=recalled / len(real),
        density=float(held.mean()) / k,
        coverage=covered / len(real),
    )


def _reach(x: Vectors, k: int) -> Float[np.ndarray, " n"]:
    """Squared distance of each row to its k-th nearest other row."""
    reach = np.empty(len(x))
    for rows, squared in squared_distances(x, x):
        squared[np.arange(len(squared)), np.arange(len(x))[rows]] = -1.0  # itself, ever nearest
        reach[rows] = np.partition(squared, k, axis=1)[:, k]
    return reach * _ROUNDING
