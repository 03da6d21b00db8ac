"""Where one shot ends and the next begins, in real files with known edits."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from shot_footage import (
    MOTIONS,
    SIZE,
    Film,
    Motion,
    Scene,
    dissolved,
    faded,
    hard_cuts,
    joined,
    labels,
    of,
    split,
)

from videogen.config.sections import ShotConfig
from videogen.data.video.synthetic import sample_clip
from videogen.ingest.shots.labels import TRANSITION, label_shots


@pytest.mark.parametrize(
    ("fps", "num", "kind"), [(30.0, 40, "mp4"), (24.0, 32, "mp4"), (8.0, 14, "gif")]
)
def test_every_cut_is_found_at_its_frame_whatever_moves(
    tmp_path: Path, fps: float, num: int, kind: str
) -> None:
    film = hard_cuts(int(fps), MOTIONS + MOTIONS[::-1], num, fps)
    assert labels(film, fps, tmp_path, kind=kind) == film.shots


@pytest.mark.parametrize("fps", [30.0, 8.0])
@pytest.mark.parametrize("motion", MOTIONS)
def test_motion_is_no_cut(tmp_path: Path, motion: Motion, fps: float) -> None:
    film = of(Scene(7, motion).filmed(int(4 * fps), fps))
    assert set(labels(film, fps, tmp_path)) == {0}


FLASHES = {
    "white frame": (255.0, [1.0]),
    "three white frames": (255.0, [1.0, 1.0, 1.0]),
    "strobe": (255.0, [0.7, 0.0, 0.7, 0.0, 0.7]),
    "one that dies away": (255.0, [1.0, 0.7, 0.4, 0.2]),
    "black frame": (0.0, [1.0, 1.0]),
}


@pytest.mark.parametrize("motion", ["still", "pan", "object"])
@pytest.mark.parametrize("flash", FLASHES)
def test_a_flash_after_which_the_picture_returns_is_no_cut(
    tmp_path: Path, flash: str, motion: Motion
) -> None:
    film = of(Scene(8, motion).filmed(60, 30.0))
    _flash(film, 30, flash)
    assert set(labels(film, 30.0, tmp_path)) == {0}


@pytest.mark.parametrize("flash", ["white frame", "three white frames", "black frame"])
def test_a_flash_that_hides_a_cut_is_a_cut(tmp_path: Path, flash: str) -> None:
    for motions in (("pan", "object", "pan"), ("fast pan", "fast pan", "shake")):
        film = hard_cuts(9, motions, 30, 30.0)
        _flash(film, 30, flash)
        _flash(film, 60 - len(FLASHES[flash][1]), flash)
        assert joined(labels(film, 30.0, tmp_path), film) == []


def test_a_few_frames_of_another_scene_are_no_flash(tmp_path: Path) -> None:
    one, other = Scene(10, "pan"), Scene(11, "still")
    film = of(one.filmed(30, 30.0)).then(other.filmed(3, 30.0)).then(one.filmed(30, 30.0, 1.1))
    assert labels(film, 30.0, tmp_path) == film.shots


@pytest.mark.parametrize(("fps", "length"), [(30.0, 8), (30.0, 24), (24.0, 40), (8.0, 3)])
@pytest.mark.parametrize("to", [0.0, 255.0])
def test_a_fade_parts_shots_and_is_in_neither(
    tmp_path: Path, to: float, fps: float, length: int
) -> None:
    num = int(2 * fps)
    for seed, motion in ((12, "pan"), (13, "object")):
        film = faded(Scene(seed, motion), Scene(seed + 50, "pan"), num, fps, to, length)
        found = labels(film, fps, tmp_path)
        assert joined(found, film) == split(found, film) == []
        between = found[num : len(found) - num]
        assert between.count(TRANSITION) >= 0.6 * len(between)
        assert _given_away(found, film) <= 0.1 * 2 * num


@pytest.mark.parametrize(("fps", "length"), [(30.0, 10), (30.0, 30), (24.0, 48), (8.0, 8)])
def test_a_dissolve_parts_shots_and_is_in_neither(tmp_path: Path, fps: float, length: int) -> None:
    num = int(2 * fps)
    for seed, motions in (
        (14, ("still", "pan")),
        (15, ("object", "object")),
        (16, ("pan", "zoom")),
    ):
        one, other = (Scene(seed + 50 * at, motion) for at, motion in enumerate(motions))
        film = dissolved(one, other, num, fps, length)
        found = labels(film, fps, tmp_path)
        assert joined(found, film) == split(found, film) == []
        middle = found[num + length // 3 : num + length - length // 3]
        assert set(middle) == {TRANSITION}
        assert _given_away(found, film) <= 0.1 * 2 * num


def test_only_gradual_detection_leaves_frames_out(tmp_path: Path) -> None:
    film = dissolved(Scene(17, "still"), Scene(67, "still"), 45, 30.0, 24)
    assert TRANSITION in labels(film, 30.0, tmp_path)
    assert set(labels(film, 30.0, tmp_path, ShotConfig(gradual=False))) == {0}


def test_a_slide_show_is_cut_at_every_slide(tmp_path: Path) -> None:
    slides = [Scene(seed, "still").filmed(1, 1.0) for seed in range(20, 28)]
    film = of(np.repeat(slides[0], 15, axis=0))
    for slide in slides[1:]:
        film = film.then(np.repeat(slide, 15, axis=0))
    assert labels(film, 30.0, tmp_path) == film.shots


def test_frames_shown_several_times_are_no_cuts(tmp_path: Path) -> None:
    film = hard_cuts(30, ("fast pan", "object", "shake"), 20, 8.0)
    shown = Film(np.repeat(film.frames, 3, axis=0), np.repeat(film.shots, 3).tolist())
    assert labels(shown, 24.0, tmp_path) == shown.shots


def test_a_higher_threshold_keeps_fainter_cuts_together(tmp_path: Path) -> None:
    scene = Scene(31, "shake").filmed(60, 30.0)
    film = of(scene[:30]).then(scene[30:] * 0.6 + 40)
    assert joined(labels(film, 30.0, tmp_path, ShotConfig(threshold=4)), film) == []
    assert joined(labels(film, 30.0, tmp_path, ShotConfig(threshold=100)), film) == [1]


@dataclass
class Still:
    """A frame without a decoder's opinion of how it changed."""

    time_s: float
    picture: NDArray[np.uint8]
    change: float = 0.0


def stills(frames: NDArray[np.uint8], fps: float) -> list[Still]:
    return [Still(index / fps, frame) for index, frame in enumerate(frames)]


def test_no_synthetic_sample_is_cut() -> None:
    for seed in range(64):
        found = [number for number, _ in label_shots(stills(sample_clip(seed), 8.0), ShotConfig())]
        assert set(found) == {0}, seed


def test_cuts_between_synthetic_samples_are_found() -> None:
    missed = 0
    for seed in range(40):
        parts = [sample_clip(2 * seed + at, 20) for at in range(2)]
        found = [
            number for number, _ in label_shots(stills(np.concatenate(parts), 8.0), ShotConfig())
        ]
        missed += found != [0] * 20 + [1] * 20
    assert missed <= 1, "a shape may jump to where it would have gone"


def test_frames_that_a_bad_file_lost_are_no_cut() -> None:
    frames = np.uint8(np.clip(Scene(32, "pan").filmed(90, 30.0), 0, 255))
    kept = [still for at, still in enumerate(stills(frames, 30.0)) if not 40 <= at < 52]
    assert {number for number, _ in label_shots(kept, ShotConfig())} == {0}


def test_a_swing_of_the_camera_is_no_cut() -> None:
    landscape = Scene(34, "still").filmed(1, 1.0)[0]
    wide = np.uint8(np.clip(np.concatenate((landscape, landscape[:, ::-1]), axis=1), 0, 255))
    places = [0] * 30 + [14, 28] + [28] * 30
    frames = np.stack([wide[:, place : place + SIZE] for place in places])
    assert {number for number, _ in label_shots(stills(frames, 30.0), ShotConfig())} == {0}


@pytest.mark.parametrize("fps", [24.0, 8.0])
@pytest.mark.parametrize("size", [12, 20, 32])
def test_a_thing_that_crosses_a_plain_background_is_no_dissolve(size: int, fps: float) -> None:
    for speed in (20, 40, 80):  # pixels a second
        frames = np.full((int((64 + size) / speed * fps), 64, 64, 3), (200, 60, 40), np.uint8)
        for index, frame in enumerate(frames):
            left = round(index / fps * speed) - size
            frame[20 : 20 + size, max(0, left) : left + size] = (20, 60, 220)
        found = [number for number, _ in label_shots(stills(frames, fps), ShotConfig())]
        assert set(found) == {0}, speed


@pytest.mark.parametrize(("size", "most"), [(SIZE, 64), (2048, 21)])
def test_only_some_frames_are_held(size: int, most: int) -> None:
    picture = np.zeros((size, size, 3), np.uint8)
    taken = 0

    def frames() -> Iterator[Still]:
        nonlocal taken
        for index in range(100):
            taken += 1
            yield Still(index / 60, picture)

    for given, (number, frame) in enumerate(label_shots(frames(), ShotConfig())):
        assert (number, frame.time_s) == (0, given / 60)
        assert taken - given - 1 <= most


def test_without_a_rule_all_is_one_shot() -> None:
    film = hard_cuts(33, ("pan", "pan"), 5, 8.0)
    shown = stills(np.uint8(np.clip(film.frames, 0, 255)), 8.0)
    assert list(label_shots(shown, None)) == [(0, still) for still in shown]


def _flash(film: Film, start: int, name: str) -> None:
    level, shares = FLASHES[name]
    for at, share in enumerate(shares, start):
        film.frames[at] = (1 - share) * film.frames[at] + share * level


def _given_away(found: list[int], film: Film) -> int:
    """Frames of shots that were taken for a part of a transition."""
    return sum(
        number == TRANSITION and truth != TRANSITION
        for number, truth in zip(found, film.shots, strict=True)
    )
