"""What every test needs of the process that it runs in."""

import signal


def pytest_configure() -> None:
    """Take Ctrl-C back: what a shell starts in the background ignores it, and its children too."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
