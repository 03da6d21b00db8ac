"""A function in a process of its own, beside the work, on a real Ray."""

import functools
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import ray

from videogen.config.settings import child_environment
from videogen.errors import DatasetError, StageFailedError
from videogen.execution.aside import Aside
from videogen.execution.ray_session import Cluster, ClusterSpec

pytestmark = [
    pytest.mark.machine,
    # Ray leaves its log files to the garbage collector.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]

_TIMEOUT_S = 20.0


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    environment = {
        "PYTHONPATH": str(Path(__file__).parent),  # workers import this module's functions
        "OMP_NUM_THREADS": "2",
        "VIDEOGEN_TEST_PLACE": "here",
    }
    with Cluster(ClusterSpec(environment=environment, num_cpus=1)) as cluster:
        cluster.connect()
        yield cluster


def where(item: int) -> tuple[int, int, int, dict[str, str | None]]:
    names = ("OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES", "VIDEOGEN_TEST_PLACE")
    own = child_environment({})
    variables = {name: own.get(name) for name in names}
    return item, os.getpid(), os.sched_getscheduler(0), variables


def fail(item: int) -> None:
    if item:
        raise DatasetError(f"clip {item} is bad")
    raise ZeroDivisionError("no clips")


def die(item: int) -> None:
    os._exit(item)


def stay(path: Path) -> None:
    path.with_suffix(".new").write_text(str(os.getpid()))
    path.with_suffix(".new").rename(path)
    time.sleep(600)


def have_stay(path: Path) -> None:
    Aside(stay)(path)


def test_it_runs_at_low_priority_with_one_thread_beside_work_that_takes_every_cpu(cluster):
    def from_within(_: int) -> tuple[int, tuple[int, int, int, dict[str, str | None]]]:
        return os.nice(0), Aside(where)(7)

    ((_, (niceness, (item, pid, policy, variables))),) = cluster.map(from_within, [0])
    assert (item, policy) == (7, os.SCHED_IDLE)
    assert niceness - os.nice(0) <= 10  # else what is idle gets 8 % of a core that this one wants
    assert variables == {
        "OMP_NUM_THREADS": "1",
        "CUDA_VISIBLE_DEVICES": "",
        "VIDEOGEN_TEST_PLACE": "here",
    }
    assert _ends(pid)


def test_its_errors_arrive_as_themselves_or_with_their_names(cluster):
    with pytest.raises(DatasetError, match=r"^clip 3 is bad$"):
        Aside(fail)(3)
    with pytest.raises(StageFailedError, match=r"ZeroDivisionError: no clips"):
        Aside(fail)(0)
    with pytest.raises(StageFailedError, match=r"beside the work ended.*memory"):
        Aside(die)(1)


def test_closing_ends_a_call_and_its_process_and_no_other_begins(cluster, tmp_path):
    aside = Aside(stay)
    path = tmp_path / "pid"
    threading.Thread(target=lambda: (_read(path), aside.close())).start()
    with pytest.raises(StageFailedError, match="ended"):
        aside(path)
    assert _ends(_read(path))
    with pytest.raises(StageFailedError, match="no process is started"):
        aside(tmp_path / "other")


def test_it_ends_with_the_process_that_called_however_that_dies(cluster, tmp_path):
    path = tmp_path / "pid"
    caller = ray.remote(num_cpus=0)(_Caller).remote()
    pid = ray.get(caller.pid.remote())
    caller.call.remote(functools.partial(have_stay, path))
    aside = _read(path)
    psutil.Process(pid).kill()
    assert _ends(aside)


class _Caller:
    def pid(self) -> int:
        return os.getpid()

    def call(self, function) -> None:
        function()


def _read(path: Path) -> int:
    deadline = time.monotonic() + _TIMEOUT_S
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    return int(path.read_text())


def _ends(pid: int) -> bool:
    """Whether a process is gone within some seconds."""
    deadline = time.monotonic() + _TIMEOUT_S
    while time.monotonic() < deadline:
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.1)
    return False
