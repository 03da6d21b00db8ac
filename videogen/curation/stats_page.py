"""A snapshot's numbers and pictures as one HTML file that needs nothing else."""

import os
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from videogen.curation.stats import DatasetStats, Histogram
from videogen.curation.stills import Sheet
from videogen.errors import VideogenError

_WIDTH, _HEIGHT, _GAP = 360.0, 120.0, 1.5
_TICKS = 4
_SHOWN_ROWS = 10
_KILO = 1000.0
_MINUTE_S = 60
_HOUR_MIN = 60


class PageError(VideogenError):
    """A page could not be written."""


@dataclass(frozen=True)
class Bar:
    """One bin, in the chart's units."""

    x: float
    y: float
    width: float
    height: float
    title: str


@dataclass(frozen=True)
class Chart:
    """A histogram, ready to be drawn in a box of 360 by 120."""

    title: str
    unit: str
    bars: tuple[Bar, ...]
    ticks: tuple[tuple[float, str], ...]
    median: float
    median_x: float


@dataclass(frozen=True)
class Row:
    """One line of a table with a bar: `share` is of the longest bar, in percent."""

    name: str
    count: int
    share: float


def render(stats: DatasetStats, sheets: Sequence[Sheet]) -> str:
    """The page."""
    environment = Environment(
        loader=PackageLoader("videogen.curation"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"size": spelled_bytes, "time": spelled_time, "number": "{:,}".format}
    charts = (
        chart_of("clip length", "s", stats.clip_seconds),
        chart_of("motion", "levels a frame", stats.motion),
        chart_of("brightness", "mean luma", stats.brightness),
        chart_of("contrast", "deviation of luma", stats.contrast),
    )
    tables = {
        "label": ("clips", stats.labels),
        "source resolution": ("sources", stats.source_resolutions),
        "source codec": ("sources", stats.source_codecs),
        "source rate, frames/s": ("sources", stats.source_rates),
        "source kind": ("sources", stats.containers),
        "colour, as decided": ("sources", stats.colours),
        "licence": ("sources", stats.licences),
        "consent": ("sources", stats.consents),
        "owner": ("sources", stats.owners),
    }
    return environment.get_template("stats.html.j2").render(
        stats=stats,
        charts=charts,
        tables={
            name: (unit, rows_of_counts(counts))
            for name, (unit, counts) in tables.items()
            if set(counts) - {"(none)"}
        },
        left_out={
            "quarantined sources": rows_of_counts(stats.quarantined),
            "filtered clips": rows_of_counts(stats.filtered),
        },
        sheets=sheets,
    )


def write_page(path: Path, page: str) -> None:
    """Write the file, whole or not at all, in place of an earlier one. Raises `PageError`."""
    staged = path.with_name(f".{uuid.uuid4().hex}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        staged.write_text(page, encoding="utf-8", errors="backslashreplace")
        os.replace(staged, path)  # noqa: PTH105 - in one step
    except OSError as error:
        raise PageError(
            f"cannot write {path}: {error.strerror or error}: make room, or give another --out"
        ) from error
    finally:
        with suppress(OSError):
            staged.unlink(missing_ok=True)


def chart_of(title: str, unit: str, histogram: Histogram) -> Chart:
    """A histogram in the chart's units."""
    highest = max(histogram.counts, default=0) or 1
    step = _WIDTH / len(histogram.counts)
    bars = []
    for index, count in enumerate(histogram.counts):
        height = _HEIGHT * count / highest
        if count:
            height = max(height, 1.0)  # so that a single clip can be seen
        first, end = histogram.edges[index : index + 2]
        is_last = index + 1 == len(histogram.counts)
        above = f"{first:g} and more" if is_last and histogram.has_tail else f"{first:g} to {end:g}"
        bars.append(
            Bar(
                x=round(index * step, 2),
                y=round(_HEIGHT - height, 2),
                width=round(step - _GAP, 2),
                height=round(height, 2),
                title=f"{above} {unit}: {count:,} clips",
            )
        )
    upper = histogram.edges[-1]
    ticks = [(_WIDTH * k / _TICKS, f"{upper * k / _TICKS:.3g}") for k in range(_TICKS + 1)]
    if histogram.has_tail:
        ticks[-1] = (ticks[-1][0], f"{ticks[-1][1]}+")
    return Chart(
        title=title,
        unit=unit,
        bars=tuple(bars),
        ticks=tuple(ticks),
        median=histogram.median,
        median_x=round(min(histogram.median / upper, 1.0) * _WIDTH, 2),
    )


def rows_of_counts(counts: Mapping[str, int]) -> tuple[Row, ...]:
    """The most frequent, and all others as one."""
    items = list(counts.items())
    if len(items) > _SHOWN_ROWS:
        rest = items[_SHOWN_ROWS - 1 :]
        others = (f"{len(rest):,} others", sum(count for _, count in rest))
        items = [*items[: _SHOWN_ROWS - 1], others]
    longest = max((count for _, count in items), default=1)
    return tuple(Row(name, count, round(100 * count / longest, 1)) for name, count in items)


def spelled_bytes(size: float) -> str:
    """A size for people, in SI units."""
    for unit in ("bytes", "kB", "MB", "GB", "TB"):
        if size < _KILO or unit == "TB":
            break
        size /= _KILO
    return f"{size:,.0f} {unit}" if unit == "bytes" else f"{size:,.1f} {unit}"


def spelled_time(seconds: float) -> str:
    """A duration for people."""
    if round(seconds) < _MINUTE_S:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), _MINUTE_S)
    if minutes < _HOUR_MIN:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(round(seconds / _MINUTE_S), _HOUR_MIN)
    return f"{hours:,} h {minutes} min"
