"""What every figure asks of sets of feature vectors, and distances between them block by block."""

from collections.abc import Iterator
from typing import Final

import numpy as np
from jaxtyping import Float, Int

from videogen.errors import EvaluationError

Vectors = Float[np.ndarray, "n d"]

MIN_VECTORS: Final = 2
_BLOCK_ROWS: Final = 256
_SAME: Final = 1e-12
"""Squared distances below this share of the two squared lengths are rounding: the vectors, float32
once, are the same."""


def require_comparable(a: Vectors, b: Vectors) -> None:
    """Two sets of finite vectors of one width, each of at least two.

    Raises:
        EvaluationError: they are not.
    """
    if a.ndim != 2 or b.ndim != 2:  # noqa: PLR2004 - rows and columns
        raise EvaluationError(
            f"features have shapes {a.shape} and {b.shape}: a row of features a clip is needed"
        )
    if min(len(a), len(b)) < MIN_VECTORS:
        raise EvaluationError(
            f"cannot compare {len(a)} clips with {len(b)}: each side needs at least {MIN_VECTORS}"
        )
    if a.shape[1:] != b.shape[1:]:
        raise EvaluationError(f"features have different widths: {a.shape[1]} and {b.shape[1]}")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise EvaluationError("features hold NaN or infinity: clips or extractor are broken")


def squared_distances(a: Vectors, b: Vectors) -> Iterator[tuple[slice, Float[np.ndarray, "k m"]]]:
    """Squared Euclidean distances of rows of `a` to all of `b`, some rows of `a` at a time.

    By |x|^2 + |y|^2 - 2 x.y after moving the origin into b's middle, so that little is cancelled;
    what remains of two equal vectors is 0 and not rounding. Memory: 256 x m float64.
    """
    origin = b.mean(axis=0, dtype=np.float64)
    right = b - origin
    squares = np.square(right).sum(axis=1)
    for start in range(0, len(a), _BLOCK_ROWS):
        rows = slice(start, min(start + _BLOCK_ROWS, len(a)))
        left = a[rows] - origin
        lengths = np.square(left).sum(axis=1)[:, None] + squares
        squared = lengths - 2 * (left @ right.T)
        squared[squared < _SAME * lengths] = 0.0
        yield rows, squared


def nearest(
    a: Vectors, b: Vectors, left_out: Int[np.ndarray, " n"] | None = None
) -> tuple[Int[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """Of each row of `a`: the index of b's nearest row, and its Euclidean distance.

    `left_out` names, for each row of `a`, a row of `b` that does not count; -1 for none.
    """
    index = np.empty(len(a), np.int64)
    for rows, squared in squared_distances(a, b):
        if left_out is not None:
            barred = left_out[rows]
            has = np.flatnonzero(barred >= 0)
            squared[has, barred[has]] = np.inf
        index[rows] = squared.argmin(axis=1)
    apart = a.astype(np.float64) - b[index]
    return index, np.sqrt(np.square(apart).sum(axis=1))
