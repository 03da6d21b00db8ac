"""Ending a service is not cut in two by Ctrl-C."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from videogen.config.settings import Settings
from videogen.execution.uninterrupted import uninterrupted
from videogen.stack import lifecycle, processes, state
from videogen.stack.ray_head import RayHead
from videogen.stack.service import marker_of

STUBBORN = "import signal, time; signal.signal(15, signal.SIG_IGN); print('up'); time.sleep(600)"


def test_an_interruption_waits_for_the_end_of_the_block() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    steps = []

    def work() -> None:
        with uninterrupted():
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.05)
            steps.append("done")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert steps == ["done"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_other_threads_have_nothing_to_put_off() -> None:
    before = signal.getsignal(signal.SIGINT)
    seen = []

    def work() -> None:
        with uninterrupted():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before]


def test_a_service_that_ends_slowly_is_ended_whole_under_ctrl_c(tmp_path: Path) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    settings = Settings(tmp_path, tmp_path, None, None, None)
    log = tmp_path / "log"
    process = processes.spawn(
        [sys.executable, "-uc", STUBBORN],
        environment={},
        marker=marker_of(settings, "ray"),
        log=log,
    )
    while "up" not in log.read_text():
        time.sleep(0.05)
    record = state.ServiceRecord({}, process, kept=True)
    state.remember(tmp_path, "ray", record)

    class Impatient(RayHead):
        stop_grace_s = 1.0

    interrupt = f"import os, time; time.sleep(.4); os.kill({os.getpid()}, {int(signal.SIGINT)})"
    with subprocess.Popen([sys.executable, "-c", interrupt]), pytest.raises(KeyboardInterrupt):
        lifecycle.stop(Impatient(), settings)
    assert not processes.is_alive(process)
    assert state.load(tmp_path).services["ray"].process is None


@pytest.mark.parametrize("is_set", [False, True])
def test_ray_keeps_its_temporary_files_where_they_are_swept_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_set: bool
) -> None:
    monkeypatch.delenv("TMPDIR", raising=False)
    if is_set:
        monkeypatch.setenv("TMPDIR", str(tmp_path))
    ray, settings = RayHead(), Settings(tmp_path, tmp_path, None, None, None)
    try:
        environment = ray.launch(settings, dict.fromkeys(ray.usual_ports, 1)).environment
    finally:
        ray.clean_up(settings, {})
    assert environment["TMPDIR"] == (str(tmp_path) if is_set else environment["RAY_TMPDIR"])
