"""A look at a few frames before all are read: black bars, and where it moves.

Suspicion is cheap, proof is thorough: bars are on every frame, so the first one that shows
something tells that there are none in nearly every file that has none. Where it has some, key
frames that are spread over the file must agree, and frames of the beginning where there are few.
"""

from collections.abc import Iterable, Iterator
from itertools import chain, pairwise
from typing import cast

import av
import numpy as np
from numpy.typing import NDArray

from videogen.data.video.footage import Footage
from videogen.data.video.geometry import Bars, Look

_MAX_PLACES = 12
_FRAMES_PER_PLACE = 50
"""A place costs about as much as two frames, so the look takes a few percent of the read."""
_SURE = 12
"""Frames that prove bars."""
_SKIM_FRAMES = 240
_SKIM_EVERY = 8

_BLACK_MEAN = 8.0
_BLACK_MOST = 40
"""Of 255: what compression leaves of black, and its ringing beside a bright edge."""
_LEAST_SHARE = 0.02
_MOST_SHARE = 0.35
"""Of the frame's height or width, on one side."""
_UNEVEN_SHARE = 0.02
"""Bars of one picture are alike on both sides; a dark ceiling is none."""

_RUN = 5
_MOTION_BINS = 64
_MOTION_LEAST = 12
"""Levels; noise changes less."""
_MOTION_SURE = 3
_MOTION_SKIM = 60


def survey(footage: Footage, first: av.VideoFrame, *, bars: bool, motion: bool) -> Look:
    """Black bars (where asked for) and the motion along each axis (where asked for)."""
    found = _bars(footage, first) if bars else Bars()
    if not motion:
        return Look(bars=found)
    runs = [run for run in footage.glimpses(_places(footage), _RUN) if len(run) > 1]
    pairs = [(run[0], run[-1]) for run in runs]
    if len(pairs) < _MOTION_SURE:
        pairs += pairwise(footage.skim(_MOTION_SKIM, _RUN))
    along_x, along_y = _motion(pairs)
    return Look(found, along_x, along_y)


def _places(footage: Footage) -> int:
    frames = footage.duration_s * float(footage.rate)
    return int(np.clip(frames / _FRAMES_PER_PLACE, 3, _MAX_PLACES))


def _bars(footage: Footage, first: av.VideoFrame) -> Bars:
    """The bars that all frames have in common."""
    size = first.width, first.height
    common: Bars | None = None
    informative = 0
    for frame in chain([first], _witnesses(footage)):
        seen = _bars_of(frame) if (frame.width, frame.height) == size else None
        if seen is None:
            continue
        informative += 1
        common = _common(common, seen) if common else seen
        if informative == _SURE or not _may_have_bars(common, size):
            break
    return _likely(common, size) if common else Bars()


def _witnesses(footage: Footage) -> Iterator[av.VideoFrame]:
    """Frames from all over the file, then from its beginning."""
    for run in footage.glimpses(_places(footage), 1):
        yield from run
    yield from footage.skim(_SKIM_FRAMES, _SKIM_EVERY)


def _bars_of(frame: av.VideoFrame) -> Bars | None:
    """Of a frame; None where it shows nothing."""
    gray = cast("NDArray[np.uint8]", frame.reformat(format="gray").to_ndarray())
    rows, columns = _is_black(gray, axis=1), _is_black(gray, axis=0)
    if rows.all() or columns.all():
        return None
    return Bars(*_ends(rows), *_ends(columns))


def _is_black(gray: NDArray[np.uint8], axis: int) -> NDArray[np.bool_]:
    black: NDArray[np.bool_] = (gray.mean(axis=axis) <= _BLACK_MEAN) & (
        gray.max(axis=axis) <= _BLACK_MOST
    )
    return black


def _ends(black: NDArray[np.bool_]) -> tuple[int, int]:
    """How many are black from the start on, and from the end back."""
    shown = np.flatnonzero(~black)
    return int(shown[0]), int(len(black) - 1 - shown[-1])


def _common(one: Bars, other: Bars) -> Bars:
    return Bars(
        min(one.top, other.top),
        min(one.bottom, other.bottom),
        min(one.left, other.left),
        min(one.right, other.right),
    )


def _may_have_bars(bars: Bars, size: tuple[int, int]) -> bool:
    """Whether what all frames so far have in common is wide enough; more frames only take away."""
    across = min(bars.left, bars.right) >= _LEAST_SHARE * size[0]
    return across or min(bars.top, bars.bottom) >= _LEAST_SHARE * size[1]


def _likely(bars: Bars, size: tuple[int, int]) -> Bars:
    """The bars of those axes where they are wide enough, not too wide, and alike."""
    top, bottom = _alike(bars.top, bars.bottom, size[1])
    left, right = _alike(bars.left, bars.right, size[0])
    return Bars(top, bottom, left, right)


def _alike(first: int, last: int, length: int) -> tuple[int, int]:
    is_even = abs(first - last) <= max(2, _UNEVEN_SHARE * length)
    if is_even and _LEAST_SHARE * length <= min(first, last) <= _MOST_SHARE * length:
        return first, last
    return 0, 0


def _motion(
    pairs: Iterable[tuple[av.VideoFrame, av.VideoFrame]],
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """How much changes between the frames of a pair, in bins along x and along y."""
    total = np.zeros((_MOTION_BINS, _MOTION_BINS))
    for first, last in pairs:
        change = np.abs(_thumbnail(last) - _thumbnail(first))
        total += np.where(change >= _MOTION_LEAST, change, 0)
    return tuple(total.sum(axis=0).tolist()), tuple(total.sum(axis=1).tolist())


def _thumbnail(frame: av.VideoFrame) -> NDArray[np.int16]:
    small = frame.reformat(
        width=_MOTION_BINS, height=_MOTION_BINS, format="gray", interpolation="AREA"
    )
    return small.to_ndarray().astype(np.int16)
