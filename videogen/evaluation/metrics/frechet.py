"""Distances between two sets of feature vectors, in float64."""

from typing import Literal

import numpy as np
from jaxtyping import Float

from videogen.errors import EvaluationError

Covariance = Literal["n-1", "n"]

_MIN_VECTORS = 2


def frechet_distance(
    a: Float[np.ndarray, "n d"], b: Float[np.ndarray, "m d"], covariance: Covariance = "n-1"
) -> float:
    """Distance of the Gaussians fitted to two sets: |m1-m2|^2 + tr(S1 + S2 - 2 (S1 S2)^1/2).

    tr (S1 S2)^1/2 is the sum of the square roots of the eigenvalues of S1^1/2 S2 S1^1/2, which is
    symmetric; so nothing complex appears where a covariance is singular. `n-1` is the unbiased
    covariance, `n` the one of NVIDIA's implementations.

    Raises:
        EvaluationError: a set has fewer than two vectors, widths differ, or a value is not finite.
    """
    _require_comparable(a, b)
    mean_a, cov_a = _moments(a, covariance)
    mean_b, cov_b = _moments(b, covariance)
    root = _square_root(cov_a)
    eigenvalues = np.linalg.eigvalsh(root @ cov_b @ root)
    overlap = np.sqrt(np.clip(eigenvalues, 0, None)).sum()
    distance = np.square(mean_a - mean_b).sum() + np.trace(cov_a) + np.trace(cov_b) - 2 * overlap
    return float(max(distance, 0.0))


def kernel_distance(a: Float[np.ndarray, "n d"], b: Float[np.ndarray, "m d"]) -> float:
    """Unbiased squared MMD with the kernel (x.y / d + 1)^3; may be slightly negative.

    Raises:
        EvaluationError: as `frechet_distance`.
    """
    _require_comparable(a, b)
    within = _mean_off_diagonal(_cubic(a, a)) + _mean_off_diagonal(_cubic(b, b))
    return float(within - 2 * _cubic(a, b).mean())


def mean_pairwise_distance(a: Float[np.ndarray, "n d"]) -> float:
    """Mean Euclidean distance between two different vectors of a set: how varied it is.

    Raises:
        EvaluationError: as `frechet_distance`.
    """
    _require_comparable(a, a)
    vectors = a.astype(np.float64)
    centred = vectors - vectors.mean(axis=0)
    squares = np.square(centred).sum(axis=1)
    gram = centred @ centred.T
    squared = np.clip(squares[:, None] + squares[None, :] - 2 * gram, 0, None)
    np.fill_diagonal(squared, 0.0)
    return _mean_off_diagonal(np.sqrt(squared))


def _moments(
    x: Float[np.ndarray, "n d"], covariance: Covariance
) -> tuple[Float[np.ndarray, " d"], Float[np.ndarray, "d d"]]:
    vectors = x.astype(np.float64)
    ddof = 1 if covariance == "n-1" else 0
    return vectors.mean(axis=0), np.atleast_2d(np.cov(vectors, rowvar=False, ddof=ddof))


def _square_root(symmetric: Float[np.ndarray, "d d"]) -> Float[np.ndarray, "d d"]:
    values, vectors = np.linalg.eigh(symmetric)
    root: Float[np.ndarray, "d d"] = (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T
    return root


def _cubic(a: Float[np.ndarray, "n d"], b: Float[np.ndarray, "m d"]) -> Float[np.ndarray, "n m"]:
    products = a.astype(np.float64) @ b.astype(np.float64).T
    kernel: Float[np.ndarray, "n m"] = (products / a.shape[1] + 1) ** 3
    return kernel


def _mean_off_diagonal(matrix: Float[np.ndarray, "n n"]) -> float:
    n = len(matrix)
    return float((matrix.sum() - np.trace(matrix)) / (n * (n - 1)))


def _require_comparable(a: Float[np.ndarray, "n d"], b: Float[np.ndarray, "m d"]) -> None:
    if min(len(a), len(b)) < _MIN_VECTORS:
        raise EvaluationError(
            f"cannot compare {len(a)} clips with {len(b)}: each side needs at least {_MIN_VECTORS}"
        )
    if a.shape[1:] != b.shape[1:]:
        raise EvaluationError(f"features have different widths: {a.shape[1]} and {b.shape[1]}")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise EvaluationError("features hold NaN or infinity: clips or extractor are broken")
