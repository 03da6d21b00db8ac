"""`videogen compare`: models side by side."""

import os
import tempfile
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from videogen.artifacts import ComparedModel, ComparisonReport
from videogen.cli.judged_models import Judging, open_models
from videogen.cli.options import JsonOption, ProgressOption, SetOption
from videogen.cli.render import say, shown, style_of
from videogen.errors import ConfigError
from videogen.progress import Progress
from videogen.runs.handle import new_run_id
from videogen.runs.lease import DataUse, hold_lease
from videogen.storage.base import ObjectStore

commands = typer.Typer()

_FIRST: Final = ("fvd", "kvd", "precision", "recall", "coverage", "diversity", "near_copies")
"""Metrics that the table shows; the page and the JSON have all."""


@commands.command()
def compare(
    models: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL MODEL ...", help="models:/NAME@champion, models:/NAME/3 or a directory"
        ),
    ],
    config: Annotated[
        str | None,
        typer.Option(help="whose data and protocol count; by default the first model's own"),
    ] = None,
    overrides: SetOption = None,
    out: Annotated[
        Path, typer.Option(help="directory for page, sheet and grids; they show real clips")
    ] = Path("comparison"),
    as_json: JsonOption = False,
    progress: ProgressOption = "auto",
) -> None:
    """Judge models by the same seeds and reals, and tell whether they differ by more than chance.

    Clips of the same seed are compared with each other, so smaller differences are seen than two
    reports could tell. Up to three models are compared pair by pair, more with the first. Features
    of the reals come from the store where an evaluation left them.

    Examples: `videogen compare models:/demo@champion models:/demo@challenger`,
    `videogen compare models:/demo/1 models:/demo/2 exported/ --set evaluate.num_clips=1024`
    """
    if len(models) < 2:  # noqa: PLR2004 - to compare
        raise ConfigError("compare: name two models or more, as in models:/NAME/1 models:/NAME/2")
    _require_writable(out)
    with (
        shown(style_of(progress)) as told,
        open_models(models, config, overrides or (), told) as judging,
    ):
        report, files = _compare(judging, told)
    _write(files, out)
    if as_json:
        print(report.model_dump_json())
    else:
        _print_table(report)
    for line in _conclusions(report):
        say(line)
    say(f"compare: {out / 'comparison.html'}")


def _compare(judging: Judging, progress: Progress) -> tuple[ComparisonReport, dict[str, bytes]]:
    from videogen.config.sections import StorageConfig
    from videogen.evaluation.comparison import compare as judge
    from videogen.evaluation.comparison import files_of
    from videogen.evaluation.features.taking import Means
    from videogen.evaluation.foreign import lent
    from videogen.evaluation.setting import choose_setting

    services, dataset, asked = judging.services, judging.dataset, judging.config.evaluate
    store, run_id = services.store, new_run_id()
    storage = StorageConfig(root=store.root, endpoint_url=services.config.storage.endpoint_url)
    means = Means(store, storage, services.cluster, progress, services.settings)
    use = DataUse(dataset.dataset, dataset.snapshot)
    with ExitStack() as borrowed:
        borrowed.callback(_remove, store, f"runs/{run_id}/")  # of the lease, too, nothing stays
        borrowed.enter_context(hold_lease(store, run_id, use))
        setting = choose_setting(store, dataset.dataset, dataset.snapshot, asked)
        generators = [
            borrowed.enter_context(lent(generator, store, run_id, number))
            for number, generator in enumerate(judging.models, 1)
        ]
        report = judge(generators, setting, means)
        return report, files_of(report, generators, setting, means)


def _remove(store: ObjectStore, prefix: str) -> None:
    for info in list(store.list(prefix)):
        store.purge(info.key)


def _require_writable(out: Path) -> None:
    """Try it before what takes minutes, and leave nothing. Raises `ConfigError`."""
    there = next(place for place in (out, *out.absolute().parents) if place.exists())
    with _writing(out), tempfile.TemporaryDirectory(prefix=".videogen-", dir=there):
        pass


@contextmanager
def _writing(out: Path) -> Iterator[None]:
    """Turn what the file system says into `ConfigError`."""
    try:
        yield
    except OSError as error:
        raise ConfigError(
            f"--out {str(out)!r} cannot be written ({error.strerror or error}): name a directory"
        ) from error


def _write(files: Mapping[str, bytes], out: Path) -> None:
    """Each whole or not at all. Raises `ConfigError` where the directory cannot be written."""
    with _writing(out):
        out.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            staged = out / f".{uuid.uuid4().hex}.part"
            staged.write_bytes(content)
            os.replace(staged, out / name)  # noqa: PTH105 - in one step


def _print_table(report: ComparisonReport) -> None:
    """A row per metric, a column per model, and the yardsticks below FVD."""
    table = Table(box=None, pad_edge=False, title=report.protocol.name, title_justify="left")
    table.add_column("")
    for model in report.models:
        table.add_column(escape(model.model), justify="right", overflow="fold")
    for metric in _FIRST:
        if any(metric in model.metrics for model in report.models):
            table.add_row(metric, *(_figure(model, metric) for model in report.models))
    for name, value in report.yardsticks.items():
        table.add_row(f"[dim]fvd of {name}[/dim]", f"[dim]{value:.1f}[/dim]")
    Console().print(table)


def _figure(model: ComparedModel, metric: str) -> str:
    value = model.metrics.get(metric)
    if value is None:
        return "none"
    interval = model.intervals.get(metric)
    digits = ".1f" if metric == "fvd" else ".4g"
    if interval is None:
        return f"{value:{digits}}"
    return f"{value:{digits}} ({interval[0]:{digits}} to {interval[1]:{digits}})"


def _conclusions(report: ComparisonReport) -> Sequence[str]:
    """Whether differences are more than chance, and what else is to be known."""
    lines = []
    for one in report.differences:
        low, high = one.interval
        verdict = f"{one.better} is better" if one.better else "the difference may be chance"
        lines.append(
            f"{one.model} less {one.other}: FVD {one.difference:+.1f}, 95 %: {low:+.1f} to "
            f"{high:+.1f}, p = {one.p_value:.2g}: {verdict}"
        )
    lines += [f"note: {note}" for note in report.notes]
    lines += [f"note: {model.model}: {note}" for model in report.models for note in model.notes]
    return lines
