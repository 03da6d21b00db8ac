"""What plots are made of: axes with round ticks, lines as points, and the ladder of yardsticks.

Places are fractions of an axis, 0 at its low end; templates turn them into pictures.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from videogen.evaluation.report.wording import spelled

_STEPS: Final = (1.0, 2.0, 5.0, 10.0)
_WANTED_TICKS: Final = 5
_LOG_FROM_RATIO: Final = 20.0
"""An axis whose largest value is this many times its smallest is logarithmic."""
_MAX_DECADES: Final = 6.0
"""What is farther below the largest value than this is drawn at the low end."""
_ROOM: Final = 0.06
WIDTH: Final = 320.0
HEIGHT: Final = 150.0
"""Of the area of a chart between its axes, in the units of its SVG."""

Points = Sequence[tuple[float, float]]
Scale = Literal["linear", "log"]


@dataclass(frozen=True)
class Axis:
    """One direction of a plot."""

    label: str
    """With its unit."""
    scale: Scale
    low: float
    high: float
    ticks: tuple[tuple[float, str], ...]
    """Place and text."""

    def place(self, value: float) -> float:
        """Where a value lies, 0 to 1; what is outside lies at an end."""
        return _place(value, self.low, self.high, self.scale)


@dataclass(frozen=True)
class Line:
    """One line, or one row of points, of a chart."""

    name: str
    points: tuple[tuple[float, float], ...]
    """x and y in a box of `WIDTH` by `HEIGHT`, y downwards."""
    style: Literal["real", "fake", "fit", "points"]


@dataclass(frozen=True)
class Chart:
    """Lines over two labelled axes."""

    title: str
    x: Axis
    y: Axis
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class Rung:
    """One distance on the ladder; places are in percent."""

    name: str
    value: str
    at: float
    reach: tuple[float, float] | None
    """Start and width of its interval."""
    is_subject: bool
    """A generator, as opposed to a yardstick."""


@dataclass(frozen=True)
class Ladder:
    """Distances on one axis, the nearest first."""

    axis: Axis
    rungs: tuple[Rung, ...]


def axis_of(label: str, values: Iterable[float], scale: Scale | None = None) -> Axis | None:
    """The axis that shows all of these; None where there is nothing finite to show.

    Without a scale it is logarithmic where positive values are far apart, else linear from 0 (or
    from the lowest value below it).
    """
    shown = [value for value in values if math.isfinite(value)]
    positive = [value for value in shown if value > 0]
    if not shown or (scale == "log" and not positive):
        return None
    if scale is None:
        spread = max(shown) > _LOG_FROM_RATIO * min(shown)
        scale = "log" if len(positive) == len(shown) and spread else "linear"
    if scale == "log":
        return _log_axis(label, min(positive), max(positive))
    return _linear_axis(label, min(0.0, *shown), max(0.0, *shown))


def chart_of(
    title: str, x: Axis | None, y: Axis | None, lines: Mapping[str, tuple[str, Points]]
) -> Chart | None:
    """A chart of lines, each a style with points in the axes' units, by name.

    None where an axis has nothing to show.
    """
    if x is None or y is None:
        return None
    drawn = []
    for name, (style, points) in lines.items():
        places = tuple(
            (round(WIDTH * x.place(one), 2), round(HEIGHT * (1 - y.place(other)), 2))
            for one, other in points
            if math.isfinite(one) and math.isfinite(other)
        )
        drawn.append(Line(name, places, style))  # type: ignore[arg-type]  # a literal of ours
    return Chart(title, x, y, tuple(drawn))


def ladder_of(
    label: str,
    subjects: Mapping[str, tuple[float, tuple[float, float] | None]],
    yardsticks: Mapping[str, float],
) -> Ladder | None:
    """Generators (value and interval) and yardsticks on one axis; None without finite values."""
    reaches = [reach for _, reach in subjects.values() if reach is not None]
    values = [*(value for value, _ in subjects.values()), *yardsticks.values()]
    ends = [end for reach in reaches for end in reach if end > 0]
    axis = axis_of(label, [*values, *ends])
    if axis is None:
        return None
    named = [(value, name, reach, True) for name, (value, reach) in subjects.items()]
    named += [(value, name, None, False) for name, value in yardsticks.items()]
    finite = sorted((one for one in named if math.isfinite(one[0])), key=lambda one: one[:2])
    rungs = (
        Rung(
            name=name,
            value=spelled(value),
            at=_percent(axis, value),
            reach=_reach(axis, reach),
            is_subject=is_subject,
        )
        for value, name, reach, is_subject in finite
    )
    return Ladder(axis, tuple(rungs))


def _reach(axis: Axis, reach: tuple[float, float] | None) -> tuple[float, float] | None:
    if reach is None or not all(map(math.isfinite, reach)):
        return None
    start, end = (_percent(axis, one) for one in reach)
    return start, round(end - start, 2)


def _percent(axis: Axis, value: float) -> float:
    return round(100 * axis.place(value), 2)


def _place(value: float, low: float, high: float, scale: Scale) -> float:
    if scale == "log":
        value, low, high = (math.log10(max(one, low)) for one in (value, low, high))
    return min(1.0, max(0.0, (value - low) / (high - low)))


def _linear_axis(label: str, low: float, high: float) -> Axis:
    if high <= low:
        high = low + 1.0
    room = _ROOM * (high - low)
    low, high = low - (room if low < 0 else 0.0), high + room
    return _axis(label, "linear", (low, high), _round_values(low, high))


def _round_values(low: float, high: float) -> list[float]:
    rough = (high - low) / _WANTED_TICKS
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(unit * one for one in _STEPS if unit * one >= rough * (1 - _ROOM))
    first, last = math.ceil(low / step), math.floor(high / step)
    return [count * step for count in range(first, last + 1)]


def _log_axis(label: str, low: float, high: float) -> Axis:
    low = max(low, high / 10**_MAX_DECADES)
    if high <= low:
        high = 10 * low
    decades = math.log10(high / low)
    room = 10 ** (_ROOM * decades)
    low, high = low / room, high * room
    if decades < 1:
        return _axis(label, "log", (low, high), _round_values(low, high))
    marks = (1.0, 2.0, 5.0) if decades < 2 else (1.0, 3.0) if decades < 3 else (1.0,)  # noqa: PLR2004 - so that texts do not meet
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    at = [mark * 10.0**exponent for exponent in exponents for mark in marks]
    return _axis(label, "log", (low, high), [one for one in at if low <= one <= high])


def _axis(label: str, scale: Scale, ends: tuple[float, float], at: Sequence[float]) -> Axis:
    low, high = ends
    ticks = tuple((round(_place(one, low, high, scale), 4), f"{one:,.6g}") for one in at)
    return Axis(label, scale, low, high, ticks)
