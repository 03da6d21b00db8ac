"""`videogen bench`: figures, side by side with their baselines, in one run."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from videogen.cli import bench_tables as tables
from videogen.cli.bench_tables import Aim
from videogen.cli.options import JsonOption, ProgressOption
from videogen.cli.render import shown, style_of

if TYPE_CHECKING:
    from rich.table import Table

    from videogen.benchmarks.report import BenchReport

commands = typer.Typer(
    no_args_is_help=True, help="Speed, each figure beside its baseline, measured in one run."
)

_AIMS = {
    "whole_vs_decode_64px": Aim(0.75),
    "whole_vs_decode_128px": Aim(0.50),
    "workers_2_vs_1": Aim(1.8),
    "vs_memory_decode": Aim(0.85),
    "vs_webdataset": Aim(1.2),
    "pipeline_vs_bare": Aim(0.95),
    "workers_2x1_vs_1x2": Aim(0.9),
    "data_wait_fraction": Aim(0.01, "at most"),
    "online_evaluation_cost": Aim(0.05, "at most"),
    "checkpoint_stall_fraction": Aim(0.01, "at most"),
    "mocogan_cpu_seconds_per_iteration": Aim(8.0, "at most"),
    "open_snapshot_s": Aim(2.0, "at most"),
    "vs_eager": Aim(1.5),
    "max_logit_difference": Aim(1e-4, "at most"),
    "bf16_fvd_error_near": Aim(0.005, "at most"),
    "bf16_fvd_error_far": Aim(0.005, "at most"),
    "cached_clips_per_fake": Aim(1.0, "at most"),
}
_INGEST_PATHS = {
    "decode": "decode only (PyAV)",
    "whole_64px": "whole ingest at 64 px",
    "whole_128px": "whole ingest at 128 px",
}
_LOADER_PATHS = {
    "decode": "decode only, from memory",
    "batches": "the same, as batches of floats",
    "webdataset": "webdataset, tars on disk",
    "warm": "loader, warm cache",
    "cold": "loader, cold cache: S3",
}
_FEATURES_PATHS = {
    "eager": "plain PyTorch port, fp32",
    "fp32": "ours, fp32",
    "bf16": "ours, bf16",
}


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
    titles = {"": "generated, 720p H.264", **({"given_": video.name} if video else {})}
    columns = (tables.FRAMES_PER_S, tables.MS_PER_FRAME, tables.PEAK_MEMORY)
    _answer(
        measured,
        [
            tables.paths_table(
                measured,
                {f"{prefix}{name}": words for name, words in _INGEST_PATHS.items()},
                columns,
                title,
            )
            for prefix, title in titles.items()
        ],
        as_json=as_json,
    )


@commands.command()
def loader(
    turns: Annotated[int, typer.Option(min=1, help="interleaved repetitions")] = 7,
    as_json: JsonOption = False,
    progress: ProgressOption = "auto",
) -> None:
    """The loader on S3 beside decoding from memory, and beside `webdataset`, on one core.

    Windows of 16 frames, JPEG q98, 64 px, from generated footage on an S3 server of the bench's
    own; the fastest of the repetitions counts. Then a snapshot of a million clips is opened. Takes
    2 minutes, and an otherwise idle machine.

    Example: videogen bench loader --json
    """
    from videogen.benchmarks.loader import LoaderBench, bench_loader

    with shown(style_of(progress)) as report:
        measured = bench_loader(LoaderBench(turns), report)
    columns = (tables.WINDOWS_PER_S, tables.CPU_MS_PER_WINDOW, tables.PEAK_MEMORY)
    title = "windows of 16 frames, 64 px, JPEG q98"
    paths = tables.paths_table(measured, _LOADER_PATHS, columns, title)
    opening = tables.figures_table(measured, _AIMS, "open_")
    _answer(measured, [paths, opening], as_json=as_json)


@commands.command()
def train(
    turns: Annotated[int, typer.Option(min=1, help="interleaved repetitions")] = 3,
    as_json: JsonOption = False,
    progress: ProgressOption = "auto",
) -> None:
    """The stage `train` beside nothing but its steps; 2 workers beside 1; `mocogan`; memory.

    On an S3 server, an MLflow and a Ray of the bench's own; the fastest of the repetitions counts.
    Takes 10 minutes, two cores, and an otherwise idle machine.

    Example: videogen bench train --json
    """
    from videogen.benchmarks.train import TrainBench, bench_train

    with shown(style_of(progress)) as report:
        measured = bench_train(TrainBench(turns), report)
    _answer(measured, [tables.figures_table(measured, _AIMS)], as_json=as_json)


@commands.command()
def features(
    turns: Annotated[int, typer.Option(min=1, help="interleaved repetitions")] = 3,
    as_json: JsonOption = False,
    progress: ProgressOption = "auto",
) -> None:
    """I3D beside a plain PyTorch port of it; what bf16 costs FVD; what a cached evaluation costs.

    Clips of 16 frames; the fastest of the repetitions on one core counts. Then a Ray of the bench's
    own evaluates 256 generated clips, twice. The I3D weights are fetched where they are missing.
    Takes 6 minutes, two cores, and an otherwise idle machine.

    Example: videogen bench features --json
    """
    from videogen.benchmarks.features import FeaturesBench, bench_features
    from videogen.config.settings import Settings

    with shown(style_of(progress)) as report:
        measured = bench_features(FeaturesBench(turns), Settings.from_environment(), report)
    columns = (tables.CLIPS_PER_S, tables.CPU_MS_PER_CLIP, tables.PEAK_MEMORY)
    paths = tables.paths_table(measured, _FEATURES_PATHS, columns, "I3D, clips of 16 frames, 64 px")
    others = tables.figures_table(measured, _AIMS, "max_", "memory_", "evaluation_", "fvd_")
    _answer(measured, [paths, others], as_json=as_json)


def _answer(measured: "BenchReport", figures: "list[Table]", *, as_json: bool) -> None:
    """The report as JSON, or for people."""
    if as_json:
        print(json.dumps(asdict(measured)))
        return
    from rich.console import Console

    console = Console()
    for table in figures:
        console.print(table)
    console.print(tables.ratios_table(measured, _AIMS))
    machine = measured.machine
    console.print(
        f"{machine['cpu']}, {machine['cores']} cores, load {machine['load_1min']} at the start",
        markup=False,
    )
