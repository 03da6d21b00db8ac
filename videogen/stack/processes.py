"""Service processes: each in a session of its own, found again by pid and start time.

A service and all that it starts carry `VIDEOGEN_SERVICE`, which names state directory and service,
so even a service whose record was lost, or whose leader died, is found and ended whole.
"""

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from videogen.config.settings import child_environment
from videogen.errors import ServiceError

MARKER = "VIDEOGEN_SERVICE"
_POLL_S = 0.05
_TAIL_CHARACTERS = 400
_KILL_WAIT_S = 5.0
_START_TIME_TOLERANCE_S = 1.0

_children: dict[int, subprocess.Popen[bytes]] = {}
"""Services that this process started, kept so that one that ends is reaped."""


@dataclass(frozen=True)
class ProcessRecord:
    """Which process leads a service; a pid alone may belong to another program by now."""

    pid: int
    create_time: float


def spawn(
    command: Sequence[str], *, environment: Mapping[str, str | None], marker: str, log: Path
) -> ProcessRecord:
    """Start `command` in its own session, with its output in `log`."""
    changes = {**environment, MARKER: marker}
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as output:
            process = subprocess.Popen(  # noqa: S603 - the command is built here, and no shell is used
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                cwd=log.parent,
                env=child_environment(changes),
            )
    except OSError as error:
        raise ServiceError(
            f"cannot start {command[0]} with its log in {log}: {error.strerror or error}: "
            "install videogen[all], and check room and rights in that directory"
        ) from error
    _children[process.pid] = process
    try:
        create_time = psutil.Process(process.pid).create_time()
    except psutil.NoSuchProcess:
        create_time = time.time()
    return ProcessRecord(process.pid, create_time)


def is_alive(record: ProcessRecord) -> bool:
    """Whether the recorded process, and not a later one of its number, still runs."""
    child = _children.get(record.pid)
    if child is not None and child.poll() is not None:
        return False
    try:
        process = psutil.Process(record.pid)
        return _is_same(process, record) and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def members(marker: str, record: ProcessRecord | None = None) -> list[psutil.Process]:
    """Every living process of a service: by marker, by session, and descendants.

    The marker alone is not enough: what sets its process title, as Ray's workers do, loses it.
    """
    session = record.pid if record is not None and not _is_reused(record) else None
    found: dict[int, psutil.Process] = {}
    for process in psutil.process_iter():
        if process.pid != os.getpid() and _belongs(process, marker, session):
            found[process.pid] = process
    for process in list(found.values()):
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            found.update({child.pid: child for child in process.children(recursive=True)})
    found.pop(os.getpid(), None)
    return list(found.values())


def _is_reused(record: ProcessRecord) -> bool:
    """Whether another process has the leader's number; none gets it while the session lives."""
    try:
        return not _is_same(psutil.Process(record.pid), record)
    except psutil.NoSuchProcess:
        return False


def _is_same(process: psutil.Process, record: ProcessRecord) -> bool:
    return abs(process.create_time() - record.create_time) < _START_TIME_TOLERANCE_S


def _belongs(process: psutil.Process, marker: str, session: int | None) -> bool:
    try:
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        if session is not None and os.getsid(process.pid) == session:
            return True
        return process.environ().get(MARKER) == marker
    except (psutil.Error, OSError):
        return False


def stop(marker: str, record: ProcessRecord | None, *, grace_s: float) -> int:
    """End a service whole, by SIGTERM, after `grace_s` by SIGKILL; how many processes ended."""
    doomed = members(marker, record)
    _signal(doomed, signal.SIGTERM)
    _wait(doomed, grace_s)
    late = {process.pid: process for process in (*doomed, *members(marker, record))}
    _signal(list(late.values()), signal.SIGKILL)
    _wait(list(late.values()), _KILL_WAIT_S)
    if record is not None:
        child = _children.pop(record.pid, None)
        if child is not None:
            child.wait(timeout=_KILL_WAIT_S)
    return len({process.pid for process in doomed} | late.keys())


def _signal(processes: Sequence[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            process.send_signal(number)


def _wait(processes: Sequence[psutil.Process], timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while any(_runs(process) for process in processes) and time.monotonic() < deadline:
        time.sleep(_POLL_S)


def _runs(process: psutil.Process) -> bool:
    child = _children.get(process.pid)
    if child is not None:
        return child.poll() is None
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def listening(marker: str, record: ProcessRecord) -> set[int]:
    """The ports on which the service itself, and not another program, accepts connections."""
    found: set[int] = set()
    for process in members(marker, record):
        with suppress(psutil.Error):
            for connection in process.net_connections(kind="tcp"):
                if connection.status == psutil.CONN_LISTEN:
                    found.add(connection.laddr.port)
    return found


def tail(log: Path, lines: int = 3) -> str:
    """The last lines of a log, as one line for an error message."""
    try:
        text = log.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    last = [" ".join(line.split()) for line in text.splitlines() if line.strip()][-lines:]
    return " / ".join(last)[-_TAIL_CHARACTERS:]
