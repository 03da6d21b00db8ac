"""Processes are found again by more than a number, and end with all that they started."""

import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from videogen.errors import ServiceError
from videogen.stack import processes

FAMILY = """
import subprocess, sys, time
sleep = [sys.executable, "-c", "import time; time.sleep(600)"]
child, escaped = subprocess.Popen(sleep), subprocess.Popen(sleep, start_new_session=True)
print(child.pid, escaped.pid, flush=True)
time.sleep(600)
"""
STUBBORN = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ready", flush=True)
time.sleep(600)
"""


@pytest.fixture
def marker(tmp_path: Path) -> Iterator[str]:
    yield str(tmp_path)
    processes.stop(str(tmp_path), None, grace_s=0)


def start(code: str, marker: str) -> processes.ProcessRecord:
    log = Path(marker) / "log"
    record = processes.spawn([sys.executable, "-c", code], environment={}, marker=marker, log=log)
    deadline = time.monotonic() + 20
    while not log.read_text() and time.monotonic() < deadline:
        time.sleep(0.02)
    return record


def runs(pid: int) -> bool:
    """Whether the process does anything still: one that nobody has reaped yet does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def pids_in(marker: str) -> list[int]:
    return [int(pid) for pid in (Path(marker) / "log").read_text().split()]


def test_stop_ends_children_and_those_that_left_the_session(marker: str) -> None:
    record = start(FAMILY, marker)
    family = [record.pid, *pids_in(marker)]

    ended = processes.stop(marker, record, grace_s=2)

    assert ended == 3
    assert not any(runs(pid) for pid in family)
    assert not processes.is_alive(record)


def test_stop_finds_what_a_killed_leader_left_behind(marker: str) -> None:
    record = start(FAMILY, marker)
    psutil.Process(record.pid).kill()
    left = pids_in(marker)

    processes.stop(marker, record, grace_s=2)

    assert not any(runs(pid) for pid in left)


def test_stop_finds_what_lost_its_marker_after_the_leader_was_killed(marker: str) -> None:
    record = start(FAMILY.replace("start_new_session=True", "env={}"), marker)
    child, without_marker = pids_in(marker)
    psutil.Process(record.pid).kill()
    psutil.Process(child).kill()

    processes.stop(marker, record, grace_s=2)

    assert not runs(without_marker)


def test_stop_finds_a_service_whose_record_is_lost(marker: str) -> None:
    record = start(FAMILY, marker)

    processes.stop(marker, None, grace_s=2)

    assert not processes.is_alive(record)
    assert processes.members(marker) == []


def test_stop_kills_what_does_not_heed_sigterm(marker: str) -> None:
    record = start(STUBBORN, marker)

    processes.stop(marker, record, grace_s=0.2)

    assert not processes.is_alive(record)


def test_a_later_process_of_the_same_number_is_neither_alive_nor_stopped(marker: str) -> None:
    stranger = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    try:
        create_time = psutil.Process(stranger.pid).create_time()
        record = processes.ProcessRecord(stranger.pid, create_time - 3600)

        assert not processes.is_alive(record)
        assert processes.is_alive(replace(record, create_time=create_time))
        assert processes.stop(marker, record, grace_s=0.2) == 0
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_a_service_starts_in_a_session_of_its_own_with_its_changes_alone(
    marker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAKEN_AWAY", "x")
    monkeypatch.setenv("HANDED_ON", "y")
    code = (
        "import os; print(os.getsid(0) == os.getpid(), os.getcwd(), "
        "os.environ.get('TAKEN_AWAY'), os.environ.get('HANDED_ON'), os.environ.get('NEW'))"
    )
    log = Path(marker) / "log"

    record = processes.spawn(
        [sys.executable, "-c", code],
        environment={"TAKEN_AWAY": None, "NEW": "z"},
        marker=marker,
        log=log,
    )
    deadline = time.monotonic() + 20
    while processes.is_alive(record) and time.monotonic() < deadline:
        time.sleep(0.02)

    assert log.read_text().split() == ["True", marker, "None", "y", "z"]


def test_a_program_that_is_missing_is_named(marker: str) -> None:
    with pytest.raises(ServiceError, match="no-such-program"):
        processes.spawn(
            ["no-such-program"], environment={}, marker=marker, log=Path(marker) / "log"
        )


def test_the_tail_of_a_log_is_its_last_lines(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(
        b"\xff\n" + b"\n".join(b"line  %d" % i for i in range(50)) + b"\n\n"
    )

    assert processes.tail(tmp_path / "log", 2) == "line 48 / line 49"
    assert processes.tail(tmp_path / "none") == ""
