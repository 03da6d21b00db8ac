import numpy as np
import pytest
from numpy.testing import assert_allclose

from videogen.errors import EvaluationError
from videogen.evaluation.metrics.diversity import mean_pairwise_distance


def test_mean_pairwise_distance_leaves_out_a_vector_and_itself():
    x = np.array([[0.0, 0.0], [3.0, 4.0], [0.0, 0.0]])
    assert_allclose(mean_pairwise_distance(x), (5 + 0 + 5) / 3)


def test_mean_pairwise_distance_is_the_mean_over_pairs_across_blocks():
    x = np.random.default_rng(0).normal(size=(300, 3)) + 50
    every = np.linalg.norm(x[:, None] - x[None], axis=2)
    assert_allclose(mean_pairwise_distance(x), every.sum() / (300 * 299), rtol=1e-9)


def test_a_set_of_one_vector_repeated_has_no_diversity_not_even_by_rounding():
    x = np.repeat(np.random.default_rng(0).normal(size=(1, 400)), 9, axis=0)
    assert mean_pairwise_distance(x) == 0


def test_one_vector_is_refused():
    with pytest.raises(EvaluationError, match="at least 2"):
        mean_pairwise_distance(np.zeros((1, 3)))
