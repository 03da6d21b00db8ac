"""When frames are shown: times in every container, and what resampling makes of them."""

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from videogen.data.video.reader import ReadRule, VideoReader
from videogen.data.video.resample import nearest_in_time, steady_times

SMALL = ReadRule(size=(16, 16))
Write = Callable[..., Path]
Grays = Callable[..., np.ndarray]


def numbers(pictures: list[np.ndarray]) -> list[int]:
    """Which of the numbered gray frames these are."""
    return [round((float(picture.mean()) - 20) / 7) for picture in pictures]


def read(path: Path, rule: ReadRule = SMALL) -> tuple[list[float], list[int], VideoReader]:
    with VideoReader(path, rule) as reader:
        frames = list(reader.frames())
    return [one.time_s for one in frames], numbers([one.picture for one in frames]), reader


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("a.mp4", "libx264", {"bf": "3"}),
        ("a.mov", "prores_ks", {}),
        ("a.mkv", "ffv1", {}),
        ("a.avi", "libx264", {"bf": "3", "x264-params": "b-adapt=0:scenecut=0"}),
        ("a.avi", "mjpeg", {}),
        ("a.ts", "libx264", {"bf": "3"}),
        ("a.flv", "libx264", {"bf": "3"}),
        ("a.webm", "libvpx-vp9", {}),
        ("a.wmv", "wmv2", {}),
        ("a.mp4", "libx265", {"x265-params": "log-level=none"}),
    ],
)
def test_every_frame_comes_once_in_order_and_on_time(
    tmp_path: Path, write: Write, grays: Grays, name: str, codec: str, options: dict[str, str]
) -> None:
    layout = {"prores_ks": "yuv422p10le", "mjpeg": "yuvj420p"}.get(codec, "yuv420p")
    path = write(tmp_path / name, grays(30), codec=codec, options=options, layout=layout)
    times, shown, reader = read(path)
    assert shown == list(range(30))
    assert times == pytest.approx(np.arange(30) / 10, abs=2e-3)
    assert (reader.counts.decoded, reader.counts.corrupt, reader.counts.late) == (30, 0, 0)


def test_a_raw_stream_without_times_is_read_at_its_rate(
    tmp_path: Path, write: Write, grays: Grays
) -> None:
    times, shown, reader = read(write(tmp_path / "a.h264", grays(12), options={"bf": "3"}))
    assert shown == list(range(12))
    assert times == pytest.approx(np.arange(12) * reader.period_s)


@pytest.mark.parametrize("start", [-250, -3, 0, 7, 360_000])
def test_a_clock_may_begin_anywhere(tmp_path: Path, write: Write, grays: Grays, start: int) -> None:
    pts = [start + 10 * index for index in range(8)]
    times, shown, _ = read(write(tmp_path / "a.mkv", grays(8), pts=pts))
    assert shown == list(range(8))
    assert times == pytest.approx(np.arange(8) / 10, abs=2e-3)


@pytest.mark.parametrize("seconds", [0.3, 0.8, 3.0])
def test_joined_transport_streams_are_read_through(
    tmp_path: Path, write: Write, grays: Grays, seconds: float
) -> None:
    """The second part's clock starts again: no frame is lost, and none is held meanwhile."""
    num = round(10 * seconds)
    first = write(tmp_path / "a.ts", grays(num), options={"bf": "2"}).read_bytes()
    second = write(tmp_path / "b.ts", grays(12)[::-1], options={"bf": "2"}).read_bytes()
    (tmp_path / "joined.ts").write_bytes(first + second)
    times, shown, reader = read(tmp_path / "joined.ts")
    assert shown == [index % 30 for index in range(num)] + list(range(11, -1, -1))
    assert reader.counts.late == 0
    assert np.diff(times) == pytest.approx(0.1, abs=0.002)


def test_a_jump_of_hours_in_a_transport_stream_is_no_picture_held_for_hours(
    tmp_path: Path, write: Write, grays: Grays
) -> None:
    first = write(tmp_path / "a.ts", grays(10)).read_bytes()
    pts = [500_000 + 10 * index for index in range(10)]
    second = write(tmp_path / "b.ts", grays(10), pts=pts).read_bytes()
    (tmp_path / "joined.ts").write_bytes(first + second)
    times, shown, _ = read(tmp_path / "joined.ts")
    assert shown == [*range(10), *range(10)]
    assert np.diff(times).max() == pytest.approx(0.1, abs=0.002)


@pytest.mark.parametrize("seed", range(8))
def test_a_variable_rate_is_resampled_within_half_a_frame(
    tmp_path: Path, write: Write, grays: Grays, seed: int
) -> None:
    """Through files: random intervals, a random start, random output rates."""
    draw = random.Random(seed)  # noqa: S311 - a test
    pts = [draw.randrange(500)]
    while len(pts) < 28:
        pts.append(pts[-1] + draw.randint(2, 18))
    fps = draw.choice([5.0, 8.0, 12.5, 24.0])
    path = write(tmp_path / "a.mkv", grays(28), pts=pts)
    stamps = (np.array(pts) - pts[0]) / 100
    with VideoReader(path, SMALL) as reader:
        timed = ((one.time_s, one.picture) for one in reader.frames())
        ticks = list(nearest_in_time(timed, fps, reader.period_s))
    assert [time for time, _ in ticks] == pytest.approx(np.arange(len(ticks)) / fps)
    for (time, _), number in zip(ticks, numbers([picture for _, picture in ticks]), strict=True):
        error = abs(stamps[number] - time)
        assert error <= np.abs(stamps - time).min() + 2e-3
        after = stamps[min(number + 1, 27)] - stamps[max(number - 1, 0)]
        assert error <= max(after, reader.period_s) / 2 + 2e-3


@pytest.mark.parametrize("seed", range(200))
def test_resampling_holds_half_a_frame_over_cuts_rates_and_jitter(seed: int) -> None:
    """A shot begins at any frame, at any rate, with stamps off by up to 40 % of a period."""
    draw = random.Random(seed)  # noqa: S311 - a test
    rate = draw.choice([7.5, 10.0, 12.0, 23.976, 25.0, 29.97, 48.0, 50.0, 59.94, 120.0])
    fps = draw.choice([1.0, 4.0, 8.0, 12.0, 15.0, 24.0, 25.0, 29.97, 30.0, 60.0])
    jitter = draw.uniform(0, 0.4)
    cut, num = draw.randrange(50), draw.randrange(2, 300)
    origin = draw.choice([0.0, -2.0, 95_443.717, 1e5 * draw.random()])
    ideal = [index / rate for index in range(cut, cut + num)]
    stamps = [origin + time + draw.uniform(-jitter, jitter) / rate for time in ideal]
    stamped = ((stamp, index) for index, stamp in enumerate(stamps))
    steady = list(steady_times(stamped, 1 / rate))
    assert [index for _, index in steady] == list(range(num)), "no frame is lost"
    true_times = [stamp - stamps[0] for stamp in stamps]
    assert [time for time, _ in steady] == pytest.approx(true_times, abs=1e-6)
    ticks = list(nearest_in_time(steady, fps, 1 / rate))
    assert len(ticks) == int((true_times[-1] + 0.5 / rate + 1e-6) * fps) + 1
    half = 0.5 / rate
    for tick, (time, index) in enumerate(ticks):
        assert time == pytest.approx(tick / fps)
        error = abs(true_times[index] - time)
        assert error <= min(abs(other - time) for other in true_times) + 1e-5
        assert error <= half * (1 + 2 * jitter) + 1e-5, "half of the longest interval"


def test_frames_that_come_too_early_are_left_out_and_counted(
    tmp_path: Path, write: Write, grays: Grays
) -> None:
    first = write(tmp_path / "a.ts", grays(10), pts=[500 + 10 * n for n in range(10)])
    second = write(tmp_path / "b.ts", grays(10), pts=[589 + 10 * n for n in range(10)])
    (tmp_path / "joined.ts").write_bytes(first.read_bytes() + second.read_bytes())
    times, shown, reader = read(tmp_path / "joined.ts")
    assert shown == [*range(10), *range(1, 10)]
    assert reader.counts.late == 1
    assert times[9:12] == pytest.approx([0.9, 0.99, 1.09], abs=2e-3)
