"""`videogen presets`, `videogen schema`."""

import json
from typing import Annotated

import typer

from videogen.config.loading import to_yaml
from videogen.config.run import RunConfig
from videogen.errors import ConfigError
from videogen.presets import PRESETS

commands = typer.Typer()


@commands.command()
def presets(
    name: Annotated[str | None, typer.Argument(help="print this preset as YAML")] = None,
) -> None:
    """List the presets, or print one as YAML to start a config file from.

    Example: videogen presets demo > mine.yaml
    """
    if name is None:
        for known, preset in PRESETS.items():
            first_line = (preset.__doc__ or "").strip().splitlines()[0]
            print(f"{known:<12} {first_line}")
        return
    if name not in PRESETS:
        raise ConfigError(f"preset {name!r}: unknown; there are {', '.join(PRESETS)}")
    print(to_yaml(PRESETS[name]()), end="")


@commands.command()
def schema() -> None:
    """Print the JSON Schema of a config, for editors and forms."""
    print(json.dumps(RunConfig.model_json_schema(), indent=2))
