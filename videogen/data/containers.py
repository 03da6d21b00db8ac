"""What the outermost boxes of an MP4 or QuickTime file tell, without a demuxer."""

import struct
from pathlib import Path

_HEADER = struct.Struct(">I4s")
_LARGE = struct.Struct(">Q")
_LARGE_SIZE = 1
_TO_THE_END = 0


def is_cut_short(path: Path) -> bool:
    """Whether this is an MP4 whose last box reaches beyond the end of the file."""
    size_bytes = path.stat().st_size
    with path.open("rb") as file:
        position = 0
        first = True
        while position + _HEADER.size <= size_bytes:
            file.seek(position)
            length, kind = _HEADER.unpack(file.read(_HEADER.size))
            if first and kind != b"ftyp":
                return False
            first = False
            if length == _LARGE_SIZE:
                tail = file.read(_LARGE.size)
                length = _LARGE.unpack(tail)[0] if len(tail) == _LARGE.size else size_bytes + 1
            elif length == _TO_THE_END:
                return False
            if length < _HEADER.size:
                return False
            position += length
    return position != size_bytes and not first
