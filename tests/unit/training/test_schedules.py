import pytest

from videogen.config.section import Cosine
from videogen.training.schedules import cosine, is_due


def test_cosine_goes_from_start_through_the_mean_to_end():
    schedule = Cosine(start=4.0, end=1.0)
    assert cosine(schedule, 0, 100) == 4.0
    assert cosine(schedule, 50, 100) == pytest.approx(2.5)
    assert cosine(schedule, 25, 100) == pytest.approx(2.5 + 1.5 * 0.5**0.5)
    assert cosine(schedule, 100, 100) == pytest.approx(1.0)
    assert cosine(schedule, 250, 100) == pytest.approx(1.0)


def test_a_constant_is_exact():
    assert cosine(Cosine(start=0.1, end=0.1), 37, 100) == 0.1


def test_an_interval_is_due_once_for_each_step_that_reaches_a_multiple():
    assert [is_due(10, step * 4, step * 4 + 4) for step in range(6)] == [
        False, False, True, False, True, False,
    ]  # fmt: skip
