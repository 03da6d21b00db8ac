"""Arguments and options that several commands share."""

from typing import Annotated

import typer

ConfigArgument = Annotated[
    str,
    typer.Argument(metavar="CONFIG", help="a preset's name (`videogen presets`) or a YAML file"),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="section.key=value", help="override one key; may be repeated"),
]
RunIdOption = Annotated[
    str | None, typer.Option("--run-id", help="name the run; by default one is drawn")
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="print one JSON object on standard output")
]
ForceOption = Annotated[bool, typer.Option("--force", help="run even what could be reused")]
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="list stages, what is reused, expected time and disk")
]
ProgressOption = Annotated[
    str, typer.Option("--progress", help="auto, bar, plain, or jsonl (for programs)")
]
