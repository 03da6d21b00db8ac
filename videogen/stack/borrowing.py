"""Services that run for as long as a command needs them.

A command borrows what it needs: what does not run is started, and whoever gives it back last ends
it. Services that `stack up` started stay. Borrowers hold a shared lock, which the kernel takes
back from a process however it dies; a small process beside the one that started a service then
ends it.
"""

import fcntl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from videogen.config.settings import Settings
from videogen.progress import Progress
from videogen.stack import lifecycle, state
from videogen.stack.service import Service
from videogen.stack.state import ServiceRecord

_on_duty: list["subprocess.Popen[bytes]"] = []
"""Caretakers of services that others still borrow, kept so that this process reaps them."""


@contextmanager
def borrow(
    service: Service, settings: Settings, progress: Progress
) -> Iterator[tuple[ServiceRecord, bool]]:
    """The running service, and whether this call started it.

    Raises `ServiceError` where it cannot be started.
    """
    directory = state.make_private(settings.state_dir)
    try:
        lock = (directory / f"{service.name}.borrowers").open("ab")
    except OSError as error:
        raise state.unusable(directory, error) from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        known = state.load(settings.state_dir).services.get(service.name)
        caretaker = None if lifecycle.runs(known) else _engage_caretaker(service, settings)
        try:
            yield lifecycle.start(service, settings, progress, keep=False)
        finally:
            _give_back(service, settings, lock.fileno(), caretaker)


def _engage_caretaker(service: Service, settings: Settings) -> "subprocess.Popen[bytes]":
    """Start what ends the service should its borrowers be killed."""
    module = (sys.executable, "-m", "videogen.stack.caretaker")
    return subprocess.Popen(  # noqa: S603 - our own module, arguments as a list
        [*module, service.name, str(settings.state_dir)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def _give_back(
    service: Service,
    settings: Settings,
    lock: int,
    caretaker: "subprocess.Popen[bytes] | None",
) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        if caretaker is not None:
            _on_duty.append(caretaker)
        return
    lifecycle.stop_unless_kept(service, settings)
    if caretaker is not None:
        caretaker.kill()
        caretaker.wait()
