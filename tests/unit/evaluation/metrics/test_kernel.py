import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.metrics.pairwise import polynomial_kernel

from videogen.errors import EvaluationError
from videogen.evaluation.metrics.kernel import kernel_distance


@pytest.mark.parametrize(("num", "expected"), [(2048, 0.0298877828), (256, 0.0315368290)])
def test_kernel_distance_has_the_golden_values(num, expected):
    a = np.random.RandomState(0).randn(num, 400)
    b = np.random.RandomState(1).randn(num, 400) + 0.1
    assert_allclose(kernel_distance(a, b).value, expected, rtol=1e-6)


def by_sklearn(a, b):
    own_a, own_b = (polynomial_kernel(x, degree=3, coef0=1) for x in (a, b))
    across = polynomial_kernel(a, b, degree=3, coef0=1).mean()
    pairs = [(x.sum() - np.trace(x)) / (len(x) * (len(x) - 1)) for x in (own_a, own_b)]
    return sum(pairs) - 2 * across


@pytest.mark.parametrize("shapes", [((30, 7), (20, 7)), ((5, 40), (6, 40)), ((2, 3), (2, 3))])
def test_kernel_distance_agrees_with_scikit_learns_polynomial_kernel(shapes):
    rng = np.random.default_rng(0)
    a, b = (rng.normal(size=shape) for shape in shapes)
    assert_allclose(kernel_distance(a, b).value, by_sklearn(a, b), rtol=1e-10)
    constant = np.ones_like(b)
    assert_allclose(kernel_distance(a, constant).value, by_sklearn(a, constant), rtol=1e-10)


def test_kernel_distance_is_zero_on_average_for_sets_of_one_distribution():
    rng = np.random.default_rng(3)
    found = [
        kernel_distance(rng.normal(size=(20, 5)), rng.normal(size=(20, 5))).value
        for _ in range(400)
    ]
    assert abs(np.mean(found)) < 3 * np.std(found) / 20
    assert min(found) < 0


@pytest.mark.parametrize("shift", [0.0, 0.5], ids=["one distribution", "two"])
def test_intervals_are_as_wide_as_the_estimates_spread_and_hold_its_mean(shift):
    rng = np.random.default_rng(4)
    found = [
        kernel_distance(rng.normal(size=(40, 8)), rng.normal(size=(50, 8)) + shift)
        for _ in range(400)
    ]
    values = np.array([one.value for one in found])
    low, high = np.array([one.interval for one in found]).T
    assert np.mean(high - low) / 2 / 1.96 == pytest.approx(values.std(), rel=0.2)
    assert np.mean((low <= values.mean()) & (values.mean() <= high)) >= 0.91


def test_kernel_distance_refuses_what_cannot_be_compared():
    with pytest.raises(EvaluationError, match="3 and 4"):
        kernel_distance(np.zeros((5, 3)), np.zeros((5, 4)))
