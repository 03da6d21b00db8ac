"""Synthetic samples: seeded, moving, written once."""

from pathlib import Path

import numpy as np

from videogen.data.video.reader import read_video
from videogen.data.video.synthetic import sample_clip, write_samples
from videogen.progress import ProgressEvent, silent


def test_a_video_depends_on_its_seed_alone_and_longer_ones_extend_it() -> None:
    assert np.array_equal(sample_clip(5, 24)[:16], sample_clip(5, 16))
    assert not np.array_equal(sample_clip(5, 16), sample_clip(6, 16))


def test_the_shape_is_large_and_moves_all_the_time() -> None:
    for seed in range(30):
        clip = sample_clip(seed, 16).astype(int)
        background = clip[0, 0, 0] if (clip[0] == clip[0, 0, 0]).mean() > 0.5 else clip[0, -1, -1]
        shape = np.abs(clip - background).sum(axis=-1) > 60
        assert 0.05 < shape.mean() < 0.2
        assert (np.abs(np.diff(clip, axis=0)).sum(axis=-1) > 60).mean(axis=(1, 2)).min() > 0.005


def test_samples_are_written_once(tmp_path: Path) -> None:
    events: list[ProgressEvent] = []
    first = write_samples(tmp_path / "new" / "dir", 3, 10, events.append, num_frames=16)
    assert [path.name for path in first] == [f"sample-{seed:05d}.mp4" for seed in (10, 11, 12)]
    assert (events[-1].done, events[-1].total) == (3, 3)
    before = {path: path.stat().st_mtime_ns for path in first}
    content = first[2].read_bytes()
    first[1].write_bytes(b"spoilt")
    first[2].unlink()
    assert write_samples(tmp_path / "new" / "dir", 3, 10, silent, num_frames=16) == first
    assert first[0].stat().st_mtime_ns == before[first[0]]
    assert first[2].read_bytes() == content
    read = np.stack(list(read_video(first[1]))).astype(int)
    assert np.abs(read - sample_clip(11, 16)).mean() < 2


def test_video_i_depends_on_seed_plus_i(tmp_path: Path) -> None:
    (one,) = write_samples(tmp_path / "a", 1, 12, silent, num_frames=16)
    *_, same = write_samples(tmp_path / "b", 3, 10, silent, num_frames=16)
    assert one.read_bytes() == same.read_bytes()
