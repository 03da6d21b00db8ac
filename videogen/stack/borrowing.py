"""Services that run for as long as a command needs them.

A command borrows what it needs: what does not run is started, and whoever gives it back last ends
it. Services that `stack up` started stay. Borrowers hold a shared lock, which the kernel takes
back from a process however it dies.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from videogen.config.settings import Settings
from videogen.progress import Progress
from videogen.stack import lifecycle, state
from videogen.stack.service import Service
from videogen.stack.state import ServiceName, ServiceRecord


@contextmanager
def borrow(
    service: Service, settings: Settings, progress: Progress
) -> Iterator[tuple[ServiceRecord, bool]]:
    """The running service, and whether this call started it.

    Raises `ServiceError` where it cannot be started.
    """
    with _open_lock(settings, service.name) as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        record, started = lifecycle.start(service, settings, progress)
        if started:
            _mark(settings, service.name).touch()
        try:
            yield record, started
        finally:
            _give_back(service, settings, lock)


def keep(settings: Settings, name: ServiceName) -> None:
    """Let a service outlive its borrowers."""
    _mark(settings, name).unlink(missing_ok=True)


def _give_back(service: Service, settings: Settings, lock: int) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return
    if _mark(settings, service.name).exists():
        lifecycle.stop(service, settings)
        keep(settings, service.name)


@contextmanager
def _open_lock(settings: Settings, name: ServiceName) -> Iterator[int]:
    directory = state.make_private(settings.state_dir / "borrowed")
    try:
        lock = os.open(directory / f"{name}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise state.unusable(directory, error) from error
    try:
        yield lock
    finally:
        os.close(lock)


def _mark(settings: Settings, name: ServiceName) -> Path:
    return settings.state_dir / "borrowed" / f"{name}.ends-with-its-borrowers"
