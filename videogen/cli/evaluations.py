"""`videogen evaluate`: of a run's checkpoint, or of any registered version."""

from typing import TYPE_CHECKING, Annotated

import typer

from videogen.artifacts import EvaluationReport
from videogen.cli.judged_models import Judging, open_models
from videogen.cli.options import (
    DryRunOption,
    ForceOption,
    JsonOption,
    ProgressOption,
    RunIdOption,
    SetOption,
)
from videogen.cli.render import shown, style_of
from videogen.cli.stage_commands import StageOptions, run_one, tell
from videogen.config.loading import to_yaml
from videogen.errors import ConfigError
from videogen.progress import Progress
from videogen.runs.handle import RunHandle, checked_run_id, new_run_id
from videogen.runs.stages import StageOutcome, StageRun, StageTask, run_stage

if TYPE_CHECKING:
    from videogen.evaluation.foreign import ForeignGenerator

commands = typer.Typer()


@commands.command()
def evaluate(  # noqa: PLR0913 - the options of a command
    config: Annotated[
        str | None,
        typer.Argument(
            metavar="[CONFIG]",
            help="a preset's name or a YAML file; with --model by default what the version carries",
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help="models:/NAME@champion, models:/NAME/3 or a directory, not a checkpoint"),
    ] = None,
    overrides: SetOption = None,
    run_id: RunIdOption = None,
    as_json: JsonOption = False,
    force: ForceOption = False,
    dry_run: DryRunOption = False,
    progress: ProgressOption = "auto",
) -> None:
    """Judge what training made, or a registered version: FVD with its yardsticks, a page to read.

    A version is judged on the data and by the protocol that it was registered with, or on those of
    CONFIG, in a run of its own.

    Examples: `videogen evaluate demo --json`, `videogen evaluate --model models:/demo@champion`,
    `videogen evaluate --model models:/demo/3 --set evaluate.num_clips=2048`
    """
    options = StageOptions(overrides or (), run_id, as_json, force, dry_run, progress)
    if model is not None:
        _evaluate_model(model, config, options)
    elif config is not None:
        run_one("evaluate", config, options)
    else:
        raise ConfigError(
            "evaluate: give a CONFIG, whose checkpoint is then judged, or --model MODEL"
        )


def _evaluate_model(model: str, config: str | None, options: StageOptions) -> None:
    if options.dry_run:
        raise ConfigError("--dry-run plans the stages of a config: leave --model or it out")
    drawn = checked_run_id(options.run_id) if options.run_id else new_run_id()
    with (
        shown(style_of(options.progress)) as report,
        open_models([model], config, options.overrides, report) as judging,
    ):
        outcome = _judge(judging, drawn, report, force=options.force)
    tell(outcome.result, judging.services.store.root, as_json=options.as_json)


def _judge(
    judging: Judging, run_id: str, progress: Progress, *, force: bool
) -> StageOutcome[EvaluationReport]:
    """The stage evaluate of a run of its own, or its result where that was judged before."""
    (generator,) = judging.models
    handle = RunHandle(judging.services.store, run_id)
    handle.write_config(to_yaml(judging.config))
    task = StageTask(
        "evaluate",
        {"snapshot": judging.dataset.snapshot, "generator": generator.sha256},
        EvaluationReport,
        lambda run: _work(judging, generator, run, progress),
        lambda _: True,
    )
    return run_stage(handle, judging.config, task, force=force)


def _work(
    judging: Judging, generator: "ForeignGenerator", run: StageRun, progress: Progress
) -> EvaluationReport:
    from videogen.evaluation.foreign import lent
    from videogen.evaluation.stage import evaluate as judge

    services, dataset = judging.services, judging.dataset
    tags = {
        "videogen.model": generator.model.removeprefix("models:/"),
        "videogen.dataset": dataset.dataset,
        "videogen.snapshot": dataset.snapshot,
        "videogen.stage_key.evaluate": run.key,
        "videogen.root": services.store.root,
    }
    with (
        services.tracked(run.handle.run_id, tags) as tracker,
        lent(generator, services.store, run.handle.run_id) as published,
    ):
        return judge(
            judging.config,
            dataset,
            published,
            services.store,
            tracker,
            services.cluster,
            progress,
            services.settings,
        )
