"""Files that are not as they should be: refused in words, before they cost anything."""

import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from videogen.data.video.containers import is_cut_short
from videogen.data.video.reader import ReadRule, VideoReader
from videogen.data.video.synthetic import sample_clip
from videogen.data.video.unusable import UnusableSourceError
from videogen.data.video.writer import write_video

Write = Callable[..., Path]
Grays = Callable[..., np.ndarray]
MIB = 1 << 20


def refusal(source: Path | list[Path], rule: ReadRule | None = None) -> UnusableSourceError:
    with pytest.raises(UnusableSourceError) as caught, VideoReader(source, rule) as reader:
        list(reader.frames())
    return caught.value


@cache
def png_bytes() -> bytes:
    """One black frame of 16,000 x 16,000 pixels of a byte."""
    deflate = zlib.compressobj(1)
    rows = b"".join(deflate.compress(bytes(16_001)) for _ in range(16_000)) + deflate.flush()
    header = struct.pack(">IIBBBBB", 16_000, 16_000, 8, 0, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", rows), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


def lying_mov(path: Path) -> Path:
    """Its header says 64 x 64."""
    return vast_mov(path, 64)


def vast_mov(path: Path, size: int = 16_000) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("png", rate=1)
        stream.height = stream.width = size
        stream.pix_fmt = "gray"
        packet = av.Packet(png_bytes())
        packet.pts = packet.dts = 0
        packet.stream = stream
        container.mux(packet)
    return path


def vast_webp(path: Path) -> Path:
    """The header alone: its canvas is 16,000 x 16,000."""
    small = [Image.new("RGB", (8, 8), (99 * index, 0, 0)) for index in range(3)]
    small[0].save(path, save_all=True, append_images=small[1:])
    data = bytearray(path.read_bytes())
    data[24:30] = (15_999).to_bytes(3, "little") * 2
    path.write_bytes(data)
    return path


def vast_png(path: Path) -> Path:
    path.write_bytes(png_bytes())
    return path


@pytest.mark.parametrize("make", [vast_mov, lying_mov, vast_webp, vast_png])
def test_16_000_by_16_000_pixels_are_refused_before_they_are_allocated(
    tmp_path: Path, make: Callable[[Path], Path]
) -> None:
    kind = {vast_mov: "mov", lying_mov: "mov", vast_webp: "webp", vast_png: "png"}[make]
    path = make(tmp_path / f"a.{kind}")
    program = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "from videogen.data.video.unusable import UnusableSourceError\n"
        "from videogen.data.video.reader import VideoReader\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10\n"
        "before, path = peak(), Path(sys.argv[1])\n"
        "try:\n"
        "    list(VideoReader([path] if path.suffix == '.png' else path).frames())\n"
        "except UnusableSourceError as error:\n"
        "    print(error.reason, peak() - before, error.detail)\n"
    )
    answer = subprocess.run(
        [sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True
    ).stdout
    if make is not lying_mov:
        assert answer.startswith("too large "), answer
        assert "16000 x 16000" in answer or "256000000 pixels" in answer
    assert int(answer.split()[2]) < 60, "MiB; a frame of it has 244 or more"


@pytest.mark.parametrize("box", [b"mvhd", b"mdhd"])
def test_an_endless_duration_in_the_header_is_refused_in_words(
    tmp_path: Path, write: Write, grays: Grays, box: bytes
) -> None:
    path = write(tmp_path / "a.mp4", grays(10))
    data = bytearray(path.read_bytes())
    place = data.index(box) + 4
    data[place + 12 : place + 20] = struct.pack(">II", 1000, 0xFFFFFFFF)
    path.write_bytes(data)
    error = refusal(path)
    assert error.reason == "corrupt"
    assert "claims 1193 hours" in error.detail


@pytest.mark.parametrize(
    ("duration_ms", "reason", "words"),
    [(1e15, "corrupt", "hours"), (3.6e6, "truncated", "before its 3600.0 s")],
)
def test_a_matroska_header_that_claims_too_much_is_refused_in_words(
    tmp_path: Path, write: Write, grays: Grays, duration_ms: float, reason: str, words: str
) -> None:
    data = bytearray(write(tmp_path / "a.mkv", grays(10)).read_bytes())
    place = data.index(b"\x44\x89\x88") + 3
    data[place : place + 8] = struct.pack(">d", duration_ms)
    (tmp_path / "b.mkv").write_bytes(data)
    error = refusal(tmp_path / "b.mkv")
    assert (error.reason, words in error.detail) == (reason, True), error.detail


def test_one_frame_is_one_frame(tmp_path: Path, write: Write, grays: Grays) -> None:
    for name in ("a.mp4", "a.mkv", "a.avi", "a.gif"):
        codec, layout = ("gif", "pal8") if name == "a.gif" else ("libx264", "yuv420p")
        if name == "a.gif":
            Image.fromarray(grays(1)[0]).save(tmp_path / name)
        else:
            write(tmp_path / name, grays(1), codec=codec, layout=layout)
        with VideoReader(tmp_path / name) as reader:
            (one,) = reader.frames()
        assert (one.time_s, one.change, one.score) == (0, 0, 0)
        assert 0 < reader.period_s <= 10


@pytest.mark.parametrize("kind", ["gif", "webp", "avi", "mkv"])
def test_a_file_cut_anywhere_is_truncated_in_formats_that_say_their_length(
    tmp_path: Path, write: Write, kind: str
) -> None:
    path = tmp_path / f"a.{kind}"
    if kind in ("gif", "webp"):
        write_video(path, sample_clip(0, 24), 8.0, kind)  # type: ignore[arg-type]
    else:
        write(path, sample_clip(0, 24))
    assert not is_cut_short(path)
    data = path.read_bytes()
    for share in np.linspace(0.05, 0.999, 25):
        cut = tmp_path / f"cut.{kind}"
        cut.write_bytes(data[: int(share * len(data))])
        assert refusal(cut).reason == "truncated", share


def test_bytes_behind_the_end_do_no_harm(tmp_path: Path, write: Write) -> None:
    for kind in ("gif", "avi", "mkv"):
        path = tmp_path / f"a.{kind}"
        if kind == "gif":
            write_video(path, sample_clip(0, 8), 8.0, "gif")
        else:
            write(path, sample_clip(0, 8))
        for tail in (b"\0" * 40, b"junk"):
            path.write_bytes(path.read_bytes() + tail)
            assert not is_cut_short(path)


def damaged(path: Path, packets: set[int]) -> Path:
    """A copy of an intra-coded AVI whose packets of these numbers are noise."""
    draw = np.random.default_rng(0)
    data = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        places = [(p.pos, p.size) for p in container.demux(video=0) if p.size]
    for index in packets:
        position, size = places[index]
        start = position + 8 + 200 if data[position : position + 4] == b"00dc" else position + 200
        noise = draw.integers(0, 255, size=size - 260, dtype=np.uint8)  # no marker's 0xFF
        data[start : start + len(noise)] = noise.tobytes()
    other = path.with_name("damaged" + path.suffix)
    other.write_bytes(data)
    return other


def test_corrupt_frames_are_dropped_and_counted_and_too_many_refuse_the_source(
    tmp_path: Path, write: Write
) -> None:
    draw = np.random.default_rng(1)
    noise = draw.integers(0, 256, size=(50, 64, 64, 3), dtype=np.uint8)
    path = write(tmp_path / "a.mkv", noise, codec="libx264", options={"g": "1", "crf": "20"})
    broken = damaged(path, {7, 21})
    with VideoReader(broken, ReadRule(max_corrupt_fraction=0.1)) as reader:
        times = [one.time_s for one in reader.frames()]
    assert reader.counts.decoded == 50
    assert reader.counts.corrupt == 2
    kept = [index for index in range(50) if index not in (7, 21)]
    assert times == pytest.approx(np.array(kept) / 10, abs=2e-3)
    error = refusal(broken, ReadRule(max_corrupt_fraction=0.03))
    assert error.reason == "corrupt"
    assert "2 of 50" in error.detail


def test_a_period_is_never_absurd(tmp_path: Path, write: Write, grays: Grays) -> None:
    """One frame an hour: the last is not shown for an hour."""
    path = write(tmp_path / "a.mp4", grays(3), pts=[0, 360_000, 720_000])
    with VideoReader(path) as reader:
        times = [one.time_s for one in reader.frames()]
        assert reader.period_s <= 10
    assert times[-1] <= 20
