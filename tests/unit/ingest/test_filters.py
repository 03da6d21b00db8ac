"""Which clips are left out for how they look, and which look like others."""

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray
from PIL import Image
from shot_footage import MOTIONS, SIZE, Scene

from videogen.config.sections import FilterConfig
from videogen.config.settings import child_environment
from videogen.data.snapshots.clip_table import SCHEMA, ClipRow, table_of
from videogen.data.video.reader import read_video
from videogen.data.video.synthetic import sample_clip
from videogen.data.video.writer import write_video
from videogen.ingest.clips.cutter import CutCounts, CutRule, cut
from videogen.ingest.clips.filters import near_duplicates, refusal
from videogen.ingest.clips.looks import ClipLook, after, clip_look, look_at
from videogen.ingest.clips.perceptual_hash import NO_HASH

Frames = NDArray[np.uint8]
NONE = SCHEMA.empty_table()
USUAL_BITS = 2
USUAL = FilterConfig(max_blank_contrast=2, max_frozen_fraction=0.95)


def look_of(frames: Frames) -> ClipLook:
    looks = [look_at(frames[0])]
    for frame in frames[1:]:
        looks.append(after(look_at(frame), looks[-1]))
    return clip_look(looks)


def shown(frames: NDArray[np.float32]) -> Frames:
    return np.uint8(np.clip(np.rint(frames), 0, 255))


def flat(*colour: int) -> Frames:
    return np.full((16, SIZE, SIZE, 3), colour, np.uint8)


def test_a_look_has_the_levels_of_its_pixels() -> None:
    frames = flat(100, 100, 100)
    frames[:, :, :32] = 200
    frames[8:, :16] += 8
    look = look_of(frames)
    assert look.brightness == pytest.approx(150 + 8 / 4 / 2)
    assert look.contrast == pytest.approx(50, rel=0.01)
    assert look.motion == pytest.approx(8 / 4 / 15)
    assert look.frozen_fraction == pytest.approx(14 / 15)


def test_looks_do_not_depend_on_the_processor() -> None:
    """They are part of a snapshot's digest; OpenBLAS has other sums for other processors."""
    program = (
        "from videogen.data.video.synthetic import sample_clip\n"
        "from videogen.ingest.clips.looks import clip_look, look_at\n"
        "for size in (64, 200):\n"
        "    print(clip_look([look_at(frame) for frame in sample_clip(0, 8, size)]))\n"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True,
            check=True,
            env=child_environment({"OPENBLAS_CORETYPE": core}),
        ).stdout
        for core in ("Haswell", "Prescott", "SkylakeX")
    }
    assert len(said) == 1


def test_large_frames_look_as_small_ones_do() -> None:
    frames = shown(Scene(1, "pan").filmed(12, 8.0))
    large = frames.repeat(5, axis=1).repeat(5, axis=2)
    small, big = look_of(frames), look_of(large)
    assert big.brightness == pytest.approx(small.brightness, abs=0.5)
    assert big.contrast == pytest.approx(small.contrast, rel=0.05)
    assert big.motion == pytest.approx(small.motion, rel=0.25)
    assert _apart(small, big) <= 1


def test_each_filter_refuses_what_it_is_for_at_its_threshold() -> None:
    moving = shown(Scene(2, "fast pan").filmed(16, 8.0))
    look = look_of(moving)
    assert refusal(look, FilterConfig()) is None
    assert refusal(look, FilterConfig(min_brightness=look.brightness - 1)) is None
    assert refusal(look, FilterConfig(min_brightness=look.brightness + 1)) == "too dark"
    assert refusal(look, FilterConfig(min_motion=look.motion - 0.1)) is None
    assert refusal(look, FilterConfig(min_motion=look.motion + 0.1)) == "low motion"
    half_still = look_of(np.concatenate((moving[:9], moving[8:9].repeat(8, axis=0))))
    assert half_still.frozen_fraction == 0.5
    assert refusal(half_still, FilterConfig(max_frozen_fraction=0.5)) is None
    assert refusal(half_still, FilterConfig(max_frozen_fraction=0.49)) == "frozen"


@pytest.mark.parametrize("colour", [(0, 0, 0), (255, 255, 255), (192, 32, 32)])
def test_a_plain_clip_is_blank_even_with_grain(colour: tuple[int, int, int]) -> None:
    grain = np.random.default_rng(0).normal(size=(16, SIZE, SIZE, 3))
    assert refusal(look_of(shown(flat(*colour) + grain)), USUAL) == "blank"
    with_a_logo = flat(*colour)
    with_a_logo[:, 4:12, 4:20] = 128
    assert refusal(look_of(with_a_logo), USUAL) == "frozen"


def test_a_clip_that_shows_something_in_one_frame_is_not_blank() -> None:
    frames = flat(0, 0, 0)
    frames[7] = shown(Scene(3, "still").filmed(1, 1.0))[0]
    assert refusal(look_of(frames), USUAL) is None


def test_a_still_picture_that_was_encoded_is_frozen_and_slow_motion_is_not(
    tmp_path: Path,
) -> None:
    still = shown(Scene(4, "still").filmed(1, 1.0)).repeat(24, axis=0)
    dot = still.copy()
    for at, frame in enumerate(dot):
        frame[30:34, 10 + at : 14 + at] = 255
    for name, frames, expected in (("still", still, "frozen"), ("dot", dot, None)):
        write_video(tmp_path / f"{name}.mp4", frames, 8.0, crf="20")
        read = np.stack(list(read_video(tmp_path / f"{name}.mp4")))
        assert refusal(look_of(read), USUAL) == expected


def test_an_overlay_is_seen_where_the_picture_moves_behind_it() -> None:
    moving = shown(Scene(5, "fast pan").filmed(24, 8.0))
    with_text = moving.copy()
    bars = np.arange(8, 56) // 2 % 2 == 0
    with_text[:, 50:60, 8:56] = np.where(bars, 255, 0)[None, None, :, None]
    plain, text = look_of(moving).overlay_fraction, look_of(with_text).overlay_fraction
    assert plain < 0.005
    assert text == pytest.approx(10 * 48 / SIZE**2, rel=0.2)
    strict = FilterConfig(max_overlay_fraction=0.05)
    assert refusal(look_of(with_text), strict) == "static overlay"
    assert refusal(look_of(moving), strict) is None
    standing = shown(Scene(6, "object").filmed(24, 8.0))
    standing[:, 50:60, 8:56] = with_text[:, 50:60, 8:56]
    assert look_of(standing[:2]).overlay_fraction == 0, "the camera stands still"


def test_every_synthetic_sample_is_kept() -> None:
    rule = CutRule(16, 64, None, 8.0, SIZE, SIZE, "raw", USUAL)
    counts = CutCounts()
    rows = []
    for seed in range(64):
        clips = list(cut(((0, frame) for frame in sample_clip(seed)), rule, counts))
        assert [clip.frames for clip in clips] == [48]
        rows.append(row_of(str(seed), clips[0].look))
    assert counts.filtered == {}
    assert near_duplicates(table_of(rows), NONE, USUAL_BITS).to_pylist() == [False] * 64


@pytest.mark.parametrize("change", ["encoded", "small", "brighter", "noisy"])
def test_a_clip_that_was_made_again_is_a_near_duplicate_and_others_are_not(
    tmp_path: Path, change: str
) -> None:
    originals = [shown(Scene(40 + at, MOTIONS[at % 6]).filmed(32, 8.0)) for at in range(12)]
    known = table_of([row_of(f"a{at}", look_of(one)) for at, one in enumerate(originals)])
    made_again = [_changed(one, change, tmp_path) for one in originals]
    new = table_of([row_of(f"b{at}", look_of(one)) for at, one in enumerate(made_again)])
    assert sum(near_duplicates(new, known, USUAL_BITS).to_pylist()) >= 10
    assert all(near_duplicates(new, known, 4).to_pylist())
    fresh = [shown(Scene(80 + at, MOTIONS[at % 6]).filmed(32, 8.0)) for at in range(12)]
    others = table_of([row_of(f"c{at}", look_of(one)) for at, one in enumerate(fresh)])
    assert not any(near_duplicates(others, known, 6).to_pylist())


def test_another_motion_in_the_same_place_is_no_near_duplicate() -> None:
    scene = Scene(7, "object")
    first, later = scene.filmed(32, 8.0), scene.filmed(32, 8.0, 4.5)
    assert _apart(look_of(shown(first)), look_of(shown(later))) > 6


def hashed(name: str, value: int, **facts: float) -> ClipRow:
    levels = {"brightness": 100.0, "contrast": 40.0, "motion": 5.0} | facts
    spans = {key: levels.pop(key, default) for key, default in (("start_s", 0.0), ("end_s", 4.0))}
    source = str(levels.pop("source", name))
    return ClipRow(
        clip_id=name * 64,
        source=source,
        source_sha256=hashlib.sha256(source.encode()).hexdigest(),
        shard="0" * 64,
        offset=0,
        length=1,
        sha256="0" * 64,
        frames=32,
        fps=8.0,
        height=SIZE,
        width=SIZE,
        codec="raw",
        colour="",
        split="train",
        perceptual_hash=value,
        **spans,
        **levels,
    )


def kept(new: list[ClipRow], known: list[ClipRow], bits: int) -> str:
    """The first letters of the ids that stay; the same whichever order the rows come in."""
    table, reversed_table = table_of(new), table_of(new).take(list(range(len(new)))[::-1])
    dropped = near_duplicates(table, table_of(known), bits)
    backwards = near_duplicates(reversed_table, table_of(known), bits)
    assert dropped.to_pylist() == backwards.to_pylist()[::-1]
    stays = table.filter(pa.compute.invert(dropped)).column("clip_id").to_pylist()
    return "".join(one.hex()[0] for one in stays)


def test_the_first_by_id_stays_unless_a_known_clip_looks_like_it() -> None:
    alike = [hashed("c", 0b1000), hashed("a", 0b1011), hashed("b", 0b1000 | 1 << 63)]
    assert kept(alike, [], 0) == "abc"
    assert kept(alike, [], 1) == "ab"
    assert kept(alike, [], 2) == "ab"
    assert kept(alike, [], 3) == "a"
    assert kept(alike, [hashed("f", 0b1000)], 1) == "a"
    assert kept(alike, [hashed("f", 0b1000)], 2) == ""


def test_what_looks_like_a_dropped_clip_only_stays() -> None:
    chain = [hashed("a", 0b1), hashed("b", 0b111), hashed("c", 0b11111)]
    assert kept(chain, [], 2) == "ac"


def test_clips_of_other_levels_or_without_a_hash_are_not_alike() -> None:
    assert kept([hashed("a", 5), hashed("b", 5, brightness=130.0)], [], 2) == "ab"
    assert kept([hashed("a", 5), hashed("b", 5, contrast=60.0)], [], 2) == "ab"
    assert kept([hashed("a", 5), hashed("b", 5, motion=16.0)], [], 2) == "ab"
    assert kept([hashed("a", 5), hashed("b", 5, brightness=110.0, motion=5.5)], [], 2) == "a"
    assert kept([hashed("a", NO_HASH), hashed("b", NO_HASH)], [], 2) == "ab"


def test_clips_that_overlap_in_their_source_are_both_kept() -> None:
    pair = [hashed("a", 9, source=1), hashed("b", 9, source=1, start_s=2.0, end_s=6.0)]
    assert kept(pair, [], 2) == "ab"
    later = [pair[0], hashed("b", 9, source=1, start_s=4.0, end_s=8.0)]
    assert kept(later, [], 2) == "a"
    assert kept(pair, [pair[0]], 2) == "ab", "a clip is no duplicate of itself"


def row_of(name: str, look: ClipLook) -> ClipRow:
    row = hashed(
        "0",
        look.perceptual_hash,
        brightness=look.brightness,
        contrast=look.contrast,
        motion=look.motion,
    )
    digest = hashlib.sha256(name.encode()).hexdigest()
    return ClipRow(**{**vars(row), "clip_id": digest, "source_sha256": digest})


def _apart(one: ClipLook, other: ClipLook) -> int:
    return (one.perceptual_hash ^ other.perceptual_hash).bit_count()


def _changed(frames: Frames, change: str, directory: Path) -> Frames:
    match change:
        case "encoded":
            write_video(directory / "again.mp4", frames, 8.0, crf="28")
            return np.stack(list(read_video(directory / "again.mp4")))
        case "small":
            return np.stack([np.asarray(_resized(frame, 40, SIZE)) for frame in frames])
        case "brighter":
            return shown(frames * np.float32(1.05) + 3)
        case _:
            return shown(frames + np.random.default_rng(0).normal(scale=5, size=frames.shape))


def _resized(frame: Frames, *sizes: int) -> Image.Image:
    image = Image.fromarray(frame)
    for size in sizes:
        image = image.resize((size, size), Image.Resampling.BICUBIC)
    return image
