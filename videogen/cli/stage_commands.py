"""`videogen ingest|train|evaluate|register`: one stage, the same on a laptop and in a job."""

import json

import typer

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
    "evaluate": (
        "Judge what training made: FVD with its yardsticks, previews.\n\n"
        "Example: videogen evaluate demo --json"
    ),
    "register": (
        "Put the judged generator into the MLflow model registry.\n\n"
        "Example: videogen register demo"
    ),
}


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
        loaded = load_config(config, overrides or ())
        drawn = checked_run_id(run_id) if run_id else new_run_id()
        with (
            shown(style_of(progress)) as report,
            connect(loaded, Settings.from_environment(), report) as services,
        ):
            stages = Stages(loaded, services, RunHandle(services.store, drawn), report)
            if dry_run:
                print_plan(stages, (stage,), as_json=as_json)
                return
            outcome = stages.run(stage, force=force)
        if as_json:
            print(json.dumps(stage_json(outcome.result)))
        say(stage_line(outcome.result))


for _stage in _HELP:
    _add(_stage)
