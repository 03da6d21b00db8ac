"""What the four services of the stack have in common."""

import http.client
import socket
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol

from videogen.config.settings import Settings
from videogen.stack.state import ServiceName

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class Launch:
    """How to start a service on the ports chosen for it.

    `environment` changes ours, None takes a variable away.
    """

    command: tuple[str, ...]
    environment: Mapping[str, str | None]


class Service(Protocol):
    """One service of the stack."""

    name: ClassVar[ServiceName]
    usual_ports: ClassVar[Mapping[str, int]]
    """For each role the port that is taken where it is free; the first is the one clients use."""
    needed_roles: ClassVar[tuple[str, ...]]
    """The ports that it must hold itself before it is of use."""
    start_timeout_s: ClassVar[float]
    stop_grace_s: ClassVar[float]
    """How long it may take to end after SIGTERM."""

    def address(self, ports: Mapping[str, int]) -> str:
        """What clients are given."""

    def page(self, ports: Mapping[str, int]) -> str | None:
        """What a person opens in a browser."""

    def data_path(self, settings: Settings) -> Path:
        """Where it keeps its data."""

    def launch(self, settings: Settings, ports: Mapping[str, int]) -> Launch:
        """Prepare directories and files, and say how to start."""

    def starting(self, settings: Settings) -> AbstractContextManager[None]:
        """What to hold while it starts; by default nothing."""
        del settings
        return nullcontext()

    def answers(self, ports: Mapping[str, int]) -> bool:
        """Whether a real request succeeds now."""

    def settle(self, settings: Settings, ports: Mapping[str, int]) -> None:
        """Do what is left to do once it answers; by default nothing."""
        del settings, ports

    def clean_up(self, settings: Settings, ports: Mapping[str, int]) -> None:
        """Remove what a stopped service leaves outside the state directory; by default nothing."""
        del settings, ports


def marker_of(settings: Settings, name: ServiceName) -> str:
    """What the processes of a service carry in their environment."""
    return f"{settings.state_dir}:{name}"


def log_of(settings: Settings, name: ServiceName) -> Path:
    """Where a service's output goes."""
    return settings.state_dir / "logs" / f"{name}.log"


def answers_get(port: int, path: str, timeout_s: float = 2.0) -> bool:
    """Whether a GET on loopback is answered with 200."""
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=timeout_s)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def accepts(port: int, timeout_s: float = 1.0) -> bool:
    """Whether something on loopback takes connections at `port`."""
    try:
        socket.create_connection((LOOPBACK, port), timeout=timeout_s).close()
    except OSError:
        return False
    return True
