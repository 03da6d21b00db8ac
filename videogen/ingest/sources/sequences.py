"""Numbered images of one folder, as the sequences that they are: `shot_0001.png`, `shot_0002.png`.

Images count by the number before their extension; what precedes it names the sequence, so a folder
may hold several. Zeros in front do not matter. One image alone is no sequence.
"""

import re
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

IMAGE_EXTENSIONS = frozenset(
    f".{name}"
    for name in (
        *("png", "jpg", "jpeg", "webp", "bmp", "tif", "tiff", "exr", "dpx", "tga"),
        *("ppm", "pgm", "jp2", "j2k"),
    )
)
ANIMATED_EXTENSION = ".webp"
"""May be an animation: a source by itself where it is one, or is not numbered."""
HEADER_BYTES = 21
"""What `is_animated_webp` has to see."""

_NUMBERED = re.compile(r"(?P<prefix>.*?)(?P<number>[0-9]+)(?P<suffix>\.[^.]+)", re.DOTALL)
_SMALLEST = 2
_SHOWN_GAPS = 5
_ANIMATION = 0x02


@dataclass(frozen=True)
class Numbered:
    """Images that belong together, in the order of their numbers."""

    prefix: str
    members: tuple[str, ...]


def sequences(names: Iterable[str]) -> tuple[Numbered, ...]:
    """The sequences among the names of images, ordered by name; what is left over is none."""
    groups: dict[tuple[str, str], list[str]] = {}
    for name in names:
        match = _NUMBERED.fullmatch(name)
        if match:
            groups.setdefault((match["prefix"], match["suffix"].lower()), []).append(name)
    return tuple(
        Numbered(prefix, tuple(sorted(members, key=lambda name: (_number(name), name))))
        for (prefix, _), members in sorted(groups.items())
        if len(members) >= _SMALLEST
    )


def split(
    names: Sequence[str], videos: Collection[str], is_animated: Callable[[str], bool]
) -> tuple[tuple[Numbered, ...], tuple[str, ...]]:
    """The sequences among a folder's images, and those that are an animation each.

    Of numbered WebP files the first is looked at, and tells for all; others count as animations.
    Beside `videos`, whose names without extension are given, images are thumbnails: there only
    WebP files that have no video's name are looked at.
    """
    if videos:
        others = (name for name in names if PurePosixPath(name).stem not in videos)
        return (), tuple(name for name in others if _may_move(name) and is_animated(name))
    still = tuple(
        one
        for one in sequences(names)
        if not _may_move(one.members[0]) or not is_animated(one.members[0])
    )
    taken = {name for one in still for name in one.members}
    return still, tuple(name for name in names if _may_move(name) and name not in taken)


def _may_move(name: str) -> bool:
    return extension(name) == ANIMATED_EXTENSION


def gaps(members: tuple[str, ...]) -> str | None:
    """What keeps ordered images from being a whole sequence, in words; None: nothing."""
    numbers = [_number(name) for name in members]
    missing = []
    for before, after, name in zip(numbers, numbers[1:], members[1:], strict=False):
        if after == before:
            return f"number {after} is there twice, also as {name}"
        if after > before + 1:
            missing.append((before + 1, after - 1))
    if not missing:
        return None
    total = sum(last - first + 1 for first, last in missing)
    told = ", ".join(
        str(first) if first == last else f"{first} to {last}"
        for first, last in missing[:_SHOWN_GAPS]
    )
    more = ", …" if len(missing) > _SHOWN_GAPS else ""
    return f"{total} of the frames {numbers[0]} to {numbers[-1]} are not there: {told}{more}"


def is_animated_webp(header: bytes) -> bool:
    """Whether the first bytes are those of an animation (the flag in the VP8X chunk)."""
    is_extended = header[:4] == b"RIFF" and header[8:16] == b"WEBPVP8X"
    return is_extended and len(header) >= HEADER_BYTES and bool(header[20] & _ANIMATION)


def extension(name: str) -> str:
    """Lower-case, with its dot; empty for none."""
    return PurePosixPath(name).suffix.lower()


def _number(name: str) -> int:
    match = _NUMBERED.fullmatch(name)
    return int(match["number"]) if match else -1
