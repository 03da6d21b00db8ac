"""Kernel distance (KVD): unbiased squared MMD with the kernel (x.y / d + 1)^3."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from videogen.evaluation.metrics.intervals import Interval, about, jackknife_quantile
from videogen.evaluation.metrics.vectors import Vectors, require_comparable


@dataclass(frozen=True)
class KernelDistance:
    """The distance and how sure it is."""

    value: float
    """May be slightly negative, being unbiased."""
    variance: float
    """Of the value at this number of clips; its square root is in the value's unit."""
    interval: Interval
    """95 %."""


def kernel_distance(a: Vectors, b: Vectors) -> float:
    """The distance alone.

    Raises:
        EvaluationError: a set has fewer than two vectors, widths differ, or a value is not finite.
    """
    return kernel_estimate(a, b).value


def kernel_estimate(a: Vectors, b: Vectors) -> KernelDistance:
    """The distance (Gretton et al. 2012, eq. 3; Binkowski et al. 2018 for this kernel).

    The variance is the delete-one jackknife's, less what that counts twice of the part that only
    pairs of vectors have (Efron & Stein 1981), which is read off the doubly centred kernels: all
    that there is where both sets are of one distribution.

    Raises:
        EvaluationError: as `kernel_distance`.
    """
    require_comparable(a, b)
    own_a, own_b, across = _cubic(a, a), _cubic(b, b), _cubic(a, b)
    np.fill_diagonal(own_a, 0.0)
    np.fill_diagonal(own_b, 0.0)
    n, m = across.shape
    rows_a, rows_b = own_a.sum(axis=1) / (n - 1), own_b.sum(axis=1) / (m - 1)
    value = rows_a.mean() + rows_b.mean() - 2 * across.mean()
    of_a = 2 * (rows_a - across.mean(axis=1))
    of_b = 2 * (rows_b - across.mean(axis=0))
    first = of_a.var(ddof=1) / n + of_b.var(ddof=1) / m
    pairs = 2 * _pair_variance(own_a, rows_a) / (n * (n - 1))
    pairs += 2 * _pair_variance(own_b, rows_b) / (m * (m - 1))
    centred = across - across.mean(axis=0) - across.mean(axis=1)[:, None] + across.mean()
    pairs += 4 * np.square(centred).sum() / max((n - 1) * (m - 1), 1) / (n * m)
    variance = float(max(first - pairs, first / 2))
    slopes = np.concatenate([(of_a - of_a.mean()) / n, (of_b - of_b.mean()) / m])
    interval = about(float(value), variance, jackknife_quantile(slopes))
    return KernelDistance(float(value), variance, interval)


def _cubic(a: Vectors, b: Vectors) -> Float[np.ndarray, "n m"]:
    products = a.astype(np.float64) @ b.astype(np.float64).T
    kernel: Float[np.ndarray, "n m"] = (products / a.shape[1] + 1) ** 3
    return kernel


def _pair_variance(own: Float[np.ndarray, "n n"], rows: Float[np.ndarray, " n"]) -> float:
    """Mean square of what a pair has beyond what its two vectors have alone."""
    n = len(own)
    beyond = own - rows - rows[:, None] + rows.mean()
    np.fill_diagonal(beyond, 0.0)
    return float(np.square(beyond).sum() / (n * max(n - 3, 1)))
