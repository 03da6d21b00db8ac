"""`Cluster` against a real Ray."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from videogen.config.settings import child_environment, environment_value
from videogen.errors import DatasetError, ServiceError, StageFailedError
from videogen.execution.mailbox import Mailbox
from videogen.execution.ray_session import Cluster, ClusterSpec
from videogen.progress import ProgressEvent

pytestmark = [
    pytest.mark.machine,
    # Ray leaves its log files to the garbage collector.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


def work(item: int) -> tuple[int, str | None]:
    if item < 0:
        raise DatasetError(f"item {item} is negative")
    return item * item, environment_value("VIDEOGEN_TEST_PLACE")


def die(item: int) -> None:
    os._exit(item)


def mark(path: Path) -> None:
    path.touch()
    time.sleep(60)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    environment = {
        "VIDEOGEN_TEST_PLACE": "here",
        "PYTHONPATH": str(Path(__file__).parent),  # workers import this module's functions
    }
    with Cluster(ClusterSpec(environment=environment, num_cpus=2)) as cluster:
        yield cluster


def test_map_gives_each_result_once_with_its_index_and_the_workers_environment(cluster):
    results = dict(cluster.map(work, iter(range(20)), max_in_flight=3))

    assert results == {index: (index * index, "here") for index in range(20)}


def test_a_tasks_error_arrives_as_itself(cluster):
    with pytest.raises(DatasetError, match=r"^item -1 is negative$"):
        list(cluster.map(work, [1, -1, 2]))


def test_a_worker_that_dies_again_and_again_fails_the_stage_and_names_the_item(cluster):
    with pytest.raises(StageFailedError, match=r"died 3 times while it worked on 7;"):
        list(cluster.map(die, [7]))


def count_up(item: int) -> Iterator[tuple[int, int]]:
    for step in range(3):
        yield item, step
        if item == 7 and step == 1:
            os._exit(1)
        if item < 0:
            raise DatasetError(f"item {item} is negative")


def test_a_stream_gives_what_workers_yield_and_what_stands_for_those_that_died(cluster, capsys):
    results = list(cluster.stream(count_up, iter([5, 7, 9]), lost=lambda item: [("lost", item)]))

    assert [result for index, result in results if index == 0] == [(5, 0), (5, 1), (5, 2)]
    assert [result for index, result in results if index == 2] == [(9, 0), (9, 1), (9, 2)]
    assert [result for index, result in results if index == 1][-1] == ("lost", 7)
    assert {result for index, result in results if index == 1} <= {(7, 0), (7, 1), ("lost", 7)}
    with pytest.raises(DatasetError, match=r"^item -1 is negative$"):
        list(cluster.stream(count_up, [-1], lost=lambda item: []))
    time.sleep(0.5)
    assert capsys.readouterr().out == "", "standard output belongs to --json; Ray tells of the dead"


def test_items_are_drawn_only_as_tasks_finish(cluster):
    drawn = []

    def items():
        for index in range(100):
            drawn.append(index)
            yield index

    results = cluster.map(work, items(), max_in_flight=2)
    next(results)
    results.close()

    assert len(drawn) <= 3


def test_stopping_early_cancels_what_is_outstanding(cluster, tmp_path):
    paths = [tmp_path / "a", tmp_path / "b"]
    results = cluster.map(_mark_or_return, [None, *paths], num_cpus=0.5, max_in_flight=3)
    next(results)
    deadline = time.monotonic() + 20
    while not all(path.exists() for path in paths) and time.monotonic() < deadline:
        time.sleep(0.05)

    results.close()

    # The two tasks would hold both CPUs for a minute.
    began = time.monotonic()
    assert len(list(cluster.map(work, [1, 2], num_cpus=1))) == 2
    assert time.monotonic() - began < 20


def _mark_or_return(path: Path | None) -> None:
    if path is not None:
        mark(path)


OWN = """
import sys, time
from videogen.execution.mailbox import Mailbox
from videogen.execution.ray_session import Cluster, ClusterSpec
with Cluster(ClusterSpec(num_cpus=1)) as cluster:
    cluster.connect()
    print(cluster._directory, flush=True)
    time.sleep(60)
"""


def _temporary_file(_: int) -> str:
    return tempfile.mkstemp()[1]


def test_what_workers_leave_goes_with_an_own_ray() -> None:
    # In a process of its own: this one is in the Ray of the fixture.
    here = str(Path(__file__).parent)
    program = (
        f"import sys; sys.path.insert(0, {here!r})\n"
        "from pathlib import Path\n"
        "from test_ray_session import _temporary_file\n"
        "from videogen.execution.ray_session import Cluster, ClusterSpec\n"
        f"spec = ClusterSpec(environment={{'PYTHONPATH': {here!r}}}, num_cpus=1)\n"
        "with Cluster(spec) as cluster:\n"
        "    [(_, left)] = cluster.map(_temporary_file, [0])\n"
        "    assert Path(left).exists()\n"
        "assert not Path(left).exists()\n"
    )
    subprocess.run(
        [sys.executable, "-c", program], check=True, env=child_environment({"TMPDIR": None})
    )


def test_ctrl_c_leaves_no_process_and_no_file_of_an_own_ray():
    program = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n" + OWN
    driver = subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    assert driver.stdout is not None
    temp_dir = Path(driver.stdout.readline().strip())
    assert temp_dir.is_dir()
    started = psutil.Process(driver.pid).children(recursive=True)
    assert started

    os.killpg(driver.pid, signal.SIGINT)

    assert driver.wait(30) == -signal.SIGINT
    _, alive = psutil.wait_procs(started, timeout=1)
    assert not alive
    assert not temp_dir.exists()


def test_an_address_where_nothing_listens_is_named_at_once():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

    began = time.monotonic()
    with pytest.raises(ServiceError, match=rf"no Ray answers at 127.0.0.1:{port}.*stack up"):
        Cluster(ClusterSpec(address=f"127.0.0.1:{port}")).connect()
    assert time.monotonic() - began < 10


def test_a_server_that_is_no_ray_is_named():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(ServiceError, match=rf"no Ray answers at {address}"):
            Cluster(ClusterSpec(address=address)).connect()


def test_an_address_without_a_port_is_refused():
    with pytest.raises(ServiceError, match="'head' is not HOST:PORT"):
        Cluster(ClusterSpec(address="head")).connect()


def test_a_mailbox_that_is_gone_is_one_error_that_says_what_to_look_at(cluster):
    cluster.connect()
    mailbox = Mailbox.open()
    mailbox.tell(ProgressEvent("train", message="here"))
    assert [event.message for event in mailbox.take()] == ["here"]
    mailbox.close()

    def take_until_it_is_gone() -> None:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:  # Ray ends a process without waiting for its end
            mailbox.take()

    with pytest.raises(ServiceError, match="videogen stack status"):
        take_until_it_is_gone()


def test_what_a_killed_process_leaves_is_gone_after_the_next_one() -> None:
    program = (
        "import os, signal, sys\n"
        "from videogen.execution.ray_session import Cluster, ClusterSpec\n"
        "with Cluster(ClusterSpec(num_cpus=1)) as cluster:\n"
        "    cluster.connect()\n"
        "    print(cluster._directory, flush=True)\n"
        "    if 'die' in sys.argv: os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    command = [sys.executable, "-c", program]
    killed = subprocess.run([*command, "die"], capture_output=True, text=True, check=False)
    left = Path(killed.stdout.strip())
    assert left.exists()
    deadline = time.monotonic() + 30
    while any(str(left) in word for one in psutil.process_iter() for word in _words(one)):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    long_ago = time.time() - 60
    os.utime(left, (long_ago, long_ago))
    subprocess.run(command, capture_output=True, check=True)
    assert not left.exists()


def _words(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def test_a_sigterm_while_ray_starts_ends_a_process_as_any_other() -> None:
    program = (
        "import signal, sys, threading, time, os\n"
        "from videogen.execution.ray_session import Cluster, ClusterSpec\n"
        "class Ended(BaseException): ...\n"
        "def end(*_): raise Ended\n"
        "signal.signal(signal.SIGTERM, end)\n"
        "def kill():\n"
        "    while signal.getsignal(signal.SIGTERM) is end: time.sleep(0.001)\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "threading.Thread(target=kill, daemon=True).start()\n"
        "try:\n"
        "    Cluster(ClusterSpec(num_cpus=1)).connect()\n"
        "except Ended: sys.exit(77)\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert ended.returncode == 77, ended.stderr


INTERRUPTED_WHILE_IMPORTING = """
import signal, sys
from videogen.execution.ray_session import Cluster, ClusterSpec

class Interruption:
    came = False
    def find_spec(self, name, path=None, target=None):
        if name == "ray._private.state" and not self.came:
            self.came = True
            signal.raise_signal(signal.SIGINT)

sys.meta_path.insert(0, Interruption())
try:
    Cluster(ClusterSpec(num_cpus=1)).connect()
except KeyboardInterrupt:
    print("interrupted", sys.meta_path[0].came)
"""


def test_an_interruption_while_ray_is_imported_stays_one():
    finished = subprocess.run(
        [sys.executable, "-c", INTERRUPTED_WHILE_IMPORTING],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert finished.stdout == "interrupted True\n", finished.stderr
