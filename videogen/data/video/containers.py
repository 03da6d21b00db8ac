"""What the outermost structure of a file tells, without a demuxer."""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

_HEADER = struct.Struct(">I4s")
_LARGE = struct.Struct(">Q")
_LARGE_SIZE = 1
_TO_THE_END = 0
_FIRST = frozenset((b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"))
_NESTING = frozenset((b"moov", b"trak", b"mdia"))
_TIMED = frozenset((b"mvhd", b"mdhd"))
_TIMED_BYTES = 32
_TIMED_SHORT = struct.Struct(">12xII")
_TIMED_LONG = struct.Struct(">20xIQ")

_RIFF = struct.Struct("<4sI")
_EBML = b"\x1a\x45\xdf\xa3"
_SEGMENT = b"\x18\x53\x80\x67"
_GIF = (b"GIF87a", b"GIF89a")
_GIF_HEADER_BYTES = 13
_GIF_EXTENSION, _GIF_IMAGE = b"!", b","
_ENDLESS_RIFF = (0, 0xFFFFFFFF)
"""Sizes of streams that were written without seeking back."""

_WEBP_HEADER_BYTES = 30
_WEBP_ANIMATED = 0x02


def is_cut_short(path: Path) -> bool:
    """Whether the file ends before its outermost structure says.

    Knows MP4 and QuickTime boxes, RIFF (AVI, WebP), Matroska segments and GIF's end; of others it
    says no. Demuxers do not tell: they stop where the data stops, or find the file to be no video.
    """
    size_bytes = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(12)
        if start.startswith(b"RIFF"):
            return _riff_is_cut(file, size_bytes)
        if start.startswith(_EBML):
            return _matroska_is_cut(file, size_bytes)
        if start.startswith(_GIF):
            return _gif_is_cut(file)
        return _boxes_are_cut(file, size_bytes)


def claimed_duration_s(path: Path) -> float:
    """The longest duration in the headers of an MP4 or QuickTime file; 0 for other files.

    Demuxers correct it by what they find, so damage there does not show. All ones, which ISO
    14496-12 has for unknown, count as they stand: no file on disk is endless.
    """
    size_bytes = path.stat().st_size
    longest_s = 0.0
    with path.open("rb") as file:
        if not _first_is_box(file):
            return 0.0
        spans = [(0, size_bytes)]
        while spans:
            for kind, start, end in _boxes(file, *spans.pop()):
                if kind in _NESTING:
                    spans.append((start, end))
                elif kind in _TIMED:
                    file.seek(start)
                    longest_s = max(longest_s, _duration_s(file.read(_TIMED_BYTES)))
    return longest_s


def webp_canvas(path: Path) -> tuple[int, int] | None:
    """Width and height of an animated WebP; None where the file is something else.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        start = file.read(_WEBP_HEADER_BYTES)
    is_extended = start[:4] == b"RIFF" and start[8:16] == b"WEBPVP8X"
    if len(start) < _WEBP_HEADER_BYTES or not is_extended or not start[20] & _WEBP_ANIMATED:
        return None
    return 1 + int.from_bytes(start[24:27], "little"), 1 + int.from_bytes(start[27:30], "little")


def _first_is_box(file: BinaryIO) -> bool:
    file.seek(0)
    head = file.read(_HEADER.size)
    return len(head) == _HEADER.size and _HEADER.unpack(head)[1] in _FIRST


def _boxes(file: BinaryIO, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Kind, and start and end of the content, of the boxes between two places."""
    while start + _HEADER.size <= end:
        file.seek(start)
        length, kind = _HEADER.unpack(file.read(_HEADER.size))
        content = start + _HEADER.size
        if length == _LARGE_SIZE and content + _LARGE.size <= end:
            length = _LARGE.unpack(file.read(_LARGE.size))[0]
            content += _LARGE.size
        if length < content - start:
            return  # to the end, or damaged
        yield kind, content, min(start + length, end)
        start += length


def _duration_s(header: bytes) -> float:
    """Of the content of an mvhd or mdhd box: version, times, ticks a second, ticks."""
    if len(header) < _TIMED_BYTES:
        return 0.0
    rate, ticks = (_TIMED_LONG if header[0] == 1 else _TIMED_SHORT).unpack_from(header)
    return ticks / rate if rate else 0.0


def _boxes_are_cut(file: BinaryIO, size_bytes: int) -> bool:
    position = 0
    while position + _HEADER.size <= size_bytes:
        file.seek(position)
        length, kind = _HEADER.unpack(file.read(_HEADER.size))
        if not _is_box(kind) or (position == 0 and kind not in _FIRST):
            return False
        if length == _LARGE_SIZE:
            large = file.read(_LARGE.size)
            length = _LARGE.unpack(large)[0] if len(large) == _LARGE.size else size_bytes
        if length == _TO_THE_END or length < _HEADER.size:
            return False
        position += length
    return position > size_bytes


def _riff_is_cut(file: BinaryIO, size_bytes: int) -> bool:
    """Large AVI files are a chain of chunks named RIFF."""
    position = 0
    while position + _RIFF.size <= size_bytes:
        file.seek(position)
        kind, length = _RIFF.unpack(file.read(_RIFF.size))
        if kind != b"RIFF" or length in _ENDLESS_RIFF:
            return False
        position += _RIFF.size + length
    return position > size_bytes


def _matroska_is_cut(file: BinaryIO, size_bytes: int) -> bool:
    file.seek(len(_EBML))
    header = _ebml_size(file)
    if header is None:
        return False
    file.seek(header, 1)
    if file.read(len(_SEGMENT)) != _SEGMENT:
        return False
    segment = _ebml_size(file)
    return segment is not None and file.tell() + segment > size_bytes


def _gif_is_cut(file: BinaryIO) -> bool:
    """Whether the blocks (GIF89a, section 12 on) run out before one that ends the file."""
    file.seek(0)
    header = file.read(_GIF_HEADER_BYTES)
    if len(header) < _GIF_HEADER_BYTES:
        return True
    file.seek(_colours_bytes(header[10]), 1)
    while kind := file.read(1):
        if kind == _GIF_EXTENSION:
            file.seek(1, 1)
        elif kind == _GIF_IMAGE:
            place = file.read(9)
            file.seek(_colours_bytes(place[8]) + 1 if len(place) == 9 else 0, 1)  # noqa: PLR2004 - an image descriptor
        else:
            return False  # its end, or something unknown
        while length := file.read(1):
            if length == b"\0":
                break
            file.seek(length[0], 1)
    return True


def _colours_bytes(flags: int) -> int:
    """Of the colour table that these flags announce."""
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _ebml_size(file: BinaryIO) -> int | None:
    """A variable-length integer (RFC 8794, section 4); None where it means unknown."""
    first = file.read(1)
    if not first or not first[0]:
        return None
    length = 9 - first[0].bit_length()
    value = int.from_bytes(bytes([first[0] & ((1 << (8 - length)) - 1)]) + file.read(length - 1))
    return None if value == (1 << (7 * length)) - 1 else value


def _is_box(kind: bytes) -> bool:
    """Whether this can be a box's name; what follows the last box need not be one."""
    return all(32 <= letter < 127 for letter in kind)  # noqa: PLR2004 - printable ASCII
