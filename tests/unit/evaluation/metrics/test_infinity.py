import numpy as np
import pytest

from videogen.evaluation.metrics.frechet import frechet_distance
from videogen.evaluation.metrics.infinity import extrapolate


def two_gaussians(num, seed):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(num, 400)), rng.normal(size=(num, 400)) + 0.1


def test_gaussians_at_a_true_distance_of_four_measure_44_and_extrapolate_to_four():
    a, b = two_gaussians(2048, 0)
    found = extrapolate(a, b)
    assert frechet_distance(a, b) == pytest.approx(44, abs=1.5)
    assert found.value == pytest.approx(4, abs=0.7)
    assert found.inverse_n[0] == 1 / 2048
    assert found.inverse_n[-1] == pytest.approx(1 / 512)
    assert found.distances[0] == pytest.approx(frechet_distance(a, b))


def test_points_lie_on_the_line_through_the_value():
    a, b = two_gaussians(1024, 1)
    found = extrapolate(a[:, :20], b[:, :20])
    slope, value = np.polyfit(found.inverse_n, found.distances, 1)
    assert found.value == pytest.approx(value)
    assert slope > 0


def test_below_1024_clips_there_is_none():
    a, b = two_gaussians(1024, 0)
    assert extrapolate(a[:1023, :5], b[:, :5]) is None
    assert extrapolate(a[:, :5], b[:1023, :5]) is None


def test_subsets_are_the_seeds():
    a, b = (x[:, :5] for x in two_gaussians(1024, 0))
    assert extrapolate(a, b, seed=1) == extrapolate(a, b, seed=1)
    assert extrapolate(a, b, seed=1) != extrapolate(a, b, seed=2)


def test_the_divisor_is_passed_on():
    a, b = (x[:, :5] for x in two_gaussians(1024, 0))
    assert extrapolate(a, b, "n").distances[0] == frechet_distance(a, b, "n")
