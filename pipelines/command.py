"""A flow as a process: `python -m pipelines.FLOW --config FILE --run-id ID`.

Prints the flow's result as one JSON object on standard output; standard error gets progress and,
last, one `error: ...` line. Exit codes are those of `videogen`.
"""

import argparse
import json
import logging
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from prefect.exceptions import PrefectException, TerminationSignal
from prefect.logging.handlers import APILogHandler, PrefectConsoleHandler
from prefect.settings import PREFECT_API_URL, PREFECT_LOCAL_STORAGE_PATH, temporary_settings

from videogen.cli.render import say
from videogen.config.settings import Settings
from videogen.errors import VideogenError
from videogen.execution.lifeline import follow_parent
from videogen.presets import load_config
from videogen.runs.handle import checked_run_id
from videogen.stack import embedded
from videogen.stack.prefect_server import prefect_home

_INTERRUPTED = 130
_TERMINATED = 143

Flow = Callable[..., dict[str, object]]


class _TerminatedError(KeyboardInterrupt):
    """SIGTERM outside of the flow, where Prefect does not look for it."""


def main(flow: Flow) -> int:
    """Run the flow with the process's arguments; the exit code."""
    arguments = _parse()
    follow_parent()
    signal.signal(signal.SIGTERM, _raise_terminated)
    _silence_console()
    try:
        load_config(arguments.config)  # a flow run is not worth making for a config that is none
        if arguments.run_id is not None:
            checked_run_id(arguments.run_id)
        with _prefect_server(), _logs_sent():
            document = flow(
                arguments.config,
                arguments.run_id,
                force=arguments.force,
                progress=arguments.progress,
                command=arguments.command,
            )
    except (VideogenError, PrefectException, KeyboardInterrupt, TerminationSignal) as error:
        return _explain(error)
    sys.stdout.write(json.dumps(document) + "\n")
    return 0


def _explain(error: BaseException) -> int:
    """Say what went wrong, last of all; the exit code."""
    match error:
        case TerminationSignal() | _TerminatedError():
            return _TERMINATED
        case KeyboardInterrupt():
            return _INTERRUPTED
        case VideogenError():
            say(f"error: {' '.join(str(error).split())}")
            return error.exit_code
        case _:
            say(f"error: Prefect: {' '.join(str(error).split())}")
            return 1


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", required=True, help="a preset's name or a YAML file")
    parser.add_argument("--run-id", help="name the run; by default one is drawn")
    parser.add_argument("--force", action="store_true", help="run even what could be reused")
    parser.add_argument("--progress", default="auto", help="auto, bar, plain or jsonl")
    parser.add_argument(
        "--command", nargs="+", help="what runs a stage in place of `python -m videogen`"
    )
    return parser.parse_args()


@contextmanager
def _prefect_server() -> Iterator[None]:
    """The server that is configured, else the embedded one: Prefect's own would outlive us."""
    settings = Settings.from_environment()
    if PREFECT_API_URL.value():
        yield
        return
    home = prefect_home(settings)
    with (
        embedded.borrow_prefect(settings) as api_url,
        temporary_settings(
            updates={PREFECT_API_URL: api_url, PREFECT_LOCAL_STORAGE_PATH: home / "storage"}
        ),
    ):
        yield


@contextmanager
def _logs_sent() -> Iterator[None]:
    """Send Prefect's logs while its server is there, and before our last line."""
    try:
        yield
    finally:
        APILogHandler().flush()


def _silence_console() -> None:
    """Leave Prefect's logs to its server: standard error is for progress and errors."""
    for name in ("", *logging.root.manager.loggerDict):
        logger = logging.getLogger(name)
        for handler in tuple(logger.handlers):
            if isinstance(handler, PrefectConsoleHandler):
                logger.removeHandler(handler)
                logger.addHandler(logging.NullHandler())  # or the handler of last resort prints


def _raise_terminated(_signum: int, _frame: FrameType | None) -> None:
    raise _TerminatedError
