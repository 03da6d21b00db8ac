import numpy as np
import pytest

from videogen.errors import EvaluationError
from videogen.evaluation.metrics.frechet import frechet_distance
from videogen.evaluation.metrics.paired import paired_difference

WIDTH = 100


def mixing():
    rng = np.random.default_rng(7)
    return np.sqrt(20 * np.arange(1, WIDTH + 1) ** -1.5)[:, None] * rng.normal(size=(WIDTH, WIDTH))


MIXING = mixing()


def drawn(rng, num, spread=1.0, shift=0.0):
    return spread * rng.normal(size=(num, WIDTH)) @ MIXING / 10 + shift


@pytest.mark.parametrize(("num", "turns"), [(40, 100), (120, 24)])
def test_generators_that_are_equally_good_are_told_apart_in_1_of_20_cases(num, turns):
    rng = np.random.default_rng(num)
    found = [
        paired_difference(drawn(rng, num), drawn(rng, num, 1.3, 0.2), drawn(rng, num, 1.3, 0.2))
        for _ in range(turns)
    ]
    assert np.mean([one.significant for one in found]) <= 0.11
    # and p-values are not merely large: half of them lie below a half, nearly
    assert 0.25 < np.mean([one.p_value < 0.5 for one in found]) < 0.75
    assert np.mean([one.interval[0] <= 0 <= one.interval[1] for one in found]) >= 0.90


def test_a_better_generator_is_told_from_a_worse_one_in_most_cases():
    rng = np.random.default_rng(1)
    found = [
        paired_difference(drawn(rng, 64), drawn(rng, 64, 1.1), drawn(rng, 64, 1.6))
        for _ in range(30)
    ]
    assert np.mean([one.significant for one in found]) >= 0.8
    assert all(one.value < 0 for one in found if one.significant)


def test_the_same_seeds_tell_apart_what_other_seeds_do_not():
    rng = np.random.default_rng(2)
    real, fake = drawn(rng, 64), drawn(rng, 64, 1.2)
    slightly_worse = 1.02 * fake
    assert paired_difference(real, fake, slightly_worse).significant
    assert not paired_difference(real, fake, drawn(rng, 64, 1.2 * 1.02)).significant


def test_the_difference_is_that_of_the_distances_within_its_interval():
    rng = np.random.default_rng(3)
    real, fake, other = drawn(rng, 50), drawn(rng, 50, 1.2), drawn(rng, 50, 1.4)
    for covariance in ("n-1", "n"):
        found = paired_difference(real, fake, other, covariance)
        expected = frechet_distance(real, fake, covariance)
        expected -= frechet_distance(real, other, covariance)
        assert found.value == pytest.approx(expected)
        assert found.interval[0] < found.value < found.interval[1]


def test_exchanging_the_generators_changes_the_sign_only():
    rng = np.random.default_rng(4)
    real, fake, other = drawn(rng, 40), drawn(rng, 40, 1.2), drawn(rng, 40, 1.4)
    one, two = paired_difference(real, fake, other), paired_difference(real, other, fake)
    assert one.value == pytest.approx(-two.value)
    assert one.p_value == pytest.approx(two.p_value, abs=0.02)


def test_a_generator_does_not_differ_from_itself():
    rng = np.random.default_rng(5)
    fake = drawn(rng, 30)
    found = paired_difference(drawn(rng, 30), fake, fake)
    assert (found.value, found.interval, found.p_value) == (0, (0, 0), 1)
    assert not found.significant


def test_clips_that_are_all_alike_leave_nothing_to_chance():
    one = np.ones((5, 3))
    found = paired_difference(one, one + 1, one + 2)
    assert (found.value, found.interval, found.significant) == (3 - 12, (-9, -9), True)


def test_the_verdict_is_the_seeds_to_the_bit():
    rng = np.random.default_rng(6)
    sets = drawn(rng, 31), drawn(rng, 31), drawn(rng, 31)
    assert paired_difference(*sets, seed=1) == paired_difference(*sets, seed=1)
    assert paired_difference(*sets, seed=1) != paired_difference(*sets, seed=2)


def test_unlike_numbers_of_seeds_are_refused():
    with pytest.raises(EvaluationError, match="5 clips, the other 6"):
        paired_difference(np.zeros((5, 3)), np.zeros((5, 3)), np.zeros((6, 3)))
