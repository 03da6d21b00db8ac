"""The `videogen` command: dispatch, exit codes, and errors as one line.

Exit codes: 0 done, 1 failed, 2 bad usage or config, 130 interrupted, 143 and 129 ended by SIGTERM
and SIGHUP. This module imports next to nothing, so that an interruption while the commands are
being loaded is answered like any other.
"""

import atexit
import os
import signal
import sys
import traceback
from types import FrameType
from typing import NoReturn

from videogen.errors import VideogenError
from videogen.execution.lifeline import follow_parent

INTERRUPTED = 130


class _TerminatedError(BaseException):
    """SIGTERM or SIGHUP: the same way out as Ctrl-C, another exit code.

    It is no `KeyboardInterrupt`, because typer turns those into its own exit code.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.exit_code = 128 + number


def main() -> None:
    """The entry point of the `videogen` script."""
    arguments = [one for one in sys.argv[1:] if one != "--debug"]
    code = run_command(arguments, debug=len(arguments) < len(sys.argv) - 1)
    if code and "ray" in sys.modules:
        _leave(code)
    sys.exit(code)


def _leave(code: int) -> NoReturn:
    """End as `sys.exit` does, without the destructors of libraries.

    Those of a Ray whose tasks were cancelled now and then end the process with SIGSEGV, and then
    the exit code is lost.
    """
    atexit._run_exitfuncs()  # noqa: SLF001 - the one way to run them before os._exit
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def run_command(arguments: list[str], *, debug: bool = False) -> int:
    """Run one command line; the exit code. Errors are printed, never raised."""
    try:
        _take_signals()
        return _dispatch(arguments)
    except _TerminatedError as ended:
        return ended.exit_code
    except KeyboardInterrupt:
        _say("interrupted; what was committed stays, and the same command goes on from there")
        return INTERRUPTED
    except Exception as error:  # noqa: BLE001 - the one place where a defect becomes a line
        if debug:
            traceback.print_exception(error)
        return _explain(error)


def _take_signals() -> None:
    follow_parent()
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as `nohup` leaves SIGHUP
            signal.signal(number, _raise_terminated)


def _dispatch(arguments: list[str]) -> int:
    from videogen.cli.commands import app

    code = app(args=arguments, prog_name="videogen", standalone_mode=False)
    if code == INTERRUPTED:
        raise KeyboardInterrupt
    return code if isinstance(code, int) else 0


def _explain(error: Exception) -> int:
    """Say on one line what went wrong; the exit code."""
    import typer

    if isinstance(error, typer.TyperException):
        message = _one_line(error.format_message())
        if message:  # nothing is to be said where help was printed for want of arguments
            _say(f"error: {message} (see `{_command_path(error)} --help`)")
        return 2
    message = _one_line(str(error))
    if isinstance(error, VideogenError):
        _say(f"error: {message}")
        return error.exit_code
    _say(
        f"error: unexpected {type(error).__name__}: {message}; this is a defect of videogen, "
        "please report it with the traceback that --debug prints"
    )
    return 1


def _command_path(error: Exception) -> str:
    """The command that refused its arguments, as it was typed."""
    context = getattr(error, "ctx", None)
    return context.command_path if context is not None else "videogen"


def _say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


def _one_line(message: str) -> str:
    return " ".join(message.split())


def _raise_terminated(number: int, _frame: FrameType | None) -> None:
    raise _TerminatedError(number)


if __name__ == "__main__":
    main()
