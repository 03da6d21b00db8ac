import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.linalg import sqrtm

from videogen.errors import EvaluationError
from videogen.evaluation.metrics.frechet import frechet, frechet_distance, frechet_influences


@pytest.mark.parametrize(
    ("num", "unbiased", "biased"),
    [(2048, 43.57697833, 43.55780975), (256, 301.8823882, 300.7313744)],
)
def test_frechet_distances_have_the_golden_values(num, unbiased, biased):
    a = np.random.RandomState(0).randn(num, 400)
    b = np.random.RandomState(1).randn(num, 400) + 0.1
    assert_allclose(frechet_distance(a, b), unbiased, rtol=1e-6)
    assert_allclose(frechet_distance(a, b, "n"), biased, rtol=1e-6)


def by_sqrtm(a, b, ddof=1):
    """The formula as it is usually written."""
    cov_a, cov_b = (np.atleast_2d(np.cov(x, rowvar=False, ddof=ddof)) for x in (a, b))
    shift = np.square(a.mean(0) - b.mean(0)).sum()
    return shift + np.trace(cov_a + cov_b) - 2 * np.trace(sqrtm(cov_a @ cov_b)).real


def drawn(num, width, seed, rank=None):
    rng = np.random.default_rng(seed)
    rank = rank or width
    return rng.normal(size=(num, rank)) @ rng.normal(size=(rank, width)) + rng.normal(size=width)


@pytest.mark.filterwarnings("ignore:.*singular")
@pytest.mark.parametrize(
    ("a", "b"),
    [
        pytest.param(drawn(200, 20, 0), drawn(150, 20, 1), id="more clips than features"),
        pytest.param(drawn(12, 20, 0), drawn(15, 20, 1), id="fewer clips than features"),
        pytest.param(drawn(12, 20, 0), drawn(90, 20, 1), id="fewer on one side"),
        pytest.param(drawn(90, 20, 0, rank=3), drawn(80, 20, 1, rank=4), id="rank-deficient"),
        pytest.param(drawn(90, 20, 0), np.ones((80, 20)), id="one side constant"),
        pytest.param(np.zeros((9, 20)), np.ones((8, 20)), id="both sides constant"),
        pytest.param(drawn(90, 1, 0), drawn(80, 1, 1), id="one feature"),
    ],
)
def test_frechet_distance_agrees_with_scipys_matrix_square_root(a, b):
    for divisor, ddof in (("n-1", 1), ("n", 0)):
        # sqrtm of a singular product is right to the square root of rounding only
        assert_allclose(frechet_distance(a, b, divisor), by_sqrtm(a, b, ddof), rtol=1e-6, atol=2e-5)


@pytest.mark.parametrize("shape", [(8, 30), (60, 30), (60, 1)])
def test_frechet_distance_of_a_set_to_itself_is_zero(shape):
    x = 100 * np.random.default_rng(0).normal(size=shape).astype(np.float32)
    assert frechet_distance(x, x) == pytest.approx(0, abs=1e-8)


def test_frechet_distance_is_symmetric_and_does_not_change_with_the_order_of_clips():
    a, b = drawn(30, 8, 0), drawn(40, 8, 1)
    assert_allclose(frechet_distance(a, b), frechet_distance(b, a), rtol=1e-12)
    assert_allclose(frechet_distance(a, b), frechet_distance(a[::-1], b), rtol=1e-12)


def test_frechet_distance_of_diagonal_gaussians_is_the_closed_form():
    signs = np.array([[x, y] for x in (-1.0, 1.0) for y in (-1.0, 1.0)])  # covariance I, by "n"
    a, b = signs * [1.0, 2.0], signs * [3.0, 0.5] + [1.0, -2.0]
    expected = (1 + 4) + (1 - 3) ** 2 + (2 - 0.5) ** 2
    assert_allclose(frechet_distance(a, b, "n"), expected, rtol=1e-12)


@pytest.mark.parametrize("covariance", ["n-1", "n"])
@pytest.mark.parametrize(("num", "width"), [(40, 6), (7, 15)])
def test_influences_are_the_derivative_by_the_weight_of_each_clip(covariance, num, width):
    a, b = drawn(num, width, 0), drawn(num + 2, width, 1)
    parts, (of_a, of_b) = frechet_influences(a, b, covariance)
    assert_allclose(parts.distance(covariance), frechet_distance(a, b, covariance), rtol=1e-12)
    rng = np.random.default_rng(2)
    for _ in range(3):
        along_a, along_b = rng.normal(size=len(a)), rng.normal(size=len(b))
        along_a, along_b = along_a - along_a.mean(), along_b - along_b.mean()

        def at(step, along_a=along_a, along_b=along_b):
            weights = 1 + step * along_a, 1 + step * along_b
            return frechet(a, b, weights).distance(covariance)

        slope = (at(1e-5) - at(-1e-5)) / 2e-5
        assert_allclose(slope, along_a @ of_a + along_b @ of_b, rtol=1e-5)


def test_a_clip_that_counts_twice_is_a_clip_that_is_there_twice():
    a, b = drawn(10, 4, 0), drawn(12, 4, 1)
    weights = np.ones(10)
    weights[:2] = 2, 0
    doubled = np.concatenate([a[[0]], a[[0]], a[2:]])
    assert_allclose(
        frechet(a, b, (weights, np.ones(12))).distance(), frechet_distance(doubled, b), rtol=1e-12
    )


@pytest.mark.parametrize(
    ("a", "b", "said"),
    [
        (np.zeros((1, 3)), np.zeros((5, 3)), "at least 2"),
        (np.zeros((5, 3)), np.zeros((5, 4)), "3 and 4"),
        (np.full((5, 3), np.nan), np.zeros((5, 3)), "NaN"),
        (np.zeros(5), np.zeros((5, 3)), r"shapes \(5,\)"),
    ],
)
def test_sets_that_cannot_be_compared_are_refused(a, b, said):
    with pytest.raises(EvaluationError, match=said):
        frechet_distance(a, b)
