"""What every test needs of the process that it runs in."""

import signal

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """How much the fuzz tries; `make fuzz` tries more."""
    group = parser.getgroup("videogen")
    group.addoption("--fuzz", type=int, default=200, metavar="N", help="damaged files to try")
    group.addoption("--fuzz-seed", type=int, default=0, metavar="S", help="which damage")


def pytest_configure() -> None:
    """Take signals back that a shell's background or `nohup` ignores, for our children too."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
