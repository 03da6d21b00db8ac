"""The `.frames` member of a shard: the frames of one clip, each reachable on its own.

Little-endian, in this order: magic, u16 format version, u8 codec (0 raw, 1 JPEG), u8 endianness
("<"), u32 frames, u32 height, u32 width, u32 channels, u32 offset of each frame and of the end
(from the first frame on), then the frames: uint8 (h w c) RGB, or baseline JPEG 4:4:4.
"""

import struct
from dataclasses import dataclass
from typing import Literal

import numpy as np
import simplejpeg
from numpy.typing import NDArray

from videogen.errors import CorruptObjectError, DatasetError

Frame = NDArray[np.uint8]
Frames = NDArray[np.uint8]
Codec = Literal["raw", "jpeg"]

MAGIC = b"VGFRAMES"
FORMAT_VERSION = 1
MAX_FRAMES = 128
RAW_UP_TO_PIXELS = 64

_HEADER = struct.Struct("<8sHBcIIII")
_LITTLE_ENDIAN = b"<"
_CODECS: tuple[Codec, ...] = ("raw", "jpeg")
_CHANNELS = 3
_JPEG_QUALITY = 98
_MAX_OFFSET = 2**32 - 1


def choose_codec(asked: Literal["auto", "raw", "jpeg"], height: int, width: int) -> Codec:
    """`auto` is raw for frames of up to 64 pixels a side, and JPEG above."""
    if asked != "auto":
        return asked
    return "raw" if max(height, width) <= RAW_UP_TO_PIXELS else "jpeg"


class ClipEncoder:
    """Collects the frames of one clip in their encoded form."""

    def __init__(self, codec: Codec, height: int, width: int) -> None:
        self._codec: Codec = codec
        self._shape = (height, width, _CHANNELS)
        self._frames: list[bytes] = []

    def __len__(self) -> int:
        return len(self._frames)

    def add(self, frame: Frame) -> None:
        """Append a frame, uint8 (h w c) RGB of the encoder's size."""
        if frame.shape != self._shape:
            raise ValueError(f"a frame of {frame.shape} does not belong to clips of {self._shape}")
        if len(self._frames) == MAX_FRAMES:
            raise ValueError(f"a clip has at most {MAX_FRAMES} frames")
        self._frames.append(_encode(self._codec, frame))

    def repeat(self) -> None:
        """Append the last frame once more, without encoding it again."""
        if len(self._frames) == MAX_FRAMES:
            raise ValueError(f"a clip has at most {MAX_FRAMES} frames")
        self._frames.append(self._frames[-1])

    def drop(self, num: int) -> None:
        """Forget the first `num` frames."""
        del self._frames[:num]

    def finish(self) -> bytes:
        """The member's bytes; the encoder is empty again."""
        data = self.packed()
        self._frames = []
        return data

    def packed(self) -> bytes:
        """The member's bytes; the frames stay, for a clip that overlaps this one."""
        frames = self._frames
        offsets = [0]
        for frame in frames:
            offsets.append(offsets[-1] + len(frame))
        if offsets[-1] > _MAX_OFFSET:
            raise DatasetError(
                f"a clip of {len(frames)} frames takes {offsets[-1]} bytes, above {_MAX_OFFSET}: "
                "lower ingest.max_clip_frames, or set ingest.codec to jpeg"
            )
        header = _HEADER.pack(
            MAGIC,
            FORMAT_VERSION,
            _CODECS.index(self._codec),
            _LITTLE_ENDIAN,
            len(frames),
            *self._shape,
        )
        table = np.asarray(offsets, dtype="<u4").tobytes()
        return b"".join((header, table, *frames))


def encode_clip(frames: Frames, codec: Codec) -> bytes:
    """The member of frames, uint8 (t h w c)."""
    encoder = ClipEncoder(codec, *frames.shape[1:3])
    for frame in frames:
        encoder.add(frame)
    return encoder.finish()


@dataclass(frozen=True)
class ClipLayout:
    """What the head of a `.frames` member says, checked against its length."""

    codec: Codec
    num_frames: int
    height: int
    width: int
    channels: int
    first_byte: int
    """Of the first frame, from the member's start."""
    offsets: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of a frame, (h w c)."""
        return (self.height, self.width, self.channels)

    def wanted(self, start: int = 0, stride: int = 1, num: int | None = None) -> range:
        """Frames `start`, `start + stride`, …; `num` None takes all that are left.

        Raises `ValueError` for frames that are not there.
        """
        wanted = range(start, self.num_frames, stride)
        wanted = wanted if num is None else wanted[:num]
        if start < 0 or not wanted or (num is not None and len(wanted) < num):
            raise ValueError(
                f"frames {start} + {stride} k, {num} of them, of a clip of {self.num_frames}"
            )
        return wanted

    def span(self, wanted: range) -> tuple[int, int]:
        """The bytes [start, end) of the member that hold those frames, and those between."""
        return (
            self.first_byte + self.offsets[wanted[0]],
            self.first_byte + self.offsets[wanted[-1] + 1],
        )


def head_bytes(num_frames: int) -> int:
    """How much of a member `read_layout` needs."""
    return _HEADER.size + 4 * (num_frames + 1)


def read_layout(data: bytes | memoryview, length: int | None = None) -> ClipLayout:
    """Parse a member of `length` bytes, by default all of `data`, which may be its head alone.

    Raises `CorruptObjectError`, or `DatasetError` for a newer format.
    """
    length = len(data) if length is None else length
    if len(data) < _HEADER.size or bytes(data[: len(MAGIC)]) != MAGIC:
        raise CorruptObjectError("a clip does not begin as a .frames member: ingest again")
    _, version, codec, order, num, height, width, channels = _HEADER.unpack_from(data)
    if version > FORMAT_VERSION or order != _LITTLE_ENDIAN or codec >= len(_CODECS):
        raise DatasetError(
            f"a clip is of .frames format {version} (codec {codec}), this videogen reads up to "
            f"{FORMAT_VERSION}: update videogen"
        )
    first_byte = head_bytes(num)
    if first_byte > len(data):
        raise CorruptObjectError("a clip ends within its offset table: ingest again")
    table = np.frombuffer(data, dtype="<u4", count=num + 1, offset=_HEADER.size)
    offsets = tuple(table.tolist())
    if first_byte + offsets[-1] != length or (table[1:] < table[:-1]).any():
        raise CorruptObjectError("a clip's offset table does not match its length: ingest again")
    layout = ClipLayout(_CODECS[codec], num, height, width, channels, first_byte, offsets)
    if layout.codec == "raw" and offsets[-1] != num * height * width * channels:
        raise CorruptObjectError("a raw clip's length does not match its shape: ingest again")
    return layout


def read_frames(
    data: bytes | memoryview, start: int = 0, stride: int = 1, num: int | None = None
) -> Frames:
    """Frames `start`, `start + stride`, … of a member, uint8 (t h w c); only those are decoded.

    `num` None takes all that are left. Raises `ValueError` for frames that are not there, and as
    `read_layout` does.
    """
    layout = read_layout(data)
    wanted = layout.wanted(start, stride, num)
    frames = np.empty((len(wanted), *layout.shape), dtype=np.uint8)
    first, end = layout.span(wanted)
    decode_frames(layout, memoryview(data)[first:end], wanted, frames)
    return frames


def decode_frames(
    layout: ClipLayout, data: bytes | memoryview, wanted: range, into: Frames
) -> None:
    """Decode the frames of `layout.span(wanted)`, whose bytes are `data`, into uint8 (t h w c).

    Raises `CorruptObjectError` where a frame is not what the layout says.
    """
    if into.shape != (len(wanted), *layout.shape):
        raise CorruptObjectError(
            f"a clip's frames are {layout.shape}, where {into.shape[1:]} is asked for: ingest again"
        )
    if layout.codec == "raw":
        first, end = layout.span(wanted)
        if len(data) != end - first:
            raise CorruptObjectError(
                f"a clip ends after {len(data)} of {end - first} bytes: ingest again"
            )
        every = np.frombuffer(data, dtype=np.uint8).reshape(-1, *layout.shape)
        into[:] = every[:: wanted.step]
        return
    view, offsets = memoryview(data), layout.offsets
    origin = offsets[wanted[0]]
    for frame, index in zip(into, wanted, strict=True):
        _decode(view[offsets[index] - origin : offsets[index + 1] - origin], frame)


def _encode(codec: Codec, frame: Frame) -> bytes:
    pixels = np.ascontiguousarray(frame)
    if codec == "raw":
        return pixels.tobytes()
    return bytes(
        simplejpeg.encode_jpeg(
            pixels, quality=_JPEG_QUALITY, colorspace="RGB", colorsubsampling="444"
        )
    )


def _decode(data: memoryview, into: Frame) -> None:
    try:
        frame: Frame = simplejpeg.decode_jpeg(data, colorspace="RGB", buffer=into)
    except ValueError as error:
        raise CorruptObjectError(f"a frame is not a JPEG: {error}: ingest again") from error
    if frame.shape != into.shape:
        raise CorruptObjectError(f"a frame is {frame.shape}, not {into.shape}: ingest again")
