"""MLflow's server and pages, on the SQLite file that runs without it use directly.

Artifacts are not proxied: clients write to and read from S3 themselves, so an experiment made with
the server up is the same as one made without it. The server has S3 access of its own for its pages.
"""

import fcntl
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

from videogen.config.settings import Settings
from videogen.stack import state
from videogen.stack.service import LOOPBACK, Launch, Service, answers_get
from videogen.stack.state import ServiceName


def sqlite_uri(settings: Settings) -> str:
    """The tracking URI of the embedded MLflow without a server."""
    return f"sqlite:///{settings.state_dir / 'mlflow' / 'mlflow.db'}"


class MlflowServer(Service):
    """One `mlflow server` with one worker; `s3_variables` is how it reaches the embedded S3."""

    name: ClassVar[ServiceName] = "mlflow"
    usual_ports: ClassVar[Mapping[str, int]] = {"http": 20010}
    needed_roles: ClassVar[tuple[str, ...]] = ("http",)
    start_timeout_s: ClassVar[float] = 120.0
    stop_grace_s: ClassVar[float] = 5.0

    def __init__(
        self, artifact_root: str = "", s3_variables: Mapping[str, str | None] | None = None
    ) -> None:
        self._artifact_root = artifact_root
        self._s3_variables = dict(s3_variables or {})

    def address(self, ports: Mapping[str, int]) -> str:
        """The tracking URI."""
        return f"http://{LOOPBACK}:{ports['http']}"

    def page(self, ports: Mapping[str, int]) -> str | None:
        """Experiments and models."""
        return self.address(ports)

    def data_path(self, settings: Settings) -> Path:
        """The SQLite file."""
        return settings.state_dir / "mlflow" / "mlflow.db"

    def launch(self, settings: Settings, ports: Mapping[str, int]) -> Launch:
        """See `Service.launch`."""
        state.make_private(self.data_path(settings).parent)
        command = (
            sys.executable,
            *("-m", "mlflow", "server"),
            *("--backend-store-uri", sqlite_uri(settings)),
            *("--default-artifact-root", self._artifact_root),
            "--no-serve-artifacts",
            *("--host", LOOPBACK),
            *("--port", str(ports["http"])),
            *("--workers", "1"),
        )
        environment = {
            **self._s3_variables,
            "DO_NOT_TRACK": "true",
            "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "MLFLOW_TRACKING_URI": None,
        }
        return Launch(command, environment)

    @contextmanager
    def starting(self, settings: Settings) -> Iterator[None]:
        """Hold the lock under which `videogen.tracking` makes the schema, as the server does."""
        database = self.data_path(settings)
        state.make_private(database.parent)
        with database.with_name(f"{database.name}.lock").open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def answers(self, ports: Mapping[str, int]) -> bool:
        """Whether it reaches its database."""
        return answers_get(ports["http"], "/health")
