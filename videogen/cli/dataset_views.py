"""`videogen dataset stats|export`: a dataset as a page to look at, and as files for others."""

import json
from pathlib import Path
from typing import Annotated, cast, get_args

import typer

from videogen.cli.dataset_options import (
    NameArgument,
    RootOption,
    SnapshotOption,
    opened,
)
from videogen.cli.options import JsonOption, ProgressOption
from videogen.cli.render import say
from videogen.errors import ConfigError

commands = typer.Typer()

_DIGITS = 12


@commands.command()
def stats(
    name: NameArgument,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="by default NAME-stats.html, in this directory"),
    ] = None,
    snapshot: SnapshotOption = None,
    root: RootOption = None,
    as_json: JsonOption = False,
    progress: ProgressOption = "auto",
) -> None:
    """Write one HTML page about a snapshot: counts, histograms, what was left out, clips to see.

    The page needs nothing but itself. With --json the numbers are printed too.

    Examples:
    videogen dataset stats mine --out mine.html

    videogen dataset stats mine --snapshot 3f9a --json
    """
    from videogen.curation.listing import find_snapshot
    from videogen.curation.stats import dataset_stats
    from videogen.curation.stats_page import render, write_page
    from videogen.curation.stills import contact_sheets

    path = (out or Path(f"{name}-stats.html")).absolute()
    if path.is_dir():
        raise ConfigError(f"--out {path} is a directory: give the name of a file")
    with opened(root, progress) as place:
        found = find_snapshot(place.store, name, snapshot)
        numbers = dataset_stats(place.store, found)
        sheets = contact_sheets(place.store, found, place.progress)
    write_page(path, render(numbers, sheets))
    if as_json:
        print(json.dumps({**numbers.model_dump(mode="json"), "page": str(path)}))
    say(f"stats: {path} shows dataset {name}, snapshot {found.digest[:_DIGITS]}")


@commands.command()
def export(  # noqa: PLR0913 - the options of a command
    name: NameArgument,
    out: Annotated[
        Path,
        typer.Option("--out", metavar="DIR", help="a new or empty directory, or one to go on with"),
    ],
    kind: Annotated[
        str, typer.Option("--format", metavar="FORMAT", help="webdataset, mp4 or frames")
    ] = "webdataset",
    split: Annotated[str, typer.Option(help="train, holdout or all")] = "all",
    snapshot: SnapshotOption = None,
    root: RootOption = None,
    as_json: JsonOption = False,
    progress: ProgressOption = "auto",
) -> None:
    """Write a snapshot's clips as plain WebDataset tars, mp4s, or a StyleGAN-V tree of frames.

    Tars and frames hold the very pixels of the dataset (PNG, or the stored JPEG); mp4 is H.264, so
    it is not exact. `clips.jsonl` beside them says what each clip is. Nothing that is there is
    overwritten; an interrupted export goes on with the same command.

    Examples:
    videogen dataset export mine --out mine-tars

    videogen dataset export mine --format frames --split train --out mine-frames
    """
    from videogen.curation.export import ExportFormat, Split
    from videogen.curation.export import export as write
    from videogen.curation.listing import find_snapshot

    checked = cast("ExportFormat", _chosen("--format", kind, get_args(ExportFormat)))
    part = cast("Split", _chosen("--split", split, get_args(Split)))
    with opened(root, progress) as place:
        found = find_snapshot(place.store, name, snapshot)
        exported = write(place.store, found, checked, out.absolute(), place.progress, split=part)
    if as_json:
        print(exported.model_dump_json())
    there = exported.files - exported.new_files
    say(
        f"export: {exported.clips:,} clips in {exported.files:,} files of {exported.directory}"
        + (f" ({there:,} were there)" if there else "")
    )


def _chosen(option: str, value: str, known: tuple[str, ...]) -> str:
    if value not in known:
        raise ConfigError(f"{option} {value!r}: choose one of {', '.join(known)}")
    return value
