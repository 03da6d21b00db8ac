"""All commands of `videogen`, put together.

Commands import what they need when they run, so that `--help` answers at once.
"""

import typer

from videogen.cli import (
    bench_commands,
    comparing,
    configs,
    dataset_commands,
    dataset_options,
    dataset_upkeep,
    dataset_views,
    evaluations,
    generation,
    measures,
    run,
    stack_commands,
    stage_commands,
)

app = typer.Typer(
    name="videogen",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help=(
        "Raw video in, a registered, evaluated, servable video generator out.\n\n"
        "Start with `make demo`, or: "
        "`videogen run demo --set ingest.sources=[DIR] --set name=mine`"
    ),
    epilog="Any command takes --debug: the traceback of an error instead of one line.",
)
for _module in (run, stage_commands, evaluations, comparing, generation, measures, configs):
    app.registered_commands.extend(_module.commands.registered_commands)
    app.registered_groups.extend(_module.commands.registered_groups)
app.add_typer(stack_commands.commands, name="stack")
app.add_typer(bench_commands.commands, name="bench")
for _module in (dataset_commands, dataset_upkeep, dataset_views):
    dataset_options.group.registered_commands.extend(_module.commands.registered_commands)
app.add_typer(dataset_options.group, name="dataset")
