"""Kernel distance (KVD): unbiased squared MMD with the kernel (x.y / d + 1)^3."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float

from videogen.evaluation.metrics.intervals import Interval, about, jackknife_quantile
from videogen.evaluation.metrics.vectors import Vectors, require_comparable

_BLOCK_ROWS: Final = 256


@dataclass(frozen=True)
class KernelDistance:
    """The distance and how sure it is."""

    value: float
    """May be slightly negative, being unbiased."""
    interval: Interval
    """95 %."""


def kernel_distance(a: Vectors, b: Vectors) -> KernelDistance:
    """The distance (Gretton et al. 2012, eq. 3; Binkowski et al. 2018 for this kernel).

    The variance is the delete-one jackknife's, less what that counts twice of the part that only
    pairs of vectors have (Efron & Stein 1981), which is read off the doubly centred kernels: all
    that there is where both sets are of one distribution. Intervals held the mean in 90 to 98 % of
    cases with 64 to 1,024 clips (95 % being the aim; I3D's logits of moving shapes: 94 % at 64,
    90 % at 256), and in about 85 % where few clips make most of a set's third moments.

    Raises:
        EvaluationError: a set has fewer than two vectors, widths differ, or a value is not finite.
    """
    require_comparable(a, b)
    n, m = len(a), len(b)
    own_a, own_b, across = _own(a), _own(b), _sums(a, b)
    to_b, to_a = across.rows / m, across.columns / n
    value = float(own_a.rows.mean() / (n - 1) + own_b.rows.mean() / (m - 1) - 2 * to_b.mean())
    of_a = 2 * (own_a.rows / (n - 1) - to_b)
    of_b = 2 * (own_b.rows / (m - 1) - to_a)
    slopes = np.concatenate([(of_a - of_a.mean()) / n, (of_b - of_b.mean()) / m])
    first = of_a.var(ddof=1) / n + of_b.var(ddof=1) / m
    beyond = _beyond_own(own_a) + _beyond_own(own_b) + 4 * _beyond_across(across)
    variance = float(max(first - beyond, first / 2))  # by theory no less
    return KernelDistance(value, about(value, variance, jackknife_quantile(slopes)))


@dataclass(frozen=True)
class _Sums:
    """Of the kernel less 1, which leaves the distance as it is, and fewer digits to cancel."""

    rows: Float[np.ndarray, " n"]
    columns: Float[np.ndarray, " m"]
    squares: float


def _sums(a: Vectors, b: Vectors) -> _Sums:
    """Over all pairs, some rows of `a` at a time. Memory: 256 x m float64."""
    right = b.astype(np.float64).T
    rows, columns, squares = np.empty(len(a)), np.zeros(len(b)), 0.0
    for start in range(0, len(a), _BLOCK_ROWS):
        block = slice(start, start + _BLOCK_ROWS)
        kernel = _cubic(a[block].astype(np.float64) @ right / a.shape[1])
        rows[block] = kernel.sum(axis=1)
        columns += kernel.sum(axis=0)
        squares += float(np.square(kernel).sum())
    return _Sums(rows, columns, squares)


def _own(a: Vectors) -> _Sums:
    """Over pairs of two different vectors of one set."""
    every = _sums(a, a)
    alone = _cubic(np.square(a.astype(np.float64)).sum(axis=1) / a.shape[1])
    return _Sums(every.rows - alone, every.columns - alone, every.squares - alone @ alone)


def _cubic(scaled_products: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """(x + 1)^3 - 1."""
    cubic: Float[np.ndarray, "*shape"] = scaled_products * (
        3 + scaled_products * (3 + scaled_products)
    )
    return cubic


def _beyond_own(own: _Sums) -> float:
    """Variance of a set's mean over pairs that its vectors have not alone.

    With k_ij - r_i - r_j + r, r_i being mean rows: the sum of its squares over pairs is expanded,
    so that no matrix is kept.
    """
    n = len(own.rows)
    alone = own.rows / (n - 1) - own.rows.mean() / (n - 1) / 2
    crossed = own.squares - 4 * alone @ own.rows
    squares = crossed + 2 * (n - 2) * np.square(alone).sum() + 2 * alone.sum() ** 2
    return float(2 * squares / (n * max(n - 3, 1)) / (n * (n - 1)))


def _beyond_across(across: _Sums) -> float:
    """The same of the mean over pairs of two sets."""
    n, m = len(across.rows), len(across.columns)
    to_b, to_a, mean = across.rows / m, across.columns / n, across.rows.mean() / m
    squares = across.squares - m * to_b @ to_b - n * to_a @ to_a + n * m * mean**2
    return float(squares / ((n - 1) * (m - 1)) / (n * m))
