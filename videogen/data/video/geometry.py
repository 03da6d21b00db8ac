"""Where a frame is cut and how large it comes out: plain arithmetic on sizes.

Everything is in the orientation that the file stores; the turn upright is the last step.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate
from typing import Literal

Crop = Literal["centre", "smart", "letterbox", "none"]

_WILDEST_ASPECT = 8
"""Of a pixel. Anamorphic film has 2; a tag beyond 8 is damage."""


@dataclass(frozen=True)
class Box:
    """A part of a frame, in its pixels."""

    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True)
class Bars:
    """Black rows and columns at the edges of every frame of a file."""

    top: int = 0
    bottom: int = 0
    left: int = 0
    right: int = 0

    def __bool__(self) -> bool:
        return any((self.top, self.bottom, self.left, self.right))

    def __str__(self) -> str:
        sides = ("top", "bottom", "left", "right")
        return " ".join(f"{side} {getattr(self, side)}" for side in sides) if self else "none"


@dataclass(frozen=True)
class Look:
    """What a survey of a file's frames has found."""

    bars: Bars = Bars()
    motion_x: tuple[float, ...] = ()
    """How much moves, in bins from the left to the right of the stored frame; empty: unknown."""
    motion_y: tuple[float, ...] = ()
    """Likewise from the top down."""


@dataclass(frozen=True)
class Geometry:
    """`box` is cut out, scaled to `width` x `height`, and padded to `canvas` (width, height)."""

    box: Box
    width: int
    height: int
    canvas: tuple[int, int]

    @property
    def is_padded(self) -> bool:
        """Whether black is added around the picture."""
        return self.canvas != (self.width, self.height)


def believable_aspect(tag: Fraction | None) -> Fraction:
    """Width of a pixel by its height: the tag, or 1 where it is absent or absurd."""
    if tag is None or not Fraction(1, _WILDEST_ASPECT) <= tag <= _WILDEST_ASPECT:
        return Fraction(1)
    return tag


def plan(
    stored: tuple[int, int],
    pixel_aspect: Fraction,
    size: tuple[int, int] | None,
    crop: Crop,
    look: Look,
) -> Geometry:
    """How a frame of `stored` width and height becomes one of `size`, width and height.

    Without a size the whole picture is kept, with square pixels: the longer side of a pixel wins,
    so nothing is lost. A cut begins at even pixels, so that 4:2:0 chroma is cut where luma is.
    """
    bars = look.bars
    left, top = _even(bars.left + 1), _even(bars.top + 1)
    whole = Box(
        left,
        top,
        max(1, stored[0] - left - bars.right),
        max(1, stored[1] - top - bars.bottom),
    )
    if size is None:
        width = round(whole.width * max(Fraction(1), pixel_aspect))
        height = round(whole.height * max(Fraction(1), 1 / pixel_aspect))
        return Geometry(whole, width, height, (width, height))
    if crop == "letterbox":
        return Geometry(whole, *_fitted(whole, pixel_aspect, size), size)
    if crop != "none":
        motion = look if crop == "smart" else Look()
        whole = _cut(whole, pixel_aspect, size, motion, stored)
    return Geometry(whole, *size, size)


def _fitted(box: Box, pixel_aspect: Fraction, size: tuple[int, int]) -> tuple[int, int]:
    """The largest width and height of the box's shape within `size`."""
    shown = Fraction(box.width, box.height) * pixel_aspect
    if shown > Fraction(*size):
        return size[0], max(1, round(size[0] / shown))
    return max(1, round(size[1] * shown)), size[1]


def _cut(
    box: Box,
    pixel_aspect: Fraction,
    size: tuple[int, int],
    look: Look,
    stored: tuple[int, int],
) -> Box:
    """The largest part shown with the aspect ratio of `size`: where it moves, or centred."""
    wanted = Fraction(*size) / pixel_aspect
    if Fraction(box.width, box.height) > wanted:
        width = max(1, round(box.height * wanted))
        offset = _offset(look.motion_x, stored[0], (box.x, box.width), width)
        return Box(box.x + offset, box.y, width, box.height)
    height = max(1, round(box.width / wanted))
    offset = _offset(look.motion_y, stored[1], (box.y, box.height), height)
    return Box(box.x, box.y + offset, box.width, height)


def _offset(motion: Sequence[float], length: int, span: tuple[int, int], window: int) -> int:
    """Where in `span` (start, length) the window holds most motion; nearest to the centre if tied.

    `motion` are bins over all of `length`.
    """
    start, room = span[0], span[1] - window
    centre = room / 2
    if not motion or sum(motion) <= 0:
        return _even(centre)
    sums = [0.0, *accumulate(motion)]

    def before(place: float) -> float:
        """Motion left of a place in pixels; bins are even inside."""
        position = place / length * len(motion)
        whole = min(int(position), len(motion) - 1)
        return sums[whole] + (position - whole) * motion[whole]

    def gain(offset: int) -> tuple[float, float]:
        held = before(start + offset + window) - before(start + offset)
        return round(held / sums[-1], 3), -abs(offset - centre)

    return _even(max(range(0, room + 1, max(1, room // 256)), key=gain))


def _even(offset: float) -> int:
    return int(offset) // 2 * 2
