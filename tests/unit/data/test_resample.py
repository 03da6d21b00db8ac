"""Frames at irregular times become frames at a constant rate."""

import random

import pytest

from videogen.data.video.resample import MAX_GAP_S, nearest_in_time, steady_times


def resampled(times: list[float], fps: float, period_s: float) -> list[tuple[float, float]]:
    return list(nearest_in_time(((time, time) for time in times), fps, period_s))


@pytest.mark.parametrize("seed", range(50))
def test_each_tick_shows_the_frame_nearest_in_time(seed: int) -> None:
    draw = random.Random(seed)  # noqa: S311 - a test
    rate = draw.choice([5.0, 12.0, 24.0, 29.97, 60.0])
    fps = draw.choice([4.0, 8.0, 15.0, 30.0])
    times, now = [0.0], 0.0
    for _ in range(200):
        now += draw.uniform(0.4, 1.6) / rate
        times.append(now)
    shown = resampled(times, fps, 1 / rate)
    assert [tick for tick, _ in shown] == [index / fps for index in range(len(shown))]
    for tick, time in shown:
        nearest = min(abs(other - tick) for other in times)
        assert abs(time - tick) <= nearest + 1e-5
        if tick <= times[-1]:
            assert abs(time - tick) <= 0.8 / rate + 1e-5, "beyond half of the longest interval"


@pytest.mark.parametrize(
    ("rate", "fps", "num", "expected"),
    [(8, 8, 48, 48), (16, 8, 48, 24), (4, 8, 10, 20), (25, 8, 100, 32), (8, 8, 1, 1)],
)
def test_a_constant_rate_keeps_the_duration(rate: int, fps: int, num: int, expected: int) -> None:
    shown = resampled([index / rate for index in range(num)], fps, 1 / rate)
    assert len(shown) == expected


def steady(times: list[float | None]) -> list[float]:
    return [time for time, _ in steady_times(((time, None) for time in times), 0.1)]


def test_times_begin_at_zero_wherever_the_file_s_clock_begins() -> None:
    for origin in (-3.0, 0.0, 95_443.7):
        assert steady([origin + step / 10 for step in range(4)]) == pytest.approx(
            [0.0, 0.1, 0.2, 0.3], abs=1e-9
        )


def test_a_frame_without_a_time_follows_the_one_before() -> None:
    assert steady([None, None, None]) == pytest.approx([0.0, 0.1, 0.2])
    assert steady([5.0, None, 5.2, 5.3]) == pytest.approx([0.0, 0.1, 0.2, 0.3])


def test_a_frame_that_is_not_later_is_left_out() -> None:
    assert steady([0.0, 0.1, 0.1, 0.05, 0.2]) == pytest.approx([0.0, 0.1, 0.2])


@pytest.mark.parametrize("jump", [1e6, -1e6, MAX_GAP_S + 1])
def test_a_broken_clock_goes_on_where_it_was(jump: float) -> None:
    assert steady([0.0, 0.1, jump, jump + 0.1]) == pytest.approx([0.0, 0.1, 0.2, 0.3])


def test_a_held_picture_is_held() -> None:
    shown = resampled([0.0, 4.0], 1.0, 1.0)
    assert [time for _, time in shown] == [0.0, 0.0, 0.0, 4.0, 4.0]
