"""How varied a set of vectors is: low beside the reals' tells of collapse."""

import numpy as np

from videogen.evaluation.metrics.vectors import Vectors, require_comparable, squared_distances


def mean_pairwise_distance(a: Vectors) -> float:
    """Mean Euclidean distance between two different vectors of a set.

    Raises:
        EvaluationError: fewer than two vectors, or a value is not finite.
    """
    require_comparable(a, a)
    total = sum(float(np.sqrt(squared).sum()) for _, squared in squared_distances(a, a))
    return total / (len(a) * (len(a) - 1))
