"""Small real video files of many kinds, made by PyAV, for tests that then spoil them."""

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from videogen.data.video.synthetic import sample_clip

FPS = 8
FRAMES = 40


@dataclass(frozen=True)
class Kind:
    """A container with a codec in it."""

    name: str
    codec: str
    pixels: str = "yuv420p"
    container_options: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, str] = field(default_factory=dict)
    size: int = 48


QUIET = {"preset": "ultrafast", "x265-params": "log-level=none"}
H264 = {"preset": "ultrafast", "bf": "2", "g": "8"}
MP4 = Kind("end.mp4", "libx264", options=H264)
FASTSTART = Kind("start.mp4", "libx264", "yuv420p", {"movflags": "+faststart"}, H264)
# x265 corrupts the heap of its process now and then where pictures are smaller than 64 pixels.
KINDS = (
    MP4,
    FASTSTART,
    Kind("parts.mp4", "libx264", "yuv420p", {"movflags": "frag_keyframe+empty_moov"}, H264),
    Kind("a.mkv", "libx264", options=H264),
    Kind("a.ts", "libx264", options=H264),
    Kind("a.mov", "mjpeg", "yuvj422p"),
    Kind("prores.mov", "prores_ks", "yuv422p10le"),
    Kind("hevc.mp4", "libx265", "yuv420p", {}, QUIET, 64),
    Kind("a.webm", "libvpx", "yuv420p", {}, {"deadline": "realtime", "cpu-used": "8"}),
    Kind("vp9.webm", "libvpx-vp9", "yuv420p", {}, {"deadline": "realtime", "cpu-used": "8"}),
    Kind("a.avi", "mpeg4"),
    Kind("raw.avi", "rawvideo", "yuv420p"),
    Kind("a.mpg", "mpeg1video"),
    Kind("b.mpg", "mpeg2video"),
    Kind("a.flv", "flv"),
    Kind("a.wmv", "wmv2"),
    Kind("a.gif", "gif", "rgb8"),
    Kind("a.webp", "libwebp_anim", "bgra"),
    Kind("a.3gp", "mpeg4"),
    Kind("a.mxf", "mpeg2video"),
)  # fmt: skip


def write_footage(
    directory: Path,
    kind: Kind = FASTSTART,
    *,
    name: str | None = None,
    seed: int = 0,
    num_frames: int = FRAMES,
) -> Path:
    """A moving picture: frames at 8 a second, or as long at 25 where that rate is not to be had."""
    path = directory / (name or kind.name)
    rate = 25 if path.suffix in (".mpg", ".mxf") else FPS
    frames = sample_clip(seed, num_frames * rate // FPS, kind.size)
    with av.open(str(path), "w", options=dict(kind.container_options)) as container:
        stream = container.add_stream(kind.codec, rate=rate, options=dict(kind.options))
        assert isinstance(stream, av.VideoStream)
        stream.width = stream.height = kind.size
        stream.pix_fmt = kind.pixels
        stream.codec_context.thread_count = 1
        for number, picture in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, rate)
            container.mux(stream.encode(frame.reformat(format=kind.pixels)))
        container.mux(stream.encode(None))
    return path


def write_sound(path: Path) -> Path:
    """A second of silence, no picture."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 16000), np.float32), "fltp", "mono")
        frame.rate = 16000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def replaced(data: bytes, box: bytes, offset: int, value: bytes) -> bytes:
    """An MP4 file with bytes of its first box of a kind changed, counted from after its name."""
    start = data.index(box) + len(box) + offset
    return data[:start] + value + data[start + len(value) :]


def endless(data: bytes) -> bytes:
    """An MP4 file whose media header claims 48 days (ISO/IEC 14496-12, version 0 of `mdhd`)."""
    return replaced(data, b"mdhd", 12, struct.pack(">II", 1024, 0xFFFFFFFE))


def endless_matroska(data: bytes) -> bytes:
    """A Matroska file whose header claims 10,000 years (RFC 9559, Duration, a double)."""
    return replaced(data, b"\x44\x89\x88", 0, struct.pack(">d", 3.2e14))


def lying_movie_header(data: bytes) -> bytes:
    """An MP4 file whose movie header claims never to end, its tables 5 s (version 0 boxes)."""
    for box in (b"mvhd", b"mdhd"):
        data = replaced(data, box, 16, struct.pack(">I", 0xFFFFFFFE))
    return data


def huge_gif(width: int, height: int) -> bytes:
    """Two GIF frames of any size, some bytes long: each says it is blank and ends."""
    screen = b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + bytes(6)
    frame = struct.pack("<BHHHHB", 0x2C, 0, 0, width, height, 0) + b"\x02\x02\x44\x01\x00"
    return screen + frame * 20 + b";"


def huge_jpegs(data: bytes, width: int, height: int) -> bytes:
    """A file of JPEG frames, each of which claims another size than the container does."""
    start = data.find(b"\xff\xc0\x00")
    while start >= 0:
        data = data[: start + 5] + struct.pack(">HH", height, width) + data[start + 9 :]
        start = data.find(b"\xff\xc0\x00", start + 9)
    return data
