"""`videogen stack up|status|env|down`: the embedded services of this machine."""

import json
import shlex

import typer

from videogen.cli.options import JsonOption, ProgressOption
from videogen.cli.render import say, shown, style_of
from videogen.config.settings import Settings

commands = typer.Typer(
    no_args_is_help=True,
    help="The embedded services of this machine: S3 (SeaweedFS), MLflow, Prefect, Ray.",
)


@commands.command()
def up(progress: ProgressOption = "auto") -> None:
    """Start what is not running; all of it listens on this machine only, but for Ray.

    Ray listens on every address and is protected by a token in the state directory.
    """
    from videogen.stack import embedded

    settings = Settings.from_environment()
    with shown(style_of(progress)) as report:
        embedded.up(settings, report)
    _print_status(settings)


@commands.command()
def status(as_json: JsonOption = False) -> None:
    """Print each service's address and health."""
    settings = Settings.from_environment()
    if as_json:
        from videogen.stack import embedded

        rows = [one.document() for one in embedded.status(settings)]
        print(json.dumps({"state": str(settings.state_dir), "services": rows}))
        return
    _print_status(settings)


@commands.command()
def env() -> None:
    """Print exports, S3 keys included, so that other programs find the services.

    Example: eval "$(videogen stack env)"
    """
    from videogen.stack import embedded

    for name, value in embedded.exports(Settings.from_environment()).items():
        print(f"export {name}={shlex.quote(value)}")


@commands.command()
def down(progress: ProgressOption = "auto") -> None:
    """Stop every service and all it started; the data stays."""
    from videogen.stack import embedded

    settings = Settings.from_environment()
    with shown(style_of(progress)) as report:
        ended = embedded.down(settings, report)
    say(
        f"stack: {ended} processes ended, none left; the data stays in {settings.state_dir}"
        if ended
        else f"stack: nothing was running; the data is in {settings.state_dir}"
    )


def _print_status(settings: Settings) -> None:
    from videogen.stack import embedded

    for one in embedded.status(settings):
        print(f"{one.name:<8} {one.health:<10} {one.page or one.address or '-'}")
        for note in one.notes:
            print(f"         {note}")
    print("look: the pages above   use: `videogen stack env`   stop: `videogen stack down`")
