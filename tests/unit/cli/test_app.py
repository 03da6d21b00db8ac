"""How the command ends: exit codes, and one line."""

import signal
import subprocess
import sys
import time

import pytest
import typer

from videogen.cli import app, commands
from videogen.config.settings import child_environment
from videogen.errors import ConfigError

_PROGRAM = """
import signal, sys, time, typer
{before}
from videogen.cli import app
{setup}
sys.exit(app.run_command(["wait"]))
"""
_WAITING = """
from videogen.cli import commands
commands.app = typer.Typer()
@commands.app.command()
def wait():
    print("waiting", flush=True)
    time.sleep(60)
@commands.app.command()
def other(): ...
"""
_LOADING = """
class Slow:
    def find_spec(self, name, *_):
        if name == "videogen.cli.commands":
            print("waiting", flush=True)
            time.sleep(60)
sys.meta_path.insert(0, Slow())
"""


def _ended_by(number: int, setup: str, before: str = "") -> tuple[int, list[str]]:
    """The exit code and the error lines of a command that gets a signal while it waits."""
    before = before or "signal.signal(signal.SIGINT, signal.default_int_handler)"
    process = subprocess.Popen(
        [sys.executable, "-c", _PROGRAM.format(setup=setup, before=before)],
        env=child_environment({}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "waiting\n"
    time.sleep(0.2)
    process.send_signal(number)
    _, errors = process.communicate(timeout=30)
    return process.returncode, errors.splitlines()


@pytest.mark.parametrize("setup", [_WAITING, _LOADING], ids=["at work", "loading commands"])
def test_an_interruption_is_answered_by_one_line(setup: str) -> None:
    code, lines = _ended_by(signal.SIGINT, setup)
    assert code == 130
    assert len(lines) == 1
    assert lines[0].startswith("interrupted; ")


_CRASHES_AT_ITS_END = """
import atexit, ctypes, ray, sys
from videogen.cli import app
libc = ctypes.CDLL(None)
libc.__cxa_atexit(libc.abort, None, None)
atexit.register(print, "tidied")
sys.argv = ["videogen", "bogus"]
app.main()
"""


def test_destructors_of_ray_do_not_cost_the_exit_code() -> None:
    command = [sys.executable, "-c", _CRASHES_AT_ITS_END]
    ended = subprocess.run(command, env=child_environment({}), capture_output=True, check=False)
    assert (ended.returncode, ended.stdout) == (2, b"tidied\n")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_termination_has_an_exit_code_of_its_own(number: int) -> None:
    assert _ended_by(number, _WAITING) == (128 + number, [])


def _fails(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    failing = typer.Typer()

    @failing.command()
    def command() -> None:
        raise error

    monkeypatch.setattr(commands, "app", failing)


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (ConfigError("no\nsuch key"), 2, "error: no such key\n"),
        (ValueError("odd"), 1, "error: unexpected ValueError: odd; this is a defect of videogen"),
    ],
)
def test_an_error_is_one_line(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: Exception,
    code: int,
    said: str,
) -> None:
    _fails(monkeypatch, error)
    monkeypatch.setattr(app, "_take_signals", lambda: None)
    assert app.run_command([]) == code
    told = capsys.readouterr().err
    assert told.startswith(said)
    assert told.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["bogus"], "see `videogen --help`)"),
        (["stack", "bogus"], "see `videogen stack --help`)"),
        (["weights", "fetch"], "see `videogen weights fetch --help`)"),
    ],
)
def test_bad_usage_names_the_help_that_helps(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    said: str,
) -> None:
    monkeypatch.setattr(app, "_take_signals", lambda: None)
    assert app.run_command(arguments) == 2
    assert said in capsys.readouterr().err


def test_no_arguments_at_all_is_answered_with_help_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(app, "_take_signals", lambda: None)
    assert app.run_command([]) == 2
    told = capsys.readouterr()
    assert "Usage: videogen" in told.out
    assert told.err == ""
