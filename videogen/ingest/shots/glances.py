"""What shot detection keeps of a frame: small pictures, and the numbers that compare them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import product
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from videogen.data.shards.frame_codec import Frame

Plane = NDArray[np.float32]
Colours = NDArray[np.float32]

SIZE = 16
"""Height and width of the colours that are compared."""
_LUMA_SIZE = 32
_LOOKED_AT = 128
_LARGEST_SHIFT = 8
_LUMA = np.array([0.299, 0.587, 0.114])
"""Of R, G and B, as in BT.601."""
BLANK = 4.0
"""Standard deviation of luma, in levels, below which a picture has no structure to compare."""


class Timed(Protocol):
    """A frame with its time, as `reader.TimedFrame` is."""

    @property
    def time_s(self) -> float:
        """Since the first frame; strictly grows."""

    @property
    def picture(self) -> Frame:
        """uint8 (h w c) RGB."""

    @property
    def change(self) -> float:
        """Mean absolute difference from the frame before, in percent of the range."""


@dataclass(frozen=True, slots=True)
class Glance:
    """One frame."""

    time_s: float
    change: float
    """From the frame before in percent of the range: of the whole picture or of its colours."""
    colours: Colours
    """(16 16 3) flat, RGB from 0 to 255."""
    luma: Plane
    """(32 32), 0 to 255."""
    brightness: float
    contrast: float
    """Standard deviation of luma."""
    detail: float
    """Mean squared difference of neighbouring pixels of luma."""


def glance(frame: Timed, before: Glance | None) -> Glance:
    """A frame in small; `before` is None for the first."""
    picture = _of_bounded_size(frame.picture)
    height, width, channels = picture.shape
    rows: Plane = np.matmul(
        _averages(_LUMA_SIZE, height), picture.reshape(height, -1).astype(np.float32)
    )
    small: Plane = np.matmul(rows, _across(width, channels))
    luma = np.ascontiguousarray(small[:, :_LUMA_SIZE])
    colours = small[:, _LUMA_SIZE:].reshape(SIZE, _LUMA_SIZE // SIZE, -1).mean(axis=1).ravel()
    flat = luma.ravel()
    brightness = float(flat.sum()) / flat.size
    variance = float(flat @ flat) / flat.size - brightness**2
    across, down = (luma[:, 1:] - luma[:, :-1]).ravel(), flat[_LUMA_SIZE:] - flat[:-_LUMA_SIZE]
    return Glance(
        time_s=frame.time_s,
        # FFmpeg looks at the whole frame, but not across a change of its size
        change=0.0 if before is None else max(frame.change, percent(colours, before.colours)),
        colours=colours,
        luma=luma,
        brightness=brightness,
        contrast=math.sqrt(max(0.0, variance)),
        detail=float(across @ across + down @ down) / across.size,
    )


def _of_bounded_size(picture: Frame) -> Frame:
    """Frames of more than 128 pixels a side as averages of their pixels: less to multiply."""
    factor = -(-max(picture.shape[:2]) // _LOOKED_AT)
    return np.asarray(Image.fromarray(picture).reduce(factor)) if factor > 1 else picture


@lru_cache(maxsize=16)
def _averages(num: int, size: int) -> Plane:
    """(num size) weights: `num` equal parts of a line of `size` pixels, each as its mean."""
    edges = np.linspace(0, size, num + 1)
    pixels = np.arange(size)
    ends = np.minimum(edges[1:, None], pixels + 1)
    covered = np.clip(ends - np.maximum(edges[:-1, None], pixels), 0, None)
    weights: Plane = (covered * (num / size)).astype(np.float32)
    return weights


@lru_cache(maxsize=16)
def _across(width: int, channels: int) -> Plane:
    """(width*channels, 32 + 16*channels) weights: a row of pixels to luma, and to its colours."""
    luma = np.einsum("nw,c->wcn", _averages(_LUMA_SIZE, width), _LUMA)
    colours = np.einsum("nw,cd->wcnd", _averages(SIZE, width), np.eye(channels))
    rows = width * channels
    both = np.concatenate([luma.reshape(rows, -1), colours.reshape(rows, -1)], axis=1)
    return np.ascontiguousarray(both, dtype=np.float32)


def percent(one: Colours, other: Colours) -> float:
    """Mean absolute difference of colours, in percent of the range."""
    return float(np.abs(one - other).sum()) / (2.55 * one.size)


def likeness(one: Glance, other: Glance) -> float:
    """Correlation of two pictures' luma, -1 to 1: exposure leaves it at 1. 0 where one is blank."""
    if min(one.contrast, other.contrast) < BLANK:
        return 0.0
    product = float(np.mean((one.luma - one.brightness) * (other.luma - other.brightness)))
    return product / (one.contrast * other.contrast)


def unmoved_change(one: Glance, other: Glance) -> float:
    """What is left of the change of luma, in percent, once the best shift of it is undone.

    Shifts of up to a quarter of the frame each way are tried, every second pixel of 32, then those
    beside the best one.
    """
    coarse = range(-_LARGEST_SHIFT, _LARGEST_SHIFT + 1, 2)
    best = min(product(coarse, coarse), key=partial(_shifted_error, one.luma, other.luma))
    down, right = (range(place - 1, place + 2) for place in best)
    return min(_shifted_error(one.luma, other.luma, near) for near in product(down, right)) / 2.55


def unmoved_share(one: Glance, other: Glance) -> float:
    """The share of the change that a shift leaves: near 0 the camera moved; near 1 it did not."""
    unshifted = _shifted_error(one.luma, other.luma, (0, 0)) / 2.55
    return unmoved_change(one, other) / unshifted if unshifted else 1.0


def _shifted_error(one: Plane, other: Plane, shift: tuple[int, int]) -> float:
    """Mean absolute difference where `one` and `other`, moved back by `shift`, overlap."""
    (down, right), size = shift, _LUMA_SIZE
    ours = one[max(0, -down) : size - max(0, down), max(0, -right) : size - max(0, right)]
    theirs = other[max(0, down) : size + min(0, down), max(0, right) : size + min(0, right)]
    return float(np.abs(ours - theirs).mean())


def stacked(glances: Sequence[Glance]) -> Colours:
    """Colours of several frames, (n, 768)."""
    return np.stack([one.colours for one in glances])
