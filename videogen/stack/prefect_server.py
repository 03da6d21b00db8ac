"""Prefect's API server and pages, on SQLite below the state directory."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from videogen.config.settings import Settings
from videogen.stack import state
from videogen.stack.service import LOOPBACK, Launch, Service, answers_get
from videogen.stack.state import ServiceName


def prefect_home(settings: Settings) -> Path:
    """Where Prefect keeps its database, profiles and results."""
    return settings.state_dir / "prefect"


class PrefectServer(Service):
    """One `prefect server`, which a flow's SIGTERM or SIGKILL does not touch."""

    name: ClassVar[ServiceName] = "prefect"
    usual_ports: ClassVar[Mapping[str, int]] = {"http": 20020}
    needed_roles: ClassVar[tuple[str, ...]] = ("http",)
    start_timeout_s: ClassVar[float] = 120.0
    stop_grace_s: ClassVar[float] = 5.0

    def address(self, ports: Mapping[str, int]) -> str:
        """The API URL."""
        return f"http://{LOOPBACK}:{ports['http']}/api"

    def page(self, ports: Mapping[str, int]) -> str | None:
        """Flow runs."""
        return f"http://{LOOPBACK}:{ports['http']}"

    def data_path(self, settings: Settings) -> Path:
        """The home, with the SQLite file."""
        return prefect_home(settings)

    def launch(self, settings: Settings, ports: Mapping[str, int]) -> Launch:
        """See `Service.launch`. A home that is missing costs Prefect 23 s and a traceback."""
        home = state.make_private(prefect_home(settings))
        command = (
            sys.executable,
            *("-m", "prefect", "server", "start"),
            *("--host", LOOPBACK),
            *("--port", str(ports["http"])),
        )
        environment = {
            "DO_NOT_TRACK": "true",
            "PREFECT_API_URL": None,
            "PREFECT_HOME": str(home),
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "PREFECT_SERVER_UI_API_URL": self.address(ports),  # else its pages ask port 4200
        }
        return Launch(command, environment)

    def answers(self, ports: Mapping[str, int]) -> bool:
        """Whether the API is up."""
        return answers_get(ports["http"], "/api/health")
