"""What every test needs of the process that it runs in."""

import signal

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """How much the fuzz tries; `make fuzz` tries more."""
    group = parser.getgroup("videogen")
    group.addoption("--fuzz", type=int, default=200, metavar="N", help="damaged files to try")
    group.addoption("--fuzz-seed", type=int, default=0, metavar="S", help="which damage")


def pytest_configure() -> None:
    """Take Ctrl-C back: what a shell starts in the background ignores it, and its children too."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
