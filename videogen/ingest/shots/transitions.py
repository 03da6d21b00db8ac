"""Dissolves, seen in the glances of successive frames; a fade is one from or to a plain picture.

A dissolve follows a straight line between two pictures and is fainter on the way; motion leaves
the line, and all details are there all the time.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from videogen.ingest.shots.glances import SIZE, Colours, Glance, likeness, percent, stacked

MIN_FRAMES = 4
"""Of a window in which a dissolve can be told from motion."""

_MIN_DIFFERENCE = 4.0
_MAX_LIKENESS = 0.7
_MAX_OFF_LINE = 0.2
_MAX_OFF_LINE_PLAIN = 0.02
_PLAIN = 4.0
_PARTS = (SIZE // 2, 2, SIZE // 2, 2, 3)
_PARTED = (-1, (SIZE // 2) ** 2, 2 * 2 * 3)
_MAX_SPREAD = 0.42
_MAX_DETAIL = 0.85
_MIN_LOST = 0.5
_MIN_MIXED = 2
"""One mixed frame may be a cut that an encoder or a deinterlacer blurred."""
_STEP_BACK = 0.08
_MAX_STEP = 0.5
"""Of a dissolve of three frames or more; a greater one is a cut."""
_PURE = 0.1
_CORE = 0.25


def dissolved(window: Sequence[Glance]) -> range:
    """Which of the window's frames mix its first and its last picture; empty where none do."""
    none = range(0)
    first, last = window[0], window[-1]
    if (
        len(window) < MIN_FRAMES
        or not _may_be_mixed([one.detail for one in window])
        or percent(first.colours, last.colours) < _MIN_DIFFERENCE
        or likeness(first, last) > _MAX_LIKENESS
    ):
        return none
    pictures = stacked(window)
    pictures -= pictures[0]
    line = pictures[-1]
    length = float(line @ line)
    share = pictures @ line / length
    mixed = np.flatnonzero((share > _PURE) & (share < 1 - _PURE))
    steps = np.diff(share)
    if (
        len(mixed) < _MIN_MIXED
        or steps.min() < -_STEP_BACK
        or steps.max() > _MAX_STEP
        or _turns_by_parts(pictures[mixed], line)
    ):
        return none
    off = pictures - share[:, None] * line
    off_line = float(np.einsum("ij,ij->i", off, off).mean()) / length
    if not _are_mixed([window[at] for at in (0, *mixed, -1)], share[[0, *mixed, -1]], off_line):
        return none
    return _extent(share, mixed)


def _may_be_mixed(details: Sequence[float]) -> bool:
    """Whether any is faint enough, or there are none: a first look, for most frames the last."""
    ends = (details[0] + details[-1]) / 2
    return min(details) <= _MAX_DETAIL * ends or ends < _PLAIN


def _turns_by_parts(pictures: Colours, line: Colours) -> bool:
    """Whether parts of the picture turn one after another, as where a thing moves on.

    A dissolve has the same share of the last picture everywhere. Parts that turn at once, each in
    its time, deviate from the common share s by s (1 - s) in the mean of squares; parts are 2x2.
    """
    parts = pictures.reshape(-1, *_PARTS).transpose(0, 1, 3, 2, 4, 5).reshape(*_PARTED)
    ends = line.reshape(_PARTS).transpose(0, 2, 1, 3, 4).reshape(_PARTED[1:])
    weights = np.einsum("pc,pc->p", ends, ends)
    shares = np.einsum("npc,pc->np", parts, ends) / np.maximum(weights, 1e-6)
    weights /= weights.sum()
    common = shares @ weights
    spread = (shares - common[:, None]) ** 2 @ weights
    return bool(spread.sum() > _MAX_SPREAD * (common * (1 - common)).sum())


def _extent(share: NDArray[np.float32], mixed: NDArray[np.int64]) -> range:
    """The mixed frames, without those that motion before or after it makes seem mixed.

    A dissolve takes as long for its middle half as for the two ends together.
    """
    core = np.flatnonzero((share > _CORE) & (share < 1 - _CORE))
    if not len(core):
        return range(int(mixed[0]), int(mixed[-1]) + 1)
    margin = (int(core[-1]) - int(core[0])) // 2 + 1
    start = max(int(mixed[0]), int(core[0]) - margin)
    return range(start, min(int(mixed[-1]), int(core[-1]) + margin) + 1)


def _are_mixed(pictures: Sequence[Glance], share: NDArray[np.float32], off_line: float) -> bool:
    """Whether those between the first and the last are sums of these two.

    Details of two pictures do not coincide, so they are fainter in a sum of them: of their energy,
    shares s and 1 - s leave s^2 and (1 - s)^2. Motion leaves all of it. Where there are no details,
    a straight line is the sign.
    """
    details = np.array([one.detail for one in pictures])
    unmixed = (1 - share) * details[0] + share * details[-1]
    if unmixed.mean() < _PLAIN:
        return off_line <= _MAX_OFF_LINE_PLAIN
    mixed = (1 - share) ** 2 * details[0] + share**2 * details[-1]
    lost, expected = (unmixed - details).sum(), (unmixed - mixed).sum()
    return off_line <= _MAX_OFF_LINE and bool(lost >= _MIN_LOST * expected)
