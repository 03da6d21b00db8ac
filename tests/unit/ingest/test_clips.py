"""Which frames form clips, and which split they belong to."""

import hashlib

import numpy as np
import pytest

from videogen.config.sections import FilterConfig
from videogen.data.shards.frame_codec import Codec, read_frames
from videogen.data.video.synthetic import sample_clip
from videogen.ingest.clips.cutter import CutCounts, CutRule, clip_id, cut, split_of

KEEP_ALL = FilterConfig()
USUAL = FilterConfig(max_blank_contrast=2, max_frozen_fraction=0.95)


def digests(num: int) -> list[str]:
    return [hashlib.sha256(str(index).encode()).hexdigest() for index in range(num)]


def rule_of(
    min_frames: int = 8,
    max_frames: int = 20,
    stride: int | None = None,
    filters: FilterConfig = KEEP_ALL,
    codec: Codec = "raw",
) -> CutRule:
    return CutRule(
        min_frames=min_frames,
        max_frames=max_frames,
        stride=stride,
        fps=8.0,
        height=16,
        width=16,
        codec=codec,
        filters=filters,
    )


@pytest.mark.parametrize(
    ("num", "lengths", "dropped"),
    [(0, [], 0), (7, [], 7), (8, [8], 0), (27, [20], 7), (28, [20, 8], 0), (60, [20] * 3, 0)],
)
def test_clips_are_of_bounded_length_and_what_is_dropped_is_counted(
    num: int, lengths: list[int], dropped: int
) -> None:
    frames = sample_clip(0, num, 16)
    counts = CutCounts()
    clips = list(cut(((0, frame) for frame in frames), rule_of(), counts))
    assert [clip.frames for clip in clips] == lengths
    assert (counts.frames, counts.dropped) == (num, dropped)
    assert counts.filtered == ({"too short": 1} if dropped else {})
    for clip in clips:
        assert (clip.start_s, clip.end_s) == (clip.first / 8, (clip.first + clip.frames) / 8)
        expected = frames[clip.first : clip.first + clip.frames]
        assert np.array_equal(read_frames(clip.data), expected)
    ids = {clip_id(source, clip, digest) for clip in clips for source in "ab" for digest in "ij"}
    assert len(ids) == 4 * len(clips)


def test_clips_stay_within_their_shot_and_leave_transitions_out() -> None:
    frames = sample_clip(1, 60, 16)
    numbers = [0] * 10 + [-1] * 4 + [1] * 21 + [2] * 7 + [3] * 18
    counts = CutCounts()
    clips = list(cut(zip(numbers, frames, strict=True), rule_of(), counts))
    assert [(clip.first, clip.frames) for clip in clips] == [(0, 10), (14, 20), (42, 18)]
    for clip in clips:
        assert len(set(numbers[clip.first : clip.first + clip.frames])) == 1
        expected = frames[clip.first : clip.first + clip.frames]
        assert np.array_equal(read_frames(clip.data), expected)
    assert (counts.shots, counts.transitions, counts.dropped) == (4, 4, 1 + 7)
    assert counts.filtered == {"too short": 2}


@pytest.mark.parametrize(
    ("num", "stride", "spans"),
    [
        (40, 10, [(0, 20), (10, 20), (20, 20)]),  # the third shows all there is
        (45, 10, [(0, 20), (10, 20), (20, 20), (30, 15)]),
        (29, 15, [(0, 20), (15, 14)]),
        (24, 19, [(0, 20)]),  # 5 frames are left: too few
        (60, 25, [(0, 20), (25, 20), (50, 10)]),
        (48, 25, [(0, 20), (25, 20)]),
    ],
)
def test_clips_start_a_stride_apart_and_none_only_repeats_another(
    num: int, stride: int, spans: list[tuple[int, int]]
) -> None:
    frames = sample_clip(2, num, 16)
    clips = list(cut(((7, one) for one in frames), rule_of(stride=stride), CutCounts()))
    assert [(clip.first, clip.frames) for clip in clips] == spans
    for clip in clips:
        expected = frames[clip.first : clip.first + clip.frames]
        assert np.array_equal(read_frames(clip.data), expected)
        alone = list(cut(((0, one) for one in expected), rule_of(), CutCounts()))
        assert alone[0].look == clip.look, "a look does not depend on what came before"


def test_a_frame_shown_twice_is_kept_twice() -> None:
    frames = sample_clip(3, 5, 16)
    shown = [frame for frame in frames for _ in range(4)]
    counts = CutCounts()
    clips = list(cut(((0, one) for one in shown), rule_of(codec="jpeg"), counts))
    assert len(clips) == 1
    assert np.array_equal(
        read_frames(clips[0].data), np.repeat(read_frames(clips[0].data, 0, 4), 4, axis=0)
    )
    assert clips[0].look.frozen_fraction == pytest.approx(15 / 19)


def test_clips_that_a_filter_refuses_are_counted_by_reason() -> None:
    moving = sample_clip(4, 20, 16)
    shots = [np.full((20, 16, 16, 3), 7, np.uint8), moving, np.repeat(moving[:1], 20, axis=0)]
    labelled = [(number, frame) for number, shot in enumerate(shots) for frame in shot]
    counts = CutCounts()
    clips = list(cut(labelled, rule_of(filters=USUAL), counts))
    assert [clip.first for clip in clips] == [20]
    assert counts.filtered == {"blank": 1, "frozen": 1}
    assert (counts.frames, counts.dropped) == (60, 0)


def test_the_split_of_a_source_depends_on_its_content_alone() -> None:
    many = digests(4000)
    held_out = [split_of(one, 0.1) == "holdout" for one in many]
    assert 0.08 < np.mean(held_out) < 0.12
    assert all(split_of(one, 0.0) == "train" for one in many)
    wider = [split_of(one, 0.3) == "holdout" for one in many]
    assert all(now for before, now in zip(held_out, wider, strict=True) if before)
