"""What the outermost boxes of an MP4 or QuickTime file tell, without a demuxer."""

import struct
from pathlib import Path

_HEADER = struct.Struct(">I4s")
_LARGE = struct.Struct(">Q")
_LARGE_SIZE = 1
_TO_THE_END = 0
_FIRST = frozenset((b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"))


def is_cut_short(path: Path) -> bool:
    """Whether this is an MP4 or QuickTime file with a box that reaches beyond the file's end.

    Demuxers do not tell: they stop where the data stops, or find the file to be no video.
    """
    size_bytes = path.stat().st_size
    position = 0
    with path.open("rb") as file:
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


def _is_box(kind: bytes) -> bool:
    """Whether this can be a box's name; what follows the last box need not be one."""
    return all(32 <= letter < 127 for letter in kind)  # noqa: PLR2004 - printable ASCII
