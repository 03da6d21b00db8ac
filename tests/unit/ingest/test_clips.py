"""Which frames form clips, which split they belong to, and which sources are packed together."""

import hashlib
import random

import numpy as np
import pytest

from videogen.config.sections import IngestConfig
from videogen.data.frame_codec import read_frames
from videogen.data.synthetic import sample_clip
from videogen.ingest.clips import CutCounts, CutRule, clip_id, cut, split_of
from videogen.ingest.convert import Inspection
from videogen.ingest.grouping import group
from videogen.ingest.sources import Source


def digests(num: int) -> list[str]:
    return [hashlib.sha256(str(index).encode()).hexdigest() for index in range(num)]


@pytest.mark.parametrize(
    ("num", "lengths", "dropped"),
    [(0, [], 0), (7, [], 7), (8, [8], 0), (27, [20], 7), (28, [20, 8], 0), (60, [20] * 3, 0)],
)
def test_clips_are_of_bounded_length_and_what_is_dropped_is_counted(
    num: int, lengths: list[int], dropped: int
) -> None:
    rule = CutRule(min_frames=8, max_frames=20, fps=8.0, height=16, width=16, codec="raw")
    frames = sample_clip(0, num, 16)
    counts = CutCounts()
    clips = list(cut(iter(frames), rule, counts))
    assert [clip.frames for clip in clips] == lengths
    assert (counts.frames, counts.dropped) == (num, dropped)
    for clip in clips:
        assert (clip.start_s, clip.end_s) == (clip.first / 8, (clip.first + clip.frames) / 8)
        expected = frames[clip.first : clip.first + clip.frames]
        assert np.array_equal(read_frames(clip.data), expected)
    ids = {clip_id(source, clip, digest) for clip in clips for source in "ab" for digest in "ij"}
    assert len(ids) == 4 * len(clips)


def test_the_split_of_a_source_depends_on_its_content_alone() -> None:
    many = digests(4000)
    held_out = [split_of(one, 0.1) == "holdout" for one in many]
    assert 0.08 < np.mean(held_out) < 0.12
    assert all(split_of(one, 0.0) == "train" for one in many)
    wider = [split_of(one, 0.3) == "holdout" for one in many]
    assert all(now for before, now in zip(held_out, wider, strict=True) if before)


def inspection(sha256: str, duration_s: float) -> Inspection:
    return Inspection(Source(f"file:///{sha256}", None, 1, "1"), sha256, duration_s)


def test_groups_depend_on_contents_alone_and_hold_each_source_once() -> None:
    draw = random.Random(0)  # noqa: S311 - a test
    sources = [inspection(one, draw.uniform(1, 9)) for one in digests(200)]
    config = IngestConfig(resolution=(32, 32))
    groups = group(sources, config)
    for _ in range(5):
        draw.shuffle(sources)
        assert group(sources, config) == groups
    packed = [one.sha256 for members in groups for one in members]
    assert packed == sorted(digests(200))
    assert len(groups) >= 10, "enough for many workers, and for a loader to shuffle"


def test_groups_fill_shards_where_there_is_much() -> None:
    config = IngestConfig(resolution=(64, 64), shard_size_bytes=1 << 22)
    seconds = (1 << 22) / (64 * 64 * 3 * 8)
    groups = group([inspection(one, seconds / 10) for one in digests(400)], config)
    assert {len(members) for members in groups[:-1]} == {9}
