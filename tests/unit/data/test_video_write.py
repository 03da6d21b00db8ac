"""Files for people: they open, they appear whole, and they say where they come from."""

import json
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from videogen.data.video.reader import read_video
from videogen.data.video.synthetic import sample_clip
from videogen.data.video.writer import (
    VideoFormat,
    VideoWriteError,
    write_grid,
    write_sheet,
    write_video,
)

PROVENANCE = {"ai_generated": "yes", "model": "models:/demo/1", "seed": 3}


@pytest.mark.parametrize("kind", ["mp4", "gif", "webm"])
def test_frames_come_back(tmp_path: Path, kind: VideoFormat) -> None:
    clip = sample_clip(1, 16)
    write_video(tmp_path / f"a.{kind}", clip, 8.0, kind, provenance=PROVENANCE)
    read = np.stack(list(read_video(tmp_path / f"a.{kind}")))
    assert read.shape == clip.shape
    assert np.abs(read.astype(int) - clip).mean() < 2


def test_an_animated_webp_has_every_frame(tmp_path: Path) -> None:
    write_video(tmp_path / "a.webp", sample_clip(1, 16), 8.0, "webp", provenance=PROVENANCE)
    with Image.open(tmp_path / "a.webp") as image:
        assert getattr(image, "n_frames", 1) == 16
        assert json.loads(image.getexif()[0x010E]) == PROVENANCE


def test_mp4_plays_everywhere(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", sample_clip(1, 16)[:, :33, :47], 8.0, provenance=PROVENANCE)
    data = (tmp_path / "a.mp4").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat"), "starts before it is loaded whole"
    with av.open(str(tmp_path / "a.mp4")) as container:
        stream = container.streams.video[0]
        context = stream.codec_context
        assert (context.name, context.pix_fmt) == ("h264", "yuv420p")
        assert (context.height, context.width) == (34, 48)
        assert stream.average_rate == 8
        assert json.loads(container.metadata["comment"]) == PROVENANCE


def test_the_same_frames_give_the_same_bytes(tmp_path: Path) -> None:
    written = set()
    for _ in range(30):  # an encoder may take other decisions now and then
        write_video(tmp_path / "a.mp4", sample_clip(1, 16), 8.0)
        written.add((tmp_path / "a.mp4").read_bytes())
    assert len(written) == 1


def test_a_fractional_rate_is_kept(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", sample_clip(1, 16), 30000 / 1001)
    with av.open(str(tmp_path / "a.mp4")) as container:
        assert float(container.streams.video[0].average_rate or 0) == pytest.approx(29.97, abs=0.01)


def test_a_sheet_has_a_row_for_each_clip_under_its_title(tmp_path: Path) -> None:
    clips = np.stack([sample_clip(seed, 8, 32) for seed in range(3)])
    write_sheet(tmp_path / "plain.png", clips)
    write_sheet(tmp_path / "titled.png", clips, title="clips seen 12,000", provenance=PROVENANCE)
    with Image.open(tmp_path / "plain.png") as plain, Image.open(tmp_path / "titled.png") as titled:
        assert plain.width == 8 * 66 + 2
        assert plain.height == 3 * 66 + 2, "small frames are enlarged"
        assert titled.height > plain.height
        assert np.asarray(titled)[: titled.height - plain.height].min() < 100, "a title is there"
        bare = np.asarray(plain)
    assert np.array_equal(bare[2:66:2, 2:66:2], clips[0, 0])


def test_a_grid_plays_clips_side_by_side(tmp_path: Path) -> None:
    clips = np.stack([sample_clip(seed, 8) for seed in range(4)])
    write_grid(tmp_path / "a.mp4", clips, 8.0, title="clips seen 12,000")
    read = np.stack(list(read_video(tmp_path / "a.mp4")))
    assert len(read) == 8
    assert read.shape[1] > 2 * 64
    assert read.shape[2] > 2 * 64


@pytest.mark.parametrize(
    "frames",
    [np.zeros((4, 8, 8, 3), np.float32), *(np.zeros((n, 8, 8, n), np.uint8) for n in (0, 1))],
)
def test_what_are_no_frames_is_refused(tmp_path: Path, frames: np.ndarray) -> None:
    with pytest.raises(VideoWriteError, match=r"a\.mp4"):
        write_video(tmp_path / "a.mp4", frames, 8.0)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_left_where_writing_fails(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").mkdir()
    with pytest.raises(VideoWriteError, match=r"a\.mp4"):
        write_video(tmp_path / "a.mp4", sample_clip(1, 4), 8.0)
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


@pytest.mark.parametrize("directory", ["file", "file/below", "x" * 300])
def test_a_directory_that_cannot_be_is_named(tmp_path: Path, directory: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(VideoWriteError, match=directory):
        write_video(tmp_path / directory / "a.mp4", sample_clip(1, 4), 8.0)
