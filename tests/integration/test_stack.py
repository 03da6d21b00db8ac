"""The embedded services, really started: ports, crashes, starters side by side, nothing left."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil
import pytest

from videogen.config.settings import Settings, child_environment
from videogen.errors import ServiceError
from videogen.stack import embedded, lifecycle, processes, state
from videogen.stack.environment import exports, s3_environment
from videogen.stack.seaweedfs import SeaweedFS
from videogen.stack.service import Launch, marker_of
from videogen.storage.s3 import S3Store

pytestmark = pytest.mark.machine


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[Settings]:
    settings = Settings(tmp_path / "state", tmp_path / "cache", None, None, None)
    yield settings
    embedded.down(settings)
    assert processes.members(marker_of(settings, "s3")) == []


def record_of(settings: Settings) -> state.ServiceRecord:
    return state.load(settings.state_dir).services["s3"]


def store_of(settings: Settings) -> S3Store:
    return SeaweedFS().store(settings, record_of(settings).ports)


def kill(settings: Settings) -> None:
    process = record_of(settings).process
    assert process is not None
    os.kill(process.pid, signal.SIGKILL)
    psutil.wait_procs([psutil.Process(process.pid)], timeout=10)


def test_starting_twice_is_starting_once(settings: Settings) -> None:
    first = embedded.ensure_s3(settings)
    pid = record_of(settings).process
    second = embedded.ensure_s3(settings)

    assert (first.started, second.started) == (True, False)
    assert first.endpoint_url == second.endpoint_url
    assert record_of(settings).process == pid


def test_data_and_address_survive_a_stop_and_a_kill(settings: Settings) -> None:
    endpoint_url = embedded.ensure_s3(settings).endpoint_url
    store_of(settings).put("kept", b"over a stop")
    embedded.down(settings)
    assert embedded.ensure_s3(settings).endpoint_url == endpoint_url
    store_of(settings).put("kept too", b"over a kill")

    kill(settings)
    assert next(one.health for one in embedded.status(settings)) == "crashed"
    again = embedded.ensure_s3(settings)

    assert again.started
    assert again.endpoint_url == endpoint_url
    assert store_of(settings).get("kept").data == b"over a stop"
    assert store_of(settings).get("kept too").data == b"over a kill"


def test_data_survive_a_change_of_every_port(settings: Settings) -> None:
    embedded.ensure_s3(settings)
    store_of(settings).put("kept", b"bytes")
    before = record_of(settings).ports
    embedded.down(settings)

    listeners = [socket.create_server(("127.0.0.1", port)) for port in before.values()]
    try:
        embedded.ensure_s3(settings)
        store_of(settings).put("new", b"bytes too")
    finally:
        for listener in listeners:
            listener.close()

    assert not set(before.values()) & set(record_of(settings).ports.values())
    assert store_of(settings).get("kept").data == b"bytes"
    assert store_of(settings).get("new").data == b"bytes too"


class Unlucky(SeaweedFS):
    """Another program takes the S3 port just after it was chosen, `times` times."""

    def __init__(self, times: int) -> None:
        self._times = times
        self.taken: list[socket.socket] = []

    def launch(self, settings: Settings, ports: Mapping[str, int]) -> Launch:
        if len(self.taken) < self._times:
            self.taken.append(socket.create_server(("127.0.0.1", ports["s3"])))
        return super().launch(settings, ports)


def test_a_port_taken_between_choice_and_start_is_replaced(settings: Settings) -> None:
    service = Unlucky(times=1)

    record, started = lifecycle.start(service, settings)

    assert started
    assert record.ports["s3"] != service.taken[0].getsockname()[1]
    assert lifecycle.runs(record)
    service.taken[0].close()


class Broken(SeaweedFS):
    """Ends with a complaint instead of starting."""

    def launch(self, settings: Settings, ports: Mapping[str, int]) -> Launch:
        launch = super().launch(settings, ports)
        complaint = "raise SystemExit('no index\\nno room in the attic')"
        return Launch((sys.executable, "-c", complaint), launch.environment)


def test_a_service_that_ends_at_once_says_so_with_its_log(settings: Settings) -> None:
    with pytest.raises(ServiceError, match="no room in the attic") as caught:
        lifecycle.start(Broken(), settings)

    assert "logs/s3.log" in str(caught.value)
    assert "\n" not in str(caught.value)

    assert record_of(settings).process is None


def test_giving_up_stops_what_was_started(settings: Settings) -> None:
    given_up = threading.Event()
    given_up.set()

    with pytest.raises(ServiceError, match="stopped before"):
        lifecycle.start(SeaweedFS(), settings, given_up=given_up)

    assert processes.members(marker_of(settings, "s3")) == []


START = """
import sys
from pathlib import Path
from videogen.config.settings import Settings
from videogen.stack import embedded
service = embedded.ensure_s3(Settings(Path(sys.argv[1]), Path("cache"), None, None, None))
print(service.started, service.endpoint_url)
"""


def test_of_starters_side_by_side_one_starts_and_all_are_served(settings: Settings) -> None:
    command = [sys.executable, "-c", START, str(settings.state_dir)]
    starters = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]

    answers = [starter.communicate(timeout=60)[0].split() for starter in starters]

    assert sorted(started for started, _ in answers) == ["False", "False", "True"]
    assert len({endpoint_url for _, endpoint_url in answers}) == 1
    assert len(processes.members(marker_of(settings, "s3"))) == 1


def test_down_finds_services_whose_record_is_lost(settings: Settings) -> None:
    embedded.ensure_s3(settings)
    (settings.state_dir / "stack.json").unlink()

    assert embedded.down(settings) == 1

    assert processes.members(marker_of(settings, "s3")) == []


def test_a_start_with_a_lost_record_ends_the_old_server_first(settings: Settings) -> None:
    embedded.ensure_s3(settings)
    store_of(settings).put("kept", b"bytes")
    (settings.state_dir / "stack.json").unlink()

    assert embedded.ensure_s3(settings).started

    assert len(processes.members(marker_of(settings, "s3"))) == 1
    assert store_of(settings).get("kept").data == b"bytes"


def test_down_of_nothing_makes_nothing(settings: Settings) -> None:
    assert embedded.down(settings) == 0
    assert {one.health for one in embedded.status(settings)} == {"stopped"}
    assert not settings.state_dir.exists()


def test_the_last_borrower_stops_what_nobody_keeps(settings: Settings) -> None:
    with embedded.borrow_s3(settings) as first:
        with embedded.borrow_s3(settings) as second:
            assert (first.started, second.started) == (True, False)
        assert lifecycle.runs(record_of(settings))
    assert not lifecycle.runs(record_of(settings))


def test_a_service_ends_when_its_borrowers_were_killed(settings: Settings) -> None:
    program = (
        "import sys, time; from pathlib import Path\n"
        "from videogen.config.settings import Settings\n"
        "from videogen.stack import embedded\n"
        "settings = Settings(Path(sys.argv[1]), Path(sys.argv[1]), None, None, None)\n"
        "with embedded.borrow_s3(settings):\n"
        "    print('borrowed', flush=True); time.sleep(600)\n"
    )
    borrower = subprocess.Popen(
        [sys.executable, "-c", program, str(settings.state_dir)], stdout=subprocess.PIPE
    )
    assert borrower.stdout is not None
    assert borrower.stdout.readline() == b"borrowed\n"
    family = psutil.Process(borrower.pid).children(recursive=True)
    assert len(family) >= 2

    borrower.kill()
    borrower.communicate()

    _, alive = psutil.wait_procs(family, timeout=20)
    assert not alive
    assert record_of(settings).process is None


def test_an_earlier_borrower_leaves_it_to_the_later_one(settings: Settings) -> None:
    first, second = embedded.borrow_s3(settings), embedded.borrow_s3(settings)
    first.__enter__()
    second.__enter__()

    first.__exit__(None, None, None)
    assert lifecycle.runs(record_of(settings))
    second.__exit__(None, None, None)

    assert not lifecycle.runs(record_of(settings))


def test_borrowing_does_not_stop_what_is_kept(settings: Settings) -> None:
    with embedded.borrow_s3(settings):
        embedded.ensure_s3(settings)

    assert lifecycle.runs(record_of(settings))


def test_the_environment_leads_to_the_server_without_a_secret(settings: Settings) -> None:
    embedded.ensure_s3(settings)
    secret = (settings.state_dir / "s3" / "credentials").read_text().split()[-1]
    use = "import boto3; print(boto3.client('s3').list_buckets()['Buckets'][0]['Name'])"

    variables = s3_environment(settings)
    shell = exports(settings)

    assert secret not in "".join(str(value) for value in variables.values())
    assert secret in shell.values()
    for environment in (variables, dict(shell)):
        answer = subprocess.run(
            [sys.executable, "-c", use],
            env=child_environment({"AWS_ACCESS_KEY_ID": "other", **environment}),
            capture_output=True,
            text=True,
            check=True,
        )
        assert answer.stdout.strip() == "videogen"


def test_the_server_listens_on_loopback_alone_and_its_data_are_private(settings: Settings) -> None:
    embedded.ensure_s3(settings)

    listening = [
        connection.laddr.ip
        for process in processes.members(marker_of(settings, "s3"))
        for connection in process.net_connections(kind="tcp")
        if connection.status == psutil.CONN_LISTEN
    ]

    assert set(listening) == {"127.0.0.1"}
    for path in (settings.state_dir, settings.state_dir / "s3", settings.state_dir / "s3" / "data"):
        assert path.stat().st_mode & 0o077 == 0


def test_a_stopped_server_leaves_no_sockets(settings: Settings) -> None:
    embedded.ensure_s3(settings)
    ports = record_of(settings).ports
    kill(settings)

    embedded.down(settings)

    names = [path.name for path in Path(tempfile.gettempdir()).glob("seaweedfs-*.sock")]
    assert [name for name in names if any(str(port) in name for port in ports.values())] == []
