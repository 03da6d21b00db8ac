"""A start: whose ports are whose."""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from videogen.config.settings import Settings
from videogen.stack import lifecycle
from videogen.stack.ports import GRPC_OFFSET
from videogen.stack.prefect_server import PrefectServer
from videogen.stack.service import Launch, accepts

LISTENS = """
import socket, sys, time
first, second = (socket.socket() for _ in range(2))
for one, port in ((first, int(sys.argv[2])), (second, int(sys.argv[1]))):
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    one.bind(("127.0.0.1", port))
    one.listen()
    time.sleep(0.7)
time.sleep(600)
"""


class TwoPorts(PrefectServer):
    """Listens at its gRPC counterpart first, and a while later at its port."""

    def __init__(self) -> None:
        self.starts: list[int] = []

    def launch(self, settings: Settings, ports: Mapping[str, int]) -> Launch:
        del settings
        (port,) = ports.values()
        self.starts.append(port)
        return Launch((sys.executable, "-c", LISTENS, str(port), str(port + GRPC_OFFSET)), {})

    def answers(self, ports: Mapping[str, int]) -> bool:
        return accepts(*ports.values())


class Raced(TwoPorts):
    """Another program takes the port each time but the last, and lets go of it at once."""

    def launch(self, settings: Settings, ports: Mapping[str, int]) -> Launch:
        launch = super().launch(settings, ports)
        if len(self.starts) > 2:
            return launch
        return Launch((sys.executable, "-c", "raise SystemExit('Address already in use')"), {})


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(tmp_path, tmp_path, None, None, None)


@pytest.fixture(autouse=True)
def _nothing_left(settings: Settings) -> Iterator[None]:
    yield
    lifecycle.stop(TwoPorts(), settings)


def test_a_service_is_not_taken_for_another_program_while_it_opens_its_ports(
    settings: Settings,
) -> None:
    service = TwoPorts()
    record, _ = lifecycle.start(service, settings)
    assert service.starts == list(record.ports.values())


def test_a_lost_race_for_ports_goes_on_at_other_ports(settings: Settings) -> None:
    service = Raced()
    lifecycle.start(service, settings)
    assert len(set(service.starts)) == 3
