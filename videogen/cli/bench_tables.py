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


def ratios_table(report: "BenchReport", aims: Mapping[str, Aim]) -> "Table":
    """A row for each ratio, with what it should be where that is said."""
    from rich.table import Table

    table = Table(title="ratios", title_justify="left")
    for column in ("ratio", "measured", "aim"):
        table.add_column(column, justify="left" if column == "ratio" else "right")
    for name, value in report.ratios.items():
        aim = aims.get(name)
        wanted = f"{aim.kind} {aim.value:g}" if aim else ""
        table.add_row(name, f"{value:.3g}", wanted)
    return table
