from functools import cache

import numpy as np
import pytest
from scipy.stats import t

from videogen.evaluation.metrics.frechet import frechet_influences
from videogen.evaluation.metrics.intervals import Z_95, about, frechet_interval, jackknife_quantile


@cache
def factors(width):
    """Few directions hold most of the variance, as in logits."""
    rng = np.random.default_rng(9)
    rotation, _ = np.linalg.qr(rng.normal(size=(width, width)))
    return np.sqrt(50 * np.arange(1, width + 1) ** -1.5)[:, None] * rotation


def independent(rng, num, width, shift):
    return rng.normal(size=(num, width)) + 0.1 * shift


def correlated(rng, num, width, shift):
    return (1 + 0.3 * shift) * rng.normal(size=(num, width)) @ factors(width) + 0.1 * shift


def low_rank(rng, num, width, shift):
    codes = np.tanh(rng.normal(size=(num, 12)) @ factors(60)[:12])
    noise = 0.2 * rng.normal(size=(num, width))
    return (1 + 0.3 * shift) * 2 * codes @ factors(width)[:60] + noise


def estimates(draw, num, width, turns, shift=1):
    """Points, and their intervals, of as many pairs of sets."""
    rng = np.random.default_rng(num)
    points, intervals = [], []
    for _ in range(turns):
        pair = draw(rng, num, width, 0), draw(rng, num, width, shift)
        parts, influences = frechet_influences(*pair)
        points.append(parts.distance())
        intervals.append(frechet_interval(points[-1], influences))
    return np.array(points), np.array(intervals)


@pytest.mark.parametrize(
    ("draw", "num", "width", "turns"),
    [
        (independent, 64, 400, 300),
        (correlated, 64, 400, 300),
        (low_rank, 64, 400, 300),
        (correlated, 256, 400, 60),
        (low_rank, 256, 400, 60),
        (correlated, 1024, 100, 60),
        (low_rank, 1024, 100, 60),
    ],
)
def test_intervals_hold_their_point_and_in_19_of_20_cases_the_mean(draw, num, width, turns):
    points, intervals = estimates(draw, num, width, turns)
    low, high = intervals.T
    assert ((low < points) & (points < high)).all()
    assert ((low <= points.mean()) & (points.mean() <= high)).mean() >= 0.91
    widths = (high - low) / (2 * Z_95 * points.std())
    assert 0.9 < widths.mean() < 1.6  # of one that knew the spread of such points


def test_intervals_hold_the_mean_also_for_two_sets_of_one_distribution():
    points, (low, high) = (x.T for x in estimates(low_rank, 64, 400, 200, shift=0))
    assert ((low <= points.mean()) & (points.mean() <= high)).mean() >= 0.91


def test_the_naive_bootstrap_would_exclude_its_own_point():
    rng = np.random.default_rng(0)
    a, b = independent(rng, 64, 400, 0), independent(rng, 64, 400, 1)
    parts, influences = frechet_influences(a, b)
    again = [
        frechet_influences(a[rng.integers(64, size=64)], b[rng.integers(64, size=64)])[0].distance()
        for _ in range(40)
    ]
    low, high = frechet_interval(parts.distance(), influences)
    assert low < parts.distance() < high
    assert min(again) > high


def test_an_interval_is_never_below_zero_and_is_a_point_where_nothing_varies():
    assert frechet_interval(0.1, (np.array([3.0, -3.0]), np.zeros(2)))[0] == 0
    assert frechet_interval(5.0, (np.zeros(3), np.zeros(3))) == (5, 5)
    assert about(2.0, 4.0) == pytest.approx((2 - 2 * Z_95, 2 + 2 * Z_95))


@pytest.mark.parametrize("freedom", [4, 8, 20, 100])
def test_the_quantile_is_students_at_the_variances_degrees_of_freedom(freedom):
    """k equal clips among very many of no weight: V = k, var V = k, so 2 k degrees."""
    num = 10_000
    influences = np.zeros(num)
    influences[: freedom // 2] = 1.0
    assert jackknife_quantile(influences) == pytest.approx(t.ppf(0.975, freedom), rel=0.02)
