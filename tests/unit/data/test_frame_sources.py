"""Fields, animations with transparency, and image sequences."""

import struct
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from videogen.data.video.reader import ReadRule, TimedFrame, VideoReader
from videogen.data.video.unusable import UnusableSourceError

Write = Callable[..., Path]
Grays = Callable[..., np.ndarray]
WHITE, RED, BLUE = (255, 255, 255), (200, 30, 30), (30, 30, 200)


def read(source: Path | list[Path], **rule: object) -> tuple[list[TimedFrame], VideoReader]:
    with VideoReader(source, ReadRule(**rule)) as reader:
        return list(reader.frames()), reader


def pictures(source: Path | list[Path], **rule: object) -> np.ndarray:
    return np.stack([one.picture for one in read(source, **rule)[0]]).astype(int)


def moving_bar(num: int) -> np.ndarray:
    """A white bar on gray that moves by 3 pixels a field: fields (t h w c) of 64 x 96."""
    fields = np.full((num, 64, 96, 3), 60, np.uint8)
    for index in range(num):
        fields[index, :, 6 + 3 * index : 18 + 3 * index] = 220
    return fields


def interlaced(path: Path, num: int, codec: str = "mpeg2video") -> Path:
    """Frames woven of two fields each, top field first, flagged so."""
    fields = moving_bar(2 * num)
    options = {"flags": "+ildct+ilme", "b": "8M", "top": "1", "x264-params": "tff=1"}
    options = options if codec == "mpeg2video" else {"crf": "4", "x264-params": "tff=1"}
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options=options)
        stream.height, stream.width, stream.pix_fmt = 64, 96, "yuv422p"
        for index in range(num):
            woven = fields[2 * index].copy()
            woven[1::2] = fields[2 * index + 1, 1::2]
            frame = av.VideoFrame.from_ndarray(woven, format="rgb24").reformat(format="yuv422p")
            graph = av.filter.Graph()
            nodes = [
                graph.add_buffer(template=frame, time_base=Fraction(1, 25)),
                graph.add("setfield", "tff"),
                graph.add("buffersink"),
            ]
            graph.link_nodes(*nodes).configure()
            graph.push(frame)
            marked = graph.vpull()
            marked.pts, marked.time_base = index, Fraction(1, 25)
            container.mux(stream.encode(marked))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(("name", "codec"), [("a.mpg", "mpeg2video"), ("a.mkv", "libx264")])
def test_interlaced_frames_are_deinterlaced_at_their_rate(
    tmp_path: Path, name: str, codec: str
) -> None:
    path = interlaced(tmp_path / name, 12, codec)
    with av.open(str(path)) as container:
        stored = list(container.decode(video=0))
    assert all(frame.interlaced_frame for frame in stored), "the file is as this test means it"
    combed = np.stack([frame.to_ndarray(format="rgb24") for frame in stored]).astype(int)
    frames, reader = read(path)
    shown = np.stack([one.picture for one in frames]).astype(int)
    assert len(shown) == 12
    assert np.diff([one.time_s for one in frames]) == pytest.approx(1 / 25, abs=1e-3)
    combs = [np.abs(np.diff(stack[..., 0], axis=1)).mean() for stack in (combed, shown)]
    assert combs[0] > 5 > 5 * combs[1], "lines beside each other differ no more"
    centres = [
        (row * np.arange(96)).sum() / row.sum() for row in (shown.mean((1, 3)) - 60).clip(40) - 40
    ]
    assert np.diff(centres[1:-1]) == pytest.approx(6, abs=0.5), "in order, none twice"
    assert reader.decisions is not None
    assert reader.decisions.deinterlace == "bwdif"


def test_progressive_frames_are_left_alone(tmp_path: Path, write: Write) -> None:
    path = write(tmp_path / "a.mkv", moving_bar(6), codec="ffv1", layout="yuv444p")
    frames, reader = read(path)
    assert np.abs(np.stack([one.picture for one in frames]).astype(int) - moving_bar(6)).max() <= 3
    assert reader.decisions is not None
    assert reader.decisions.deinterlace == "none"


def test_progressive_frames_behind_interlaced_ones_are_left_alone(
    tmp_path: Path, write: Write
) -> None:
    """And the one that deinterlacing holds back is not lost where the size changes."""
    first = interlaced(tmp_path / "a.ts", 8, "libx264").read_bytes()
    draw = np.random.default_rng(0)
    lines = np.kron(draw.integers(40, 220, size=(6, 64, 1, 1)), np.ones((1, 1, 96, 3)))
    second = write(tmp_path / "b.ts", lines.astype(np.uint8), layout="yuv422p").read_bytes()
    third = write(tmp_path / "c.ts", moving_bar(5)[:, :48], layout="yuv422p").read_bytes()
    (tmp_path / "joined.ts").write_bytes(first + second + third)
    frames, _ = read(tmp_path / "joined.ts")
    assert len(frames) == 8 + 6 + 5
    kept = np.stack([one.picture for one in frames[8:14]])
    assert np.abs(kept - lines).mean() < 3


def gif(path: Path, disposal: int) -> Path:
    """Three patches that appear one after the other on a transparent 24 x 24 canvas, by hand."""
    palette = bytes((*RED, *BLUE, 0, 0, 0, 0, 0, 0))
    data = bytearray(b"GIF89a" + struct.pack("<HHBBB", 24, 24, 0b10000001, 0, 0) + palette)
    for index in range(3):
        control = struct.pack("<BHB", disposal << 2 | 1, 10 * (index + 1), 3)
        data += b"!\xf9\x04" + control + b"\0"
        data += b"," + struct.pack("<HHHHB", 8 * index, 0, 8, 8, 0)
        codes = [code for _ in range(64) for code in (4, index % 2)]  # clear, pixel, clear, ...
        bits = "".join(f"{code:03b}"[::-1] for code in (*codes, 5))
        packed = bytes(int(bits[at : at + 8][::-1], 2) for at in range(0, len(bits), 8))
        data += bytes((2, len(packed))) + packed + b"\0"
    path.write_bytes(bytes(data) + b";")
    return path


@pytest.mark.parametrize(
    ("disposal", "seen"),
    [
        (1, [(RED, WHITE, WHITE), (RED, BLUE, WHITE), (RED, BLUE, RED)]),
        (2, [(RED, WHITE, WHITE), (WHITE, BLUE, WHITE), (WHITE, WHITE, RED)]),
    ],
)
def test_a_gif_is_composed_as_its_disposal_says_over_white(
    tmp_path: Path, disposal: int, seen: list[tuple[tuple[int, int, int], ...]]
) -> None:
    frames, reader = read(gif(tmp_path / "a.gif", disposal))
    assert [one.time_s for one in frames] == pytest.approx([0, 0.1, 0.3], abs=1e-3)
    for one, patches in zip(frames, seen, strict=True):
        for index, colour in enumerate(patches):
            assert np.abs(one.picture[4, 8 * index + 4].astype(int) - colour).max() <= 2
        assert (one.picture[20, 20] == 255).all()
    assert reader.decisions is not None
    assert reader.decisions.alpha == "over white"


@pytest.mark.parametrize("level", [0, 128, 255])
def test_an_animated_webp_has_its_times_its_alpha_and_its_frames(
    tmp_path: Path, level: int
) -> None:
    images = [
        Image.fromarray(np.full((32, 48, 4), (40 * index, 200, 30, level), np.uint8))
        for index in range(5)
    ]
    images[0].save(
        tmp_path / "a.webp",
        save_all=True,
        append_images=images[1:],
        duration=[100, 50, 200, 100, 100],
        lossless=True,
        exact=True,
    )
    frames, reader = read(tmp_path / "a.webp")
    assert [one.time_s for one in frames] == pytest.approx([0, 0.1, 0.15, 0.35, 0.45])
    assert reader.duration_s == pytest.approx(0.55)
    for index, one in enumerate(frames):
        colour = np.array([40 * index, 200, 30])
        expected = colour * level / 255 + 255 * (1 - level / 255)
        assert np.abs(one.picture.astype(int) - expected).max() <= 2
    small = pictures(tmp_path / "a.webp", size=(16, 16))
    assert small.shape == (5, 16, 16, 3)


def test_what_is_transparent_does_not_bleed_into_its_surroundings(tmp_path: Path) -> None:
    pixels = np.zeros((64, 64, 4), np.uint8)
    pixels[:, :32] = (*RED, 255)
    pixels[:, 32:] = (0, 255, 0, 0)  # green that nobody sees
    Image.fromarray(pixels).save(tmp_path / "a.png")
    frame = pictures([tmp_path / "a.png"], size=(8, 8))[0]
    assert (frame[:, 5:] >= 250).all()
    assert (frame[..., 0] >= frame[..., 1] - 2).all(), "nowhere greener than white or red"


KINDS = ["png", "jpg", "webp", "bmp", "tiff"]


@pytest.mark.parametrize("kind", KINDS)
def test_an_image_sequence_is_read_in_order_at_its_rate(
    tmp_path: Path, grays: Grays, kind: str
) -> None:
    paths = [tmp_path / f"frame %03d '{index:04d}'.{kind}" for index in range(6)]
    for path, pixels in zip(paths, grays(6, 48, 64), strict=True):
        Image.fromarray(pixels).save(path, quality=95)
    frames, reader = read(paths, size=(32, 32), sequence_fps=12.5)
    assert [one.time_s for one in frames] == pytest.approx(np.arange(6) / 12.5)
    assert [round((one.picture.mean() - 20) / 7) for one in frames] == list(range(6))
    assert (reader.duration_s, reader.period_s) == pytest.approx((6 / 12.5, 1 / 12.5))
    assert [one.change > 2 for one in frames] == [False] + 5 * [True]


@pytest.mark.parametrize("layout", ["rgb48be", "gray16be"])
def test_deep_images_keep_their_levels(tmp_path: Path, write: Write, layout: str) -> None:
    gray = np.full((1, 16, 16, 3), 96, np.uint8)
    path = write(tmp_path / "a.png", gray, codec="png", layout=layout, rate=1)
    assert np.abs(pictures([path]) - 96).max() <= 1


def test_openexr_s_linear_light_is_encoded_as_srgb(tmp_path: Path) -> None:
    path = tmp_path / "a.exr"
    with av.open(str(path), "w", format="image2") as container:
        stream = container.add_stream("exr", rate=1)
        stream.height, stream.width, stream.pix_fmt = 16, 32, "gbrpf32le"
        linear = np.full((16, 32, 3), (0.5, 0.1, 4.0), np.float32)
        container.mux(stream.encode(av.VideoFrame.from_ndarray(linear, format="gbrpf32le")))
        container.mux(stream.encode(None))
    expected = [
        255 * (1.055 * 0.5 ** (1 / 2.4) - 0.055),
        255 * (1.055 * 0.1 ** (1 / 2.4) - 0.055),
        255,
    ]
    assert np.abs(pictures([path])[0] - expected).max() <= 1.5


def test_a_damaged_image_is_a_corrupt_frame(tmp_path: Path, grays: Grays) -> None:
    paths = [tmp_path / f"{index}.png" for index in range(6)]
    for path, pixels in zip(paths, grays(6), strict=True):
        Image.fromarray(pixels).save(path)
    paths[3].write_bytes(b"junk")
    with pytest.raises(UnusableSourceError, match="1 of 6") as caught:
        read(paths)
    assert caught.value.reason == "corrupt"
    frames, reader = read(paths, max_corrupt_fraction=0.2)
    assert [one.time_s for one in frames] == pytest.approx(np.array([0, 1, 2, 4, 5]) / 24)
    assert reader.counts.corrupt == 1


def test_an_image_that_goes_away_is_said_to_have_vanished(tmp_path: Path, grays: Grays) -> None:
    paths = [tmp_path / f"{index}.png" for index in range(3)]
    for path, pixels in zip(paths, grays(3), strict=True):
        Image.fromarray(pixels).save(path)
    paths[1].unlink()
    with pytest.raises(UnusableSourceError) as caught:
        read(paths)
    assert caught.value.reason == "vanished"
