import numpy as np
import pytest
from numpy.testing import assert_allclose

from videogen.errors import EvaluationError
from videogen.evaluation.metrics.frechet import (
    frechet_distance,
    kernel_distance,
    mean_pairwise_distance,
)


def golden_sets(num):
    a = np.random.RandomState(0).randn(num, 400)
    b = np.random.RandomState(1).randn(num, 400) + 0.1
    return a, b


@pytest.mark.parametrize(
    ("num", "unbiased", "biased", "kernel"),
    [
        (2048, 43.57697833, 43.55780975, 0.0298877828),
        (256, 301.8823882, 300.7313744, 0.0315368290),
    ],
)
def test_distances_have_the_golden_values(num, unbiased, biased, kernel):
    a, b = golden_sets(num)
    assert_allclose(frechet_distance(a, b), unbiased, rtol=1e-6)
    assert_allclose(frechet_distance(a, b, "n"), biased, rtol=1e-6)
    assert_allclose(kernel_distance(a, b), kernel, rtol=1e-6)


def test_frechet_distance_is_the_formula_with_the_eigenvalues_of_the_plain_product():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(50, 6)), rng.normal(size=(40, 6)) @ rng.normal(size=(6, 6)) + 1
    cov_a, cov_b = np.cov(a.T), np.cov(b.T)
    overlap = np.sqrt(np.linalg.eigvals(cov_a @ cov_b).astype(complex)).real.sum()
    shift = np.square(a.mean(0) - b.mean(0)).sum()
    expected = shift + np.trace(cov_a) + np.trace(cov_b) - 2 * overlap
    assert_allclose(frechet_distance(a, b), expected, rtol=1e-9)


def test_frechet_distance_of_a_set_to_itself_is_zero_even_where_its_covariance_is_singular():
    x = np.random.default_rng(0).normal(size=(8, 30)).astype(np.float32)
    assert frechet_distance(x, x) == pytest.approx(0, abs=1e-6)


def test_frechet_distance_of_diagonal_gaussians_is_the_closed_form():
    signs = np.array([[x, y] for x in (-1.0, 1.0) for y in (-1.0, 1.0)])  # covariance I, by "n"
    a, b = signs * [1.0, 2.0], signs * [3.0, 0.5] + [1.0, -2.0]
    expected = (1 + 4) + (1 - 3) ** 2 + (2 - 0.5) ** 2
    assert_allclose(frechet_distance(a, b, "n"), expected, rtol=1e-12)


def test_kernel_distance_is_the_unbiased_mean_over_pairs():
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(5, 3)), rng.normal(size=(4, 3))

    def kernel(x, y):
        return (x @ y / 3 + 1) ** 3

    def within(xs):
        pairs = [(i, j) for i in range(len(xs)) for j in range(len(xs)) if i != j]
        return np.mean([kernel(xs[i], xs[j]) for i, j in pairs])

    across = np.mean([kernel(x, y) for x in a for y in b])
    assert_allclose(kernel_distance(a, b), within(a) + within(b) - 2 * across, rtol=1e-12)


def test_mean_pairwise_distance_leaves_out_a_vector_and_itself():
    x = np.array([[0.0, 0.0], [3.0, 4.0], [0.0, 0.0]])
    assert_allclose(mean_pairwise_distance(x), (5 + 0 + 5) / 3)


@pytest.mark.parametrize(
    ("a", "b", "said"),
    [
        (np.zeros((1, 3)), np.zeros((5, 3)), "at least 2"),
        (np.zeros((5, 3)), np.zeros((5, 4)), "3 and 4"),
        (np.full((5, 3), np.nan), np.zeros((5, 3)), "NaN"),
    ],
)
def test_sets_that_cannot_be_compared_are_refused(a, b, said):
    with pytest.raises(EvaluationError, match=said):
        frechet_distance(a, b)
