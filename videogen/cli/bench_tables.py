"""Tables of `videogen bench`: figures by path, and ratios with what they should be."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from rich.table import Table

    from videogen.benchmarks.report import BenchReport

_MIB = 1 << 20


@dataclass(frozen=True)
class Aim:
    """What a ratio should be."""

    value: float
    kind: Literal["at least", "at most"] = "at least"


@dataclass(frozen=True)
class Column:
    """A figure of every path: `PATH_key` in the report."""

    key: str
    title: str
    digits: int = 0
    scale: float = 1.0
    unit: str = ""


FRAMES_PER_S = Column("frames_per_s", "frames/s")
MS_PER_FRAME = Column("ms_per_frame", "ms/frame", 2)
CLIPS_PER_S = Column("clips_per_s", "clips/s", 2)
CPU_MS_PER_CLIP = Column("cpu_ms_per_clip", "CPU ms/clip", 1)
WINDOWS_PER_S = Column("windows_per_s", "windows/s")
CPU_MS_PER_WINDOW = Column("cpu_ms_per_window", "CPU ms/window", 3)
PEAK_MEMORY = Column("peak_rss_bytes", "peak memory", 0, 1 / _MIB, " MiB")


def paths_table(
    report: "BenchReport", paths: Mapping[str, str], columns: tuple[Column, ...], title: str
) -> "Table":
    """A row for each path (its name in the report, and words for it), and a column a figure.

    The last column is its speed beside the first path's.
    """
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=escape(title), title_justify="left")
    table.add_column("path, one core")
    for column in columns:
        table.add_column(column.title, justify="right")
    table.add_column("of the first", justify="right")
    first = ""
    for path, words in paths.items():
        cells = [
            f"{report.figures[f'{path}_{one.key}'] * one.scale:,.{one.digits}f}{one.unit}"
            for one in columns
        ]
        speed = f"{path}_{columns[0].key}"
        first = first or speed
        ratio = report.figures[speed] / report.figures[first]
        table.add_row(words, *cells, "" if speed == first else f"{ratio:.2f}")
    return table


def figures_table(report: "BenchReport", aims: Mapping[str, Aim], *prefixes: str) -> "Table":
    """A row for each figure whose name begins so, with what it should be where that is said.

    Without a prefix, for every figure.
    """
    shown = {
        name: f"{value / _MIB:,.0f} MiB" if "_bytes" in name else f"{value:,.4g}"
        for name, value in report.figures.items()
        if name.startswith(prefixes or "")
    }
    return _with_aims("figure", shown, aims)


def ratios_table(report: "BenchReport", aims: Mapping[str, Aim]) -> "Table":
    """A row for each ratio, with what it should be where that is said."""
    return _with_aims("ratio", {k: f"{value:.3g}" for k, value in report.ratios.items()}, aims)


def _with_aims(what: str, values: Mapping[str, str], aims: Mapping[str, Aim]) -> "Table":
    from rich.table import Table

    table = Table(title=f"{what}s", title_justify="left")
    for column in (what, "measured", "aim"):
        table.add_column(column, justify="left" if column == what else "right")
    for name, value in values.items():
        aim = aims.get(name)
        table.add_row(name, value, f"{aim.kind} {aim.value:g}" if aim else "")
    return table
