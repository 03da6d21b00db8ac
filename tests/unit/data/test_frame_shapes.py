"""Which part of a frame comes out, which way up, and in which shape."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from videogen.data.video.geometry import Bars, Crop, Look, believable_aspect, plan
from videogen.data.video.reader import ReadRule, VideoReader

Write = Callable[..., Path]
COLOURS = {"red": (200, 30, 30), "green": (30, 160, 30), "blue": (30, 30, 200), "white": (230,) * 3}


def quarters(height: int, width: int, num: int = 4) -> np.ndarray:
    """Red, green over blue, white: every turn and flip shows."""
    frame = np.empty((height, width, 3), np.uint8)
    top, left = height // 2, width // 2
    frame[:top, :left], frame[:top, left:] = COLOURS["red"], COLOURS["green"]
    frame[top:, :left], frame[top:, left:] = COLOURS["blue"], COLOURS["white"]
    return np.broadcast_to(frame, (num, *frame.shape))


def read(path: Path, **rule: object) -> tuple[np.ndarray, VideoReader]:
    with VideoReader(path, ReadRule(**rule)) as reader:
        frames = np.stack([one.picture for one in reader.frames()])
    return frames, reader


def named(frame: np.ndarray, y: float, x: float) -> str:
    """The colour at a place in [0, 1]."""
    height, width, _ = frame.shape
    pixel = frame[int(y * height), int(x * width)].astype(int)
    return min(COLOURS, key=lambda name: np.abs(pixel - COLOURS[name]).sum())


def layout(frame: np.ndarray) -> list[str]:
    return [named(frame, y, x) for y in (0.25, 0.75) for x in (0.25, 0.75)]


def with_matrix(path: Path, numbers: tuple[int, int, int, int]) -> Path:
    """Patch the display matrix (a, b, c, d; 1 is 65536) in an MP4's track header."""
    data = bytearray(path.read_bytes())
    place = data.index(b"tkhd") + 4 + 40
    for index, number in zip((0, 1, 3, 4), numbers, strict=True):
        data[place + 4 * index : place + 4 * index + 4] = (number * 65536).to_bytes(
            4, "big", signed=True
        )
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("matrix", "expected"),
    [
        ((1, 0, 0, 1), lambda frame: frame),
        ((0, 1, -1, 0), lambda frame: np.rot90(frame, -1)),
        ((-1, 0, 0, -1), lambda frame: np.rot90(frame, 2)),
        ((0, -1, 1, 0), lambda frame: np.rot90(frame, 1)),
        ((-1, 0, 0, 1), lambda frame: frame[:, ::-1]),
        ((1, 0, 0, -1), lambda frame: frame[::-1]),
        ((0, 1, 1, 0), lambda frame: frame.transpose(1, 0, 2)),
        ((0, -1, -1, 0), lambda frame: np.rot90(frame, 2).transpose(1, 0, 2)),
    ],
)
def test_turns_and_mirrors_are_applied(
    tmp_path: Path,
    write: Write,
    matrix: tuple[int, int, int, int],
    expected: Callable[[np.ndarray], np.ndarray],
) -> None:
    """x of what is shown is a x + c y of what is stored, y is b x + d y (ISO 14496-12)."""
    source = quarters(48, 96)
    path = with_matrix(write(tmp_path / "a.mp4", source), matrix)
    frames, _ = read(path)
    upright = expected(source[0])
    assert frames[0].shape == upright.shape
    assert layout(frames[0]) == layout(upright)
    assert layout(read(path, size=(32, 32))[0][0]) == layout(upright)


@pytest.mark.parametrize(
    ("aspect", "shape"),
    [
        (Fraction(2, 1), (48, 96)),
        (Fraction(1, 2), (96, 48)),
        (Fraction(12, 11), (48, 52)),
        (Fraction(1, 1), (48, 48)),
        (Fraction(60_000, 1), (48, 48)),
    ],
)
def test_pixels_come_out_square(
    tmp_path: Path, write: Write, aspect: Fraction, shape: tuple[int, int]
) -> None:
    context = {"sample_aspect_ratio": aspect}
    path = write(tmp_path / "a.mkv", quarters(48, 48), context=context)
    frames, _ = read(path)
    assert frames.shape[1:3] == shape
    assert layout(frames[0]) == list(COLOURS)


def test_the_crop_counts_in_square_pixels(tmp_path: Path, write: Write) -> None:
    """48 x 48 stored at 2:1 shows 96 x 48: the square in its middle is 24 pixels wide."""
    source = np.full((4, 48, 48, 3), 230, np.uint8)
    source[:, :, 12:36] = COLOURS["red"]
    path = write(tmp_path / "a.mkv", source, context={"sample_aspect_ratio": Fraction(2)})
    frames, reader = read(path, size=(32, 32))
    assert np.abs(frames[:, :, 3:-3].astype(int) - COLOURS["red"]).max() < 12
    assert reader.decisions is not None
    assert (reader.decisions.aspect, reader.decisions.crop) == ("2:1", "24x48+12+0")


@pytest.mark.parametrize("size", [(33, 47), (35, 64), (64, 35), (17, 17), (1, 9)])
def test_odd_sizes_keep_every_row_and_column(
    tmp_path: Path, write: Write, size: tuple[int, int]
) -> None:
    ramp = np.linspace(30, 220, size[0] * size[1]).reshape(*size, 1).astype(np.uint8)
    source = np.broadcast_to(ramp, (4, *size, 3))
    path = write(tmp_path / "a.mkv", source, codec="ffv1", layout="yuv444p")
    frames, _ = read(path)
    assert frames.shape == source.shape
    assert np.abs(frames.astype(int) - source).max() <= 3
    for layout_name in ("yuv420p", "yuv422p"):
        path = write(tmp_path / "b.mkv", source, codec="ffv1", layout=layout_name)
        frames, _ = read(path)
        assert np.abs(frames.astype(int) - source).max() <= 3
        small, _ = read(path, size=(8, 8))
        assert abs(small.mean() - source.mean()) < 8


@pytest.mark.parametrize("policy", ["centre", "letterbox", "none"])
@pytest.mark.parametrize("turned", [False, True])
def test_crop_policies(tmp_path: Path, write: Write, policy: str, turned: bool) -> None:  # noqa: FBT001
    source = np.full((4, 48, 96, 3), COLOURS["green"], np.uint8)
    source[:, :, :24], source[:, :, 72:] = COLOURS["red"], COLOURS["blue"]
    path = write(tmp_path / "a.mp4", source)
    if turned:
        path = with_matrix(path, (0, 1, -1, 0))
    frames, _ = read(path, size=(32, 32), crop=policy)
    line = frames[0].transpose(1, 0, 2) if turned else frames[0]
    assert line.shape == (32, 32, 3)
    ends = [named(line, 0.5, 0.1), named(line, 0.5, 0.5), named(line, 0.5, 0.9)]
    is_whole = policy != "centre"
    assert ends == (["red", "green", "blue"] if is_whole else ["green"] * 3)
    assert (line[:7].max() < 8 and line[-7:].max() < 8) == (policy == "letterbox")


@pytest.mark.parametrize("side", ["left", "right"])
def test_the_smart_crop_goes_where_it_moves(tmp_path: Path, write: Write, side: str) -> None:
    source = np.full((40, 64, 192, 3), 120, np.uint8)
    source[:, 24:40, 84:108] = COLOURS["white"]  # stands still in the middle
    for index in range(40):
        x = (8 if side == "left" else 140) + index % 20
        source[index, 20:44, x : x + 24] = COLOURS["red"]
    path = write(tmp_path / "a.mp4", source)
    frames, reader = read(path, size=(32, 32), crop="smart")
    red = (frames[..., 0].astype(int) - frames[..., 1] > 90).mean(axis=(1, 2))
    assert red.min() > 0.1, "the moving square is in every frame"
    assert reader.decisions is not None
    offset = int(reader.decisions.crop.split("+")[1])
    assert offset <= 8 if side == "left" else offset >= 110


def test_the_smart_crop_of_a_still_is_the_centre() -> None:
    still = Look(motion_x=(0.0,) * 64, motion_y=(0.0,) * 64)
    args = ((192, 64), Fraction(1), (32, 32))
    assert plan(*args, "smart", still) == plan(*args, "centre", Look())


@pytest.mark.parametrize("bars", [(24, 0), (0, 40), (18, 20)])
def test_black_bars_are_cut_off(tmp_path: Path, write: Write, bars: tuple[int, int]) -> None:
    rows, columns = bars
    draw = np.random.default_rng(0)
    source = np.zeros((30, 144, 192, 3), np.uint8)
    inner = source[:, rows : 144 - rows, columns : 192 - columns]
    blocks = draw.integers(40, 230, size=(30, 8, 8, 3))
    inner[:] = np.kron(blocks, np.ones((1, 18, 24, 1)))[:, : inner.shape[1], : inner.shape[2]]
    inner[:5] = 0  # a film begins in the dark
    path = write(tmp_path / "a.mp4", source, options={"crf": "20"})
    frames, reader = read(path, crop_bars=True)
    assert np.abs(np.array(frames.shape[1:3]) - inner.shape[1:3]).max() <= 4
    assert frames[8:].mean(axis=(0, 1, 3)).min() > 30
    assert frames[8:].mean(axis=(0, 2, 3)).min() > 30
    assert reader.decisions is not None
    assert reader.decisions.bars != "none"
    kept, _ = read(path)
    assert kept.shape[1:3] == (144, 192)


def test_a_dark_surround_is_no_bar_once_something_enters_it(tmp_path: Path, write: Write) -> None:
    source = np.zeros((60, 96, 96, 3), np.uint8)
    for index in range(60):
        y = 28 if index < 30 else index - 2
        source[index, y : y + 40, 28:68] = COLOURS["white"]
    _, reader = read(write(tmp_path / "a.mp4", source), crop_bars=True)
    assert reader.decisions is not None
    assert "top 0 bottom 0" in reader.decisions.bars


def test_bars_are_found_though_the_film_begins_with_a_small_title(
    tmp_path: Path, write: Write
) -> None:
    source = np.zeros((30, 96, 96, 3), np.uint8)
    source[:4, 44:52, 40:56] = 60
    source[4:, 16:80] = COLOURS["green"]
    _, reader = read(write(tmp_path / "a.mp4", source), crop_bars=True)
    assert reader.decisions is not None
    assert reader.decisions.bars.startswith("top 16 bottom 16 left 0")


def test_a_small_thing_on_black_is_not_the_whole_picture(tmp_path: Path, write: Write) -> None:
    source = np.zeros((30, 96, 96, 3), np.uint8)
    for index in range(30):
        source[index, 40:56, 40:56] = 60 + 5 * index
    frames, _ = read(write(tmp_path / "a.mp4", source), crop_bars=True)
    assert frames.shape == source.shape


def test_bars_of_one_size_are_not_cut_from_another(tmp_path: Path, write: Write) -> None:
    first = np.zeros((12, 96, 96, 3), np.uint8)
    first[:, 24:72] = COLOURS["green"]
    write(tmp_path / "a.ts", first)
    second = quarters(64, 128, num=6).copy()
    second[:, :16] = COLOURS["white"]
    write(tmp_path / "b.ts", second)
    parts = [(tmp_path / name).read_bytes() for name in ("a.ts", "b.ts")]
    (tmp_path / "c.ts").write_bytes(b"".join(parts))
    rule = ReadRule(crop_bars=True, size=(48, 96), crop="none")
    with VideoReader(tmp_path / "c.ts", rule) as reader:
        frames = [one.picture for one in reader.frames()]
    assert len(frames) == 18
    assert named(frames[0], 0.05, 0.5) == "green"
    assert named(frames[-1], 0.1, 0.25) == "white"


def test_4_2_0_frames_are_cut_at_even_pixels() -> None:
    for width in range(40, 90):
        box = plan((width, 33), Fraction(1), (32, 32), "centre", Look()).box
        assert box.x % 2 == 0
        assert abs(box.x - (width - box.width) / 2) < 2


@pytest.mark.parametrize("crop", ["centre", "letterbox", "none"])
def test_bars_of_odd_size_are_cut_off_at_even_pixels(crop: Crop) -> None:
    look = Look(Bars(top=31, bottom=31, left=7, right=7))
    box = plan((200, 160), Fraction(1), (32, 32), crop, look).box
    assert (box.x % 2, box.y % 2) == (0, 0)
    assert min(box.x - 7, box.y - 31) >= 0
    assert max(box.x + box.width - 193, box.y + box.height - 129) <= 0


def test_an_absurd_pixel_aspect_is_not_believed() -> None:
    for tag in (Fraction(60_000), Fraction(1, 60_000), Fraction(0), None):
        assert believable_aspect(tag) == 1
    assert believable_aspect(Fraction(64, 45)) == Fraction(64, 45)


def test_a_file_may_change_its_size_midway(tmp_path: Path, write: Write) -> None:
    for name, size in (("a.ts", (48, 96)), ("b.ts", (96, 64))):
        write(tmp_path / name, quarters(*size, num=6))
    parts = [(tmp_path / name).read_bytes() for name in ("a.ts", "b.ts")]
    (tmp_path / "c.ts").write_bytes(b"".join(parts))
    frames, _ = read(tmp_path / "c.ts", size=(32, 32))
    assert len(frames) == 12
    assert all(layout(frame) == list(COLOURS) for frame in frames)


def test_a_cut_is_measured_over_a_change_of_size(tmp_path: Path, write: Write) -> None:
    for name, size, level in (("a.ts", 48, 30), ("b.ts", 64, 200)):
        write(tmp_path / name, np.full((6, size, size, 3), level, np.uint8))
    parts = [(tmp_path / name).read_bytes() for name in ("a.ts", "b.ts")]
    (tmp_path / "c.ts").write_bytes(b"".join(parts))
    with VideoReader(tmp_path / "c.ts", ReadRule(size=(32, 32))) as reader:
        scores = [(one.change, one.score) for one in reader.frames()]
    assert scores[6] == pytest.approx((67, 67), abs=2)
    assert max(score for index, (_, score) in enumerate(scores) if index != 6) < 1


def test_scaling_is_close_to_a_float_reference(tmp_path: Path, write: Write) -> None:
    draw = np.random.default_rng(3)
    coarse = draw.integers(0, 256, size=(24, 40), dtype=np.uint8)
    luma = np.asarray(Image.fromarray(coarse).resize((640, 384), Image.Resampling.BICUBIC))
    source = np.broadcast_to(luma[None, ..., None], (2, 384, 640, 3))
    path = write(tmp_path / "a.mkv", source, codec="ffv1", layout="gray")
    frames, _ = read(path, size=(64, 64))
    with av.open(str(path)) as container:
        stored = next(container.decode(video=0)).to_ndarray().astype(np.float32)
    square = Image.fromarray(stored[:, 128:512])
    reference = np.asarray(square.resize((64, 64), Image.Resampling.LANCZOS)).clip(0, 255)
    error = frames[0, ..., 1] - reference
    assert 10 * np.log10(255**2 / np.square(error).mean()) > 50
