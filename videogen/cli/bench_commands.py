"""`videogen bench`: figures, side by side with their baselines, in one run."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from videogen.cli.options import JsonOption, ProgressOption
from videogen.cli.render import shown, style_of

if TYPE_CHECKING:
    from rich.table import Table

    from videogen.benchmarks.ingest import BenchReport

commands = typer.Typer(
    no_args_is_help=True, help="Speed, each figure beside its baseline, measured in one run."
)

_MIB = 1 << 20
_RATIO_AIMS = {
    "whole_vs_decode_64px": 0.75,
    "whole_vs_decode_128px": 0.50,
    "workers_2_vs_1": 1.8,
}
_PATHS = {
    "decode": "decode only (PyAV)",
    "whole_64px": "whole ingest at 64 px",
    "whole_128px": "whole ingest at 128 px",
}


@commands.callback()
def _group() -> None:
    """Keeps `ingest` a subcommand while it is the only one."""


@commands.command()
def ingest(
    video: Annotated[
        Path | None, typer.Option(metavar="FILE", help="measure this file too")
    ] = None,
    turns: Annotated[int, typer.Option(min=1, help="interleaved repetitions on one core")] = 7,
    ray_turns: Annotated[
        int, typer.Option(min=0, help="repetitions with Ray workers; 0 leaves Ray out")
    ] = 3,
    as_json: JsonOption = False,
    progress: ProgressOption = "auto",
) -> None:
    """The whole ingest beside nothing but decoding, on one core; then 2 Ray workers beside 1.

    A 720p H.264 file of 25 s is generated and measured, and FILE beside it; the fastest of the
    repetitions counts. Takes 3 minutes, and an otherwise idle machine.

    Example: videogen bench ingest --video holiday.mov --json
    """
    from videogen.benchmarks.ingest import IngestBench, bench_ingest

    with shown(style_of(progress)) as report:
        measured = bench_ingest(IngestBench(video, turns, ray_turns), report)
    if as_json:
        print(json.dumps(asdict(measured)))
        return
    from rich.console import Console

    console = Console()
    console.print(_paths_table(measured, "", "generated, 720p H.264"))
    if video is not None:
        console.print(_paths_table(measured, "given_", video.name))
    console.print(_ratios_table(measured))
    machine = measured.machine
    console.print(
        f"{machine['cpu']}, {machine['cores']} cores, load {machine['load_1min']} at the start",
        markup=False,
    )


def _paths_table(report: "BenchReport", prefix: str, title: str) -> "Table":
    """One file: a row for each path, and the ratio to the first."""
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=escape(title), title_justify="left")
    table.add_column("path, one core")
    for column in ("frames/s", "ms/frame", "of decode only", "peak memory"):
        table.add_column(column, justify="right")
    for name, words in _PATHS.items():
        figures = {
            key: report.figures[f"{prefix}{name}_{key}"]
            for key in ("frames_per_s", "ms_per_frame", "peak_rss_bytes")
        }
        ratio = report.ratios.get(f"{prefix}{name.replace('whole', 'whole_vs_decode')}")
        table.add_row(
            words,
            f"{figures['frames_per_s']:,.0f}",
            f"{figures['ms_per_frame']:.2f}",
            "" if ratio is None else f"{ratio:.2f}",
            f"{figures['peak_rss_bytes'] / _MIB:,.0f} MiB",
        )
    return table


def _ratios_table(report: "BenchReport") -> "Table":
    from rich.table import Table

    table = Table(title="ratios", title_justify="left")
    for column in ("ratio", "measured", "aim"):
        table.add_column(column, justify="left" if column == "ratio" else "right")
    for name, aim in _RATIO_AIMS.items():
        if name in report.ratios:
            table.add_row(name, f"{report.ratios[name]:.2f}", f"{aim:.2f}")
    return table
