"""Frames at irregular presentation times become frames at a constant rate."""

from collections.abc import Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")

MAX_GAP_S = 10.0
"""A longer jump between frames is a broken clock and not a held picture."""
_DISORDER_PERIODS = 1.5
"""A longer jump back is a clock that starts again, as where transport streams were joined."""
_ROUNDING_S = 1e-6


def steady_times(
    frames: Iterable[tuple[float | None, Item]], period_s: float
) -> Iterator[tuple[float, Item]]:
    """The frames with times that start at 0 and strictly grow.

    A frame without a time follows the one before by `period_s`; so does one behind a jump of more
    than `MAX_GAP_S`, or back by more than disorder explains, and the clock goes on from there. A
    frame that is otherwise not later than the one before is left out.
    """
    longest_gap_s = max(MAX_GAP_S, period_s)
    longest_back_s = _DISORDER_PERIODS * period_s
    origin_s: float | None = None
    last_s = -period_s
    for stamp_s, item in frames:
        if stamp_s is None:
            time_s = last_s + period_s
        else:
            origin_s = stamp_s - (last_s + period_s) if origin_s is None else origin_s
            time_s = stamp_s - origin_s
        if stamp_s is not None and not -longest_back_s <= time_s - last_s <= longest_gap_s:
            time_s = last_s + period_s
            origin_s = stamp_s - time_s
        if time_s <= last_s:
            continue
        last_s = time_s
        yield time_s, item


def nearest_in_time(
    frames: Iterable[tuple[float, Item]], fps: float, period_s: float
) -> Iterator[tuple[float, Item]]:
    """For each time k / `fps` the frame nearest to it, the earlier one on a tie.

    The last frame is shown for `period_s`; nothing is drawn from beyond half of that.
    """
    tick = 0
    held: tuple[float, Item] | None = None
    for time_s, item in frames:
        if held is not None:
            while tick / fps <= (held[0] + time_s) / 2 + _ROUNDING_S:
                yield tick / fps, held[1]
                tick += 1
        held = (time_s, item)
    while held is not None and tick / fps <= held[0] + period_s / 2 + _ROUNDING_S:
        yield tick / fps, held[1]
        tick += 1
