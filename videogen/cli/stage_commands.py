"""`videogen ingest|train|register`: one stage, the same on a laptop and in a job."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

import typer

from videogen.artifacts import StageResult
from videogen.cli.dry_run import print_plan
from videogen.cli.options import (
    ConfigArgument,
    DryRunOption,
    ForceOption,
    JsonOption,
    ProgressOption,
    RunIdOption,
    SetOption,
)
from videogen.cli.render import say, shown, style_of
from videogen.cli.services import connect
from videogen.cli.stage_tasks import Stages
from videogen.cli.summary import stage_json, stage_line
from videogen.config.run import Stage
from videogen.config.settings import Settings
from videogen.presets import load_config
from videogen.runs.handle import RunHandle, checked_run_id, new_run_id

commands = typer.Typer()

_HELP: dict[Stage, str] = {
    "ingest": (
        "Turn videos into frame shards and a dataset snapshot.\n\n"
        "Example: videogen ingest demo --set ingest.sources=[DIR]"
    ),
    "train": (
        "Train on the run's snapshot, or the dataset's current one.\n\n"
        "Example: videogen train demo --set train.seed=1"
    ),
    "register": (
        "Put the judged generator into the MLflow model registry.\n\n"
        "Example: videogen register demo"
    ),
}


@dataclass(frozen=True)
class StageOptions:
    """How a stage is asked for on the command line."""

    overrides: Sequence[str]
    run_id: str | None
    as_json: bool
    force: bool
    dry_run: bool
    progress: str


def run_one(stage: Stage, config: str, options: StageOptions) -> None:
    """Run one stage of a config, or print what it would do. Raises `VideogenError`."""
    loaded = load_config(config, options.overrides)
    drawn = checked_run_id(options.run_id) if options.run_id else new_run_id()
    with (
        shown(style_of(options.progress)) as report,
        connect(loaded, Settings.from_environment(), report) as services,
    ):
        stages = Stages(loaded, services, RunHandle(services.store, drawn), report)
        if options.dry_run:
            print_plan(stages, (stage,), as_json=options.as_json)
            return
        outcome = stages.run(stage, force=options.force)
    tell(outcome.result, services.store.root, as_json=options.as_json)


def tell(result: StageResult, root: str, *, as_json: bool) -> None:
    """Print what came of a stage, kept below `root`: for programs if asked, and for people."""
    if as_json:
        print(json.dumps(stage_json(result)))
    say(stage_line(result, root))


def _add(stage: Stage) -> None:
    @commands.command(name=stage, help=_HELP[stage])
    def command(  # noqa: PLR0913 - the options of a command
        config: ConfigArgument,
        overrides: SetOption = None,
        run_id: RunIdOption = None,
        as_json: JsonOption = False,
        force: ForceOption = False,
        dry_run: DryRunOption = False,
        progress: ProgressOption = "auto",
    ) -> None:
        run_one(
            stage, config, StageOptions(overrides or (), run_id, as_json, force, dry_run, progress)
        )


for _stage in _HELP:
    _add(_stage)
