"""Reading real files, made here with PyAV."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from videogen.data.video.reader import ReadRule, VideoReader, probe, read_video
from videogen.data.video.resample import nearest_in_time
from videogen.data.video.synthetic import sample_clip
from videogen.data.video.unusable import UnusableSourceError
from videogen.data.video.writer import write_video

RED = (0xC0, 0x20, 0x20)
TAGS = {"bt709": 1, "bt601": 5}
RANGES = {"tv": 1, "pc": 2}


def encode(  # noqa: PLR0913 - what a file can be like
    path: Path,
    frames: np.ndarray,
    *,
    pts: Sequence[int] | None = None,
    rotation: int = 0,
    matrix: int = 0,
    span: int = 0,
    tagged: bool = True,
) -> Path:
    """H.264 at 100 ticks a second; without `pts` at 10 frames a second."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"crf": "8", "bf": "0"})
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = Fraction(1, 100)
        if tagged and matrix:
            stream.codec_context.colorspace = matrix
            stream.codec_context.color_range = span
        if rotation:
            stream.set_display_rotation(rotation)
        for index, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            if matrix:
                frame = frame.reformat(
                    format="yuv420p", dst_colorspace=matrix, dst_color_range=span
                )
            frame.pts = pts[index] if pts else index * 10
            frame.time_base = Fraction(1, 100)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def solid(colour: tuple[int, int, int], height: int = 64, width: int = 64) -> np.ndarray:
    return np.full((6, height, width, 3), colour, dtype=np.uint8)


def reason_of(path: Path) -> str:
    with pytest.raises(UnusableSourceError) as caught:
        list(read_video(path))
    assert str(path.name) in str(caught.value)
    return caught.value.reason


@pytest.mark.parametrize("matrix", TAGS)
@pytest.mark.parametrize("span", RANGES)
def test_a_solid_colour_comes_back_whatever_matrix_and_range_are_tagged(
    tmp_path: Path, matrix: str, span: str
) -> None:
    path = encode(tmp_path / "a.mp4", solid(RED), matrix=TAGS[matrix], span=RANGES[span])
    with VideoReader(path, ReadRule(size=(32, 32))) as reader:
        pictures = np.stack([one.picture for one in reader.frames()]).astype(int)
    assert np.abs(pictures - RED).max() <= 4
    assert reader.decisions is not None
    assert (reader.decisions.matrix_from, reader.decisions.range) == ("tag", span)


@pytest.mark.parametrize(("height", "matrix"), [(720, "bt709"), (480, "bt601")])
def test_an_untagged_file_is_read_by_its_height(tmp_path: Path, height: int, matrix: str) -> None:
    frames = solid(RED, height, height)
    path = encode(tmp_path / "a.mp4", frames, matrix=TAGS[matrix], span=1, tagged=False)
    with VideoReader(path, ReadRule(size=(32, 32))) as reader:
        pictures = np.stack([one.picture for one in reader.frames()]).astype(int)
    assert np.abs(pictures - RED).max() <= 4
    assert reader.decisions is not None
    assert (reader.decisions.matrix, reader.decisions.matrix_from) == (matrix, "size")
    assert reader.decisions.range_from in ("tag", "default")


@pytest.mark.parametrize("rotation", [0, 90, 180, -90])
def test_rotation_metadata_is_applied(tmp_path: Path, rotation: int) -> None:
    frames = solid((16, 16, 16), 48, 96)
    frames[:, :16, :32] = 240
    path = encode(tmp_path / "a.mp4", frames, rotation=rotation)
    upright = np.rot90(frames[0], k=rotation // 90)
    with VideoReader(path) as reader:
        picture = next(one.picture for one in reader.frames())
    assert picture.shape == upright.shape
    assert np.abs(picture.astype(int) - upright).mean() < 4
    assert reader.decisions is not None
    assert reader.decisions.rotation == rotation % 360


@pytest.mark.parametrize("rotation", [0, 90])
def test_the_centre_is_cropped_to_the_aspect_ratio_asked_for(tmp_path: Path, rotation: int) -> None:
    frames = solid(RED, 64, 192)
    frames[:, :, 64:128] = (240, 240, 240)
    path = encode(tmp_path / "a.mp4", frames, rotation=rotation)
    pictures = np.stack(list(read_video(path, height=16, width=16)))
    assert pictures.shape[1:] == (16, 16, 3)
    assert pictures[:, 2:-2, 2:-2].min() > 220


def test_frames_are_chosen_by_presentation_time(tmp_path: Path) -> None:
    draw = np.random.default_rng(1)
    pts = np.cumsum(draw.integers(2, 30, size=40)).tolist()
    levels = np.linspace(20, 235, 40).astype(np.uint8)
    frames = np.broadcast_to(levels[:, None, None, None], (40, 32, 32, 3))
    path = encode(tmp_path / "a.mp4", np.ascontiguousarray(frames), pts=pts)
    times = (np.array(pts) - pts[0]) / 100
    with VideoReader(path, ReadRule(size=(32, 32))) as reader:
        timed = ((one.time_s, one.picture) for one in reader.frames())
        for time_s, picture in nearest_in_time(timed, 8, reader.period_s):
            shown = int(np.abs(levels.astype(int) - picture.mean()).argmin())
            distances = np.abs(times - time_s)
            assert distances[shown] <= distances.min() + 1e-5


def test_a_file_is_read_the_same_twice_and_like_what_was_written(tmp_path: Path) -> None:
    clip = sample_clip(3)
    write_video(tmp_path / "a.mp4", clip, 8.0)
    read = [np.stack(list(read_video(tmp_path / "a.mp4"))) for _ in range(2)]
    assert np.array_equal(*read)
    assert read[0].shape == clip.shape
    assert np.abs(read[0].astype(int) - clip).mean() < 2


def test_a_probe_tells_what_a_full_read_finds(tmp_path: Path) -> None:
    for kind in ("mp4", "gif", "webm"):
        write_video(tmp_path / f"a.{kind}", sample_clip(3, 16), 8.0, kind)
        facts = probe(tmp_path / f"a.{kind}")
        assert (facts.num_frames, facts.height, facts.width) == (16, 64, 64)
        assert facts.fps == pytest.approx(8, rel=0.05)
        assert facts.duration_s == pytest.approx(2, rel=0.05)


def test_a_file_cut_anywhere_is_truncated(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", sample_clip(0), 8.0)
    data = (tmp_path / "a.mp4").read_bytes()
    for share in np.linspace(0.05, 0.999, 40):
        (tmp_path / "cut.mp4").write_bytes(data[: int(share * len(data))])
        assert reason_of(tmp_path / "cut.mp4") == "truncated"


def test_bytes_after_the_last_box_do_no_harm(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", sample_clip(0, 8), 8.0)
    data = (tmp_path / "a.mp4").read_bytes()
    for tail in (b"\x00", b"\x00" * 64, b"\xff\xd8\xff\xe0" * 8, b"junk"):
        (tmp_path / "a.mp4").write_bytes(data + tail)
        assert len(list(read_video(tmp_path / "a.mp4"))) == 8


def test_a_cut_file_whose_index_was_at_the_end_is_truncated(tmp_path: Path) -> None:
    data = encode(tmp_path / "a.mp4", sample_clip(0)).read_bytes()
    (tmp_path / "cut.mp4").write_bytes(data[: len(data) // 2])
    assert reason_of(tmp_path / "cut.mp4") == "truncated"


def test_a_cut_matroska_file_is_truncated_although_its_demuxer_is_silent(tmp_path: Path) -> None:
    data = encode(tmp_path / "a.mkv", sample_clip(0, 80)).read_bytes()
    (tmp_path / "cut.mkv").write_bytes(data[: len(data) // 2])
    assert reason_of(tmp_path / "cut.mkv") == "truncated"


def test_flipped_bytes_are_noticed(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    noise = draw.integers(0, 256, size=(40, 64, 64, 3), dtype=np.uint8)
    data = bytearray(encode(tmp_path / "a.mp4", noise).read_bytes())
    for place in draw.integers(1000, len(data) - 5000, size=30):
        data[place] ^= 0xFF
    (tmp_path / "flipped.mp4").write_bytes(data)
    assert reason_of(tmp_path / "flipped.mp4") in ("corrupt", "truncated")


def test_what_is_no_video_says_why(tmp_path: Path) -> None:
    (tmp_path / "zero.mp4").touch()
    (tmp_path / "text.mp4").write_text("not a video\n" * 100)
    (tmp_path / "vast.mp4").write_bytes(b"YUV4MPEG2 W9000 H9000 F25:1 C420\nFRAME\n" + b"0" * 64)
    (tmp_path / "loop.mp4").symlink_to("loop.mp4")
    with av.open(str(tmp_path / "sound.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=16000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 16000), np.float32), "fltp", "mono")
        frame.rate = 16000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    reasons = {
        "zero": "zero-byte",
        "text": "corrupt",
        "vast": "too large",
        "loop": "unreadable",
        "sound": "no video stream",
        "nowhere": "missing",
    }
    for name, reason in reasons.items():
        assert reason_of(tmp_path / f"{name}.mp4") == reason, name


def test_a_playlist_under_a_video_s_name_opens_nothing_else(tmp_path: Path) -> None:
    write_video(tmp_path / "other.mp4", sample_clip(0, 16), 8.0)
    lines = f"ffconcat version 1.0\nfile {tmp_path / 'other.mp4'}\n"
    (tmp_path / "list.mp4").write_text(lines)
    reason_of(tmp_path / "list.mp4")


@pytest.mark.parametrize(
    "name", ["with space", "quo'te\"", "new\nline", "semi;colon", "%03d", "видео", "http:x", "-i"]
)
def test_any_name_can_be_read(tmp_path: Path, name: str) -> None:
    write_video(tmp_path / f"{name}.mp4", sample_clip(0, 4), 8.0)
    assert len(list(read_video(tmp_path / f"{name}.mp4"))) == 4


def test_a_name_that_is_not_unicode_can_be_read(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", sample_clip(0, 4), 8.0)
    odd = Path((tmp_path / "a.mp4").rename(tmp_path / "odd-\udcff.mp4"))
    assert len(list(read_video(odd))) == 4
