"""Fréchet distance of the Gaussians fitted to two sets of vectors, and what each vector adds to it.

FD = |m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^1/2). With A and B the centred rows over sqrt(N - 1),
S1 = A'A and S2 = B'B, and tr (S1 S2)^1/2 is the sum of the singular values of A B': the same as by
the eigenvalues of S1^1/2 S2 S1^1/2, with no square root of a singular matrix, exact where N is
below d, and of the smaller of the two sizes. Covariances by N scale that sum; nothing is computed
twice for them.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float

from videogen.evaluation.metrics.vectors import Vectors, require_comparable

Covariance = Literal["n-1", "n"]
"""Divisor of covariances: `n-1` is unbiased, `n` is that of NVIDIA's implementations."""

Influences = tuple[Float[np.ndarray, " n"], Float[np.ndarray, " m"]]
"""A number for each vector of either set."""


@dataclass(frozen=True)
class Frechet:
    """The parts of a distance, covariances by N - 1."""

    num_a: int
    num_b: int
    shift: float
    """|m1 - m2|^2."""
    spread_a: float
    """tr S1."""
    spread_b: float
    overlap: float
    """tr (S1 S2)^1/2."""

    def distance(self, covariance: Covariance = "n-1") -> float:
        """The distance; never below 0."""
        scale_a, scale_b = self.scales(covariance)
        own = scale_a**2 * self.spread_a + scale_b**2 * self.spread_b
        return max(self.shift + own - 2 * scale_a * scale_b * self.overlap, 0.0)

    def scales(self, covariance: Covariance) -> tuple[float, float]:
        """By what the centred rows of either set are multiplied for this divisor."""
        if covariance == "n-1":
            return 1.0, 1.0
        return (1 - 1 / self.num_a) ** 0.5, (1 - 1 / self.num_b) ** 0.5


def frechet_distance(a: Vectors, b: Vectors, covariance: Covariance = "n-1") -> float:
    """The distance.

    Raises:
        EvaluationError: a set has fewer than two vectors, widths differ, or a value is not finite.
    """
    return frechet(a, b).distance(covariance)


def frechet(a: Vectors, b: Vectors, weights: Influences | None = None) -> Frechet:
    """The distance's parts, from which it comes with either divisor.

    `weights` says how often each vector of either set counts; their mean is 1.

    Raises:
        EvaluationError: as `frechet_distance`.
    """
    require_comparable(a, b)
    of_a, of_b = weights or (None, None)
    moments = _moments(a, of_a), _moments(b, of_b)
    product = _triangle(moments[0].rows) @ _triangle(moments[1].rows).T
    return _parts(*moments, np.linalg.svd(product, compute_uv=False))


def frechet_influences(
    a: Vectors, b: Vectors, covariance: Covariance = "n-1"
) -> tuple[Frechet, Influences]:
    """The distance's parts, and its derivative by the weight of each vector, centred per set.

    Weights are 1; a derivative of g says that a vector which counted 1 + e would move the distance
    by e g. That of the overlap is half the diagonal of the polar factor (A B' B A')^1/2, since
    the derivative of a sum of singular values U s V' is U V'. The sum of the squares of all is the
    infinitesimal jackknife's variance of the distance.

    Raises:
        EvaluationError: as `frechet_distance`.
    """
    require_comparable(a, b)
    first, other = _moments(a), _moments(b)
    basis_a, triangle_a = _factors(first.rows)
    basis_b, triangle_b = _factors(other.rows)
    left, values, right = np.linalg.svd(triangle_a @ triangle_b.T, full_matrices=False)
    parts = _parts(first, other, values)
    scale_a, scale_b = parts.scales(covariance)
    shared_a = _diagonal(basis_a, left, values) * scale_a * scale_b
    shared_b = _diagonal(basis_b, right.T, values) * scale_a * scale_b
    shift = first.mean - other.mean
    of_a = scale_a**2 * first.squares - shared_a + _lean(first.rows, shift)
    of_b = scale_b**2 * other.squares - shared_b - _lean(other.rows, shift)
    return parts, (of_a - of_a.mean(), of_b - of_b.mean())


@dataclass(frozen=True)
class _Moments:
    mean: Float[np.ndarray, " d"]
    rows: Vectors
    """Less their mean, over sqrt(N - 1): their product with themselves is the covariance."""

    @property
    def squares(self) -> Float[np.ndarray, " n"]:
        """What each row adds to the trace of the covariance."""
        squares: Float[np.ndarray, " n"] = np.square(self.rows).sum(axis=1)
        return squares


def _moments(x: Vectors, weights: Float[np.ndarray, " n"] | None = None) -> _Moments:
    vectors = x.astype(np.float64)
    if weights is None:
        mean = vectors.mean(axis=0)
        return _Moments(mean, (vectors - mean) / np.sqrt(len(x) - 1))
    mean = weights @ vectors / len(x)
    return _Moments(mean, np.sqrt(weights / (len(x) - 1))[:, None] * (vectors - mean))


def _triangle(rows: Vectors) -> Float[np.ndarray, "k d"]:
    """At most d rows with the same covariance."""
    n, d = rows.shape
    if n <= d:
        return rows
    return np.asarray(np.linalg.qr(rows, mode="r"))


def _factors(
    rows: Vectors,
) -> tuple[Float[np.ndarray, "n k"] | None, Float[np.ndarray, "k d"]]:
    """Q and R of the rows; no Q where there are too few rows for it to save anything."""
    n, d = rows.shape
    if n <= d:
        return None, rows
    basis, triangle = np.linalg.qr(rows)
    return basis, triangle


def _diagonal(
    basis: Float[np.ndarray, "n k"] | None,
    left: Float[np.ndarray, "k r"],
    values: Float[np.ndarray, " r"],
) -> Float[np.ndarray, " n"]:
    """Diagonal of U s U'."""
    vectors = left if basis is None else basis @ left
    diagonal: Float[np.ndarray, " n"] = np.square(vectors) @ values
    return diagonal


def _lean(rows: Vectors, shift: Float[np.ndarray, " d"]) -> Float[np.ndarray, " n"]:
    """Derivative of |shift|^2 by the weight of each row of the set that it points to."""
    lean: Float[np.ndarray, " n"] = rows @ shift * (2 * np.sqrt(len(rows) - 1) / len(rows))
    return lean


def _parts(a: _Moments, b: _Moments, values: Float[np.ndarray, " r"]) -> Frechet:
    return Frechet(
        num_a=len(a.rows),
        num_b=len(b.rows),
        shift=float(np.square(a.mean - b.mean).sum()),
        spread_a=float(a.squares.sum()),
        spread_b=float(b.squares.sum()),
        overlap=float(values.sum()),
    )
