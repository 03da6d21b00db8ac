"""Hard cuts and flashes, told by how the change between two frames compares with those around.

The measure is that of FFmpeg's scdet: the mean absolute difference of successive frames, and how
much it stands out. scdet compares with the one before; here it is the typical one around, before
and after, of frames that are not repeats: so neither a burst of motion nor a picture that is shown
several times is a cut. What a difference cannot tell, whether the camera moved and whether the
picture returns after a flash, is seen in small copies of the frames.
"""

from collections.abc import Sequence
from statistics import median

from videogen.ingest.shots.glances import (
    BLANK,
    Glance,
    likeness,
    percent,
    unmoved_change,
    unmoved_share,
)

REACH_S = 1.5
"""How far from a frame others are compared with it."""

_REPEAT = 0.15
_NEIGHBOURS = 4
_NEAREST = 3
_SMALL_SHARE = 0.25
_OUTLIER = 2.0
_SPIKE = 3.5
_JOLT = 4.5
_STEADY_JOLT = 2.4
_STEADY = 1.3
_BEYOND_MOTION = 1.15
_SPIKE_BEYOND_MOTION = 1.6
_HOLD_S = 0.2
"""A picture that stands for longer is still; for less, it is one of a slow animation."""
_MOVED = 0.5

_FLASH_S = 0.4
_MIN_FLASH_FRAMES = 2
_RETURN_SHARE = 0.5
_PACE = 1.5
_FADING = 0.8
_SAME_LIKENESS = 0.5
_WASHED_OUT = 6.0
_DARK, _BRIGHT = 40.0, 180.0
_SAME_EXPOSED = 0.8


def is_cut(seen: Sequence[Glance], at: int, threshold: float) -> bool:
    """Whether a shot begins with frame `at` > 0: its change stands out from those around it.

    A change of `threshold` percent above the typical one is a cut unless a shift explains it, and
    so is a smaller one, of a quarter of that, which is several times as great as any beside it:
    fewer times where motion is steady.
    """
    change = seen[at].change
    if change < _SMALL_SHARE * threshold:
        return False
    before, after = _changes(seen, at, -1), _changes(seen, at, 1)
    highest = max((*before[:_NEAREST], *after[:_NEAREST]), default=0.0)
    spike = change * _haste(seen, at) / highest if highest else _JOLT
    if spike >= (_STEADY_JOLT if _is_steady(before) and _is_steady(after) else _JOLT):
        return True
    typical = median(before + after) if before or after else 0.0
    is_outlier = change - typical >= threshold and change >= _OUTLIER * typical
    if spike >= _SPIKE or is_outlier:
        return unmoved_share(seen[at - 1], seen[at]) > _MOVED
    return change >= threshold and spike >= _BEYOND_MOTION and _is_beyond_motion(seen, at)


def _is_beyond_motion(seen: Sequence[Glance], at: int) -> bool:
    """Whether the change stands out from fast motion once shifts of the picture are undone."""
    near = [place for place in (at - 2, at - 1, at + 1, at + 2) if 0 < place < len(seen)]
    moving = [unmoved_change(seen[place - 1], seen[place]) for place in near]
    own = unmoved_change(seen[at - 1], seen[at])
    return own >= _SPIKE_BEYOND_MOTION * max(moving, default=0.0)


def _haste(seen: Sequence[Glance], at: int) -> float:
    """1, or less where frames are missing before this one: by what it is later than usual."""
    near = range(max(1, at - _NEIGHBOURS), min(len(seen), at + _NEIGHBOURS + 1))
    usual_s = median(seen[place].time_s - seen[place - 1].time_s for place in near)
    return min(1.0, usual_s / (seen[at].time_s - seen[at - 1].time_s))


def _is_steady(changes: Sequence[float]) -> bool:
    return len(changes) >= _NEAREST and max(changes) <= _STEADY * median(changes)


def flash_length(seen: Sequence[Glance], at: int, threshold: float) -> int:
    """How many frames from `at` > 0 on are a flash after which the picture returns; 0: none.

    Every frame of a flash is the picture before it, brighter or darker, or nothing but light or
    dark: a few frames of another scene are a shot of their own.
    """
    before = seen[at - 1]
    steps = _changes(seen, at, -1)
    pace = median(steps) if steps else 0.0
    found = 0
    nearest = _RETURN_SHARE * seen[at].change
    for end in range(at + 1, len(seen)):
        length, last = end - at, seen[end - 1]
        is_long = last.time_s - seen[at].time_s > _FLASH_S and length > _MIN_FLASH_FRAMES
        if is_long or not _is_exposure_of(before, last):
            break
        limit = max(_SMALL_SHARE * threshold, _PACE * pace * (length + 1))
        away = percent(before.colours, seen[end].colours)
        if found and away > _FADING * nearest:
            break
        if away <= min(limit, nearest) and _is_same(before, seen[end]):
            found, nearest = length, away
    return found


def _changes(seen: Sequence[Glance], at: int, step: int) -> list[float]:
    """The nearest changes before (-1) or after (1) that of `at`.

    Repeats of a frame have none, but a picture that stands still for long counts as one of 0.
    """
    found: list[float] = []
    place, held_s = at + step, seen[at].time_s
    while 0 < place < len(seen) and len(found) < _NEIGHBOURS:
        time_s = seen[place].time_s
        if abs(time_s - seen[at].time_s) > REACH_S:
            break
        if seen[place].change >= _REPEAT:
            found.append(seen[place].change)
            held_s = time_s
        elif abs(time_s - held_s) > _HOLD_S:
            found.append(0.0)
            held_s = time_s
        place += step
    return found


def _is_same(one: Glance, other: Glance) -> bool:
    """Whether both show the same scene, perhaps moved."""
    if max(one.contrast, other.contrast) < BLANK:
        return True
    return likeness(one, other) >= _SAME_LIKENESS or unmoved_share(one, other) <= _MOVED


def _is_exposure_of(picture: Glance, other: Glance) -> bool:
    """Whether `other` is that picture overexposed, underexposed, or nothing but light or dark."""
    if other.contrast < _WASHED_OUT:
        return not _DARK < other.brightness < _BRIGHT
    return likeness(picture, other) >= _SAME_EXPOSED
