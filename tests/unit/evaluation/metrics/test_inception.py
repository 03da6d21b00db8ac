import numpy as np
import pytest

from videogen.errors import EvaluationError
from videogen.evaluation.metrics.inception import inception_score


def test_clips_of_equally_many_certain_classes_score_their_number():
    logits = np.tile(60.0 * np.eye(5, 400), (4, 1))
    assert inception_score(logits).value == pytest.approx(5)


def test_clips_of_one_class_and_clips_of_no_class_score_one():
    one_class = np.tile(60.0 * np.eye(1, 400), (6, 1))
    undecided = np.full((6, 400), -3.0)
    assert inception_score(one_class).value == pytest.approx(1)
    assert inception_score(undecided).value == pytest.approx(1)


def test_two_clips_of_two_classes_score_by_the_closed_form():
    p = 0.8
    logits = np.log([[p, 1 - p], [1 - p, p]])
    divergence = p * np.log(2 * p) + (1 - p) * np.log(2 * (1 - p))
    assert inception_score(logits).value == pytest.approx(np.exp(divergence))


def test_logits_too_large_for_exp_are_no_matter_and_a_constant_added_neither():
    logits = np.random.default_rng(0).normal(size=(30, 10))
    expected = inception_score(logits).value
    assert inception_score(logits + 5000).value == pytest.approx(expected)


def test_the_interval_holds_the_mean_of_the_score_over_sets():
    rng = np.random.default_rng(1)
    found = [inception_score(2 * rng.normal(size=(100, 10))) for _ in range(300)]
    mean = np.mean([score.value for score in found])
    held = np.mean([score.interval[0] <= mean <= score.interval[1] for score in found])
    assert 0.91 <= held <= 0.99


def test_logits_that_are_not_finite_are_refused():
    with pytest.raises(EvaluationError, match="NaN"):
        inception_score(np.full((3, 4), np.inf))
