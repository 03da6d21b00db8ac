"""The `videogen` command: dispatch, exit codes, and errors as one line.

Exit codes: 0 done, 1 failed, 2 bad usage or config, 130 interrupted. Commands import what they
need when they run, so that `--help` answers at once.
"""

import signal
import sys
import traceback
from types import FrameType

import typer

from videogen.cli import (
    configs,
    generation,
    measures,
    run,
    stack_commands,
    stage_commands,
)
from videogen.cli.render import say
from videogen.errors import VideogenError
from videogen.execution.lifeline import follow_parent

INTERRUPTED = 130
_TERMINATED = 143

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
for _module in (run, stage_commands, generation, measures, configs):
    app.registered_commands.extend(_module.commands.registered_commands)
    app.registered_groups.extend(_module.commands.registered_groups)
app.add_typer(stack_commands.commands, name="stack")


class _TerminatedError(KeyboardInterrupt):
    """SIGTERM: the same way out as Ctrl-C, another exit code."""


def main() -> None:
    """The entry point of the `videogen` script."""
    arguments = [one for one in sys.argv[1:] if one != "--debug"]
    sys.exit(run_command(arguments, debug=len(arguments) < len(sys.argv) - 1))


def run_command(  # noqa: PLR0911 - one return an exit code
    arguments: list[str], *, debug: bool = False
) -> int:
    """Run one command line; the exit code. Errors are printed, never raised."""
    follow_parent()
    signal.signal(signal.SIGTERM, _raise_terminated)
    try:
        code = app(args=arguments, prog_name="videogen", standalone_mode=False)
    except VideogenError as error:
        _explain(error, debug=debug)
        return error.exit_code
    except typer.TyperException as error:
        verb = arguments[0] if arguments else ""
        say(f"error: {_one_line(error.format_message())} (see `videogen {verb} --help`)")
        return 2
    except _TerminatedError:
        return _TERMINATED
    except (KeyboardInterrupt, typer.Abort):
        say("interrupted; what was committed stays, and the same command goes on from there")
        return INTERRUPTED
    except Exception as error:  # noqa: BLE001 - the one place where a defect becomes a line
        _explain(error, debug=debug)
        return 1
    return code if isinstance(code, int) else 0


def _explain(error: Exception, *, debug: bool) -> None:
    if debug:
        traceback.print_exception(error)
    message = _one_line(str(error))
    if isinstance(error, VideogenError):
        say(f"error: {message}")
    else:
        say(
            f"error: unexpected {type(error).__name__}: {message}; this is a defect of videogen, "
            "please report it with the traceback that --debug prints"
        )


def _one_line(message: str) -> str:
    return " ".join(message.split())


def _raise_terminated(_signum: int, _frame: FrameType | None) -> None:
    raise _TerminatedError


if __name__ == "__main__":
    main()
