"""How frames and clips look, in the few numbers that filters and statistics need.

The numbers are part of what a snapshot's digest is taken over, so they must not depend on the
order in which a processor adds.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from videogen.data.shards.frame_codec import Frame
from videogen.ingest.clips.perceptual_hash import THUMBNAIL_SIZE, Thumbnails, clip_hash, thumbnail

Pixels = NDArray[np.uint8]

_LOOKED_AT = 128
"""Pixels a side: larger frames are looked at as averages of their pixels."""
_REPEAT_MEAN = 0.25
_REPEAT_MAX = 12
"""A frame repeats another whose colours it keeps to these levels: encoders keep none exactly."""
_STILL_RANGE = 12
_MOVING_RANGE = 16
_OVERLAY_EDGE = 16


@dataclass(frozen=True)
class FrameLook:
    """One frame, and its change from the one before (0 where there is none)."""

    colours: Pixels
    """(h w c) RGB of at most 128 pixels a side."""
    luma: Pixels
    """(h w), 0 to 255."""
    brightness: float
    contrast: float
    colour_contrast: float
    """Standard deviation of R, G or B, over 16 x 16 areas, whichever is greatest."""
    thumbnail: Thumbnails
    motion: float = 0.0
    repeats: bool = False


@dataclass(frozen=True)
class ClipLook:
    """A clip in numbers; brightness, contrast and motion are in levels of 0 to 255."""

    brightness: float
    """Mean luma."""
    contrast: float
    """Standard deviation of luma within a frame, averaged over the clip."""
    max_contrast: float
    """Standard deviation within a frame of luma, or of a colour over areas, where it is greatest:
    a picture may have colours of one luma."""
    motion: float
    """Mean absolute change of luma from frame to frame."""
    frozen_fraction: float
    """Share of the frames after the first that repeat the one before."""
    overlay_fraction: float
    """Share of the picture that has edges which stand still while most of the picture moves."""
    perceptual_hash: int


def look_at(frame: Frame) -> FrameLook:
    """A frame, uint8 (h w c) RGB, by itself; luma is BT.601's, of full range."""
    image = Image.fromarray(frame)
    factor = -(-max(image.size) // _LOOKED_AT)
    if factor > 1:
        image = image.reduce(factor)
    small = image.resize((THUMBNAIL_SIZE, THUMBNAIL_SIZE), Image.Resampling.BOX)
    colours = frame if factor == 1 else np.asarray(image)
    luma, areas = np.asarray(image.convert("L")), np.asarray(small)
    levels = luma.astype(np.float64).ravel()  # sums of whole numbers are exact on any processor
    brightness = float(levels.sum()) / levels.size
    variance = float(levels @ levels) / levels.size - brightness**2
    return FrameLook(
        colours=colours,
        luma=luma,
        brightness=brightness,
        contrast=math.sqrt(max(0.0, variance)),
        colour_contrast=_greatest_deviation(areas),
        thumbnail=thumbnail(areas),
    )


def after(look: FrameLook, before: FrameLook) -> FrameLook:
    """The same look, knowing the frame before it."""
    motion = float(np.abs(np.subtract(look.luma, before.luma, dtype=np.int16)).mean())
    if motion >= _REPEAT_MEAN:
        return replace(look, motion=motion)
    change = np.abs(np.subtract(look.colours, before.colours, dtype=np.int16))
    repeats = float(change.mean()) < _REPEAT_MEAN and int(change.max()) < _REPEAT_MAX
    return replace(look, motion=motion, repeats=repeats)


def again(look: FrameLook) -> FrameLook:
    """The look of the same frame shown once more."""
    return replace(look, motion=0.0, repeats=True)


def clip_look(looks: Sequence[FrameLook]) -> ClipLook:
    """A clip from at least one frame; how the first frame follows another is left out."""
    steps = max(1, len(looks) - 1)
    contrasts = [look.contrast for look in looks]
    return ClipLook(
        brightness=sum(look.brightness for look in looks) / len(looks),
        contrast=sum(contrasts) / len(looks),
        max_contrast=max(max(look.contrast, look.colour_contrast) for look in looks),
        motion=sum(look.motion for look in looks[1:]) / steps,
        frozen_fraction=sum(look.repeats for look in looks[1:]) / steps,
        overlay_fraction=_overlay_fraction([look.luma for look in looks if not look.repeats]),
        perceptual_hash=clip_hash(np.stack([look.thumbnail for look in looks])),
    )


def _greatest_deviation(areas: Pixels) -> float:
    """Standard deviation of the colour that deviates most, of (h w c)."""
    levels = areas.reshape(-1, areas.shape[-1]).astype(np.float32)
    mean = levels.sum(axis=0) / len(levels)
    squares = np.einsum("ij,ij->j", levels, levels) / len(levels)
    return float(np.sqrt(max(0.0, float((squares - mean * mean).max()))))


def _overlay_fraction(frames: Sequence[Pixels]) -> float:
    """Share of pixels with an edge that stands still; 0 where half of the picture is still anyway.

    With a camera that stands still, nothing tells a logo from the scene. Plain areas that stand
    still, such as a clear sky, are no overlay: only pixels beside an edge count.
    """
    if len(frames) < 2:  # noqa: PLR2004 - nothing moves in one frame
        return 0.0
    lowest, highest, total = frames[0], frames[0], np.zeros(frames[0].shape, dtype=np.float32)
    for luma in frames:
        lowest, highest = np.minimum(lowest, luma), np.maximum(highest, luma)
        total += luma
    span = highest - lowest
    if np.median(span) < _MOVING_RANGE:
        return 0.0
    mean = total / len(frames)
    edges = np.zeros(mean.shape, dtype=bool)
    for axis in (0, 1):
        steep = np.abs(np.diff(mean, axis=axis)) > _OVERLAY_EDGE
        front, back = [(0, 0), (0, 0)], [(0, 0), (0, 0)]
        front[axis], back[axis] = (1, 0), (0, 1)
        edges |= np.pad(steep, front) | np.pad(steep, back)
    return float(np.mean(edges & (span <= _STILL_RANGE)))
