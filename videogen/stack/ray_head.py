"""A Ray head of this machine, behind a token: Ray cannot be held to loopback."""

import hashlib
import secrets
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from videogen.config.settings import Settings, environment_value
from videogen.stack import state
from videogen.stack.service import LOOPBACK, Launch, Service, accepts, answers_get
from videogen.stack.state import ServiceName

_OBJECT_STORE_BYTES = 200_000_000
_SHORT_ROOT = "/tmp"  # noqa: S108 - a socket's path may have 107 bytes; TMPDIR can be too long


def token_file(settings: Settings) -> Path:
    """The token that joins a driver to the head, mode 0600."""
    return settings.state_dir / "ray" / "token"


def token_environment(settings: Settings) -> dict[str, str]:
    """How a driver or a job client shows the token, by its path."""
    return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token_file(settings))}


class RayHead(Service):
    """One `ray start --head --block`; `s3_variables` is how its workers reach the embedded S3."""

    name: ClassVar[ServiceName] = "ray"
    usual_ports: ClassVar[Mapping[str, int]] = {
        "gcs": 20030,
        "dashboard": 20031,
        "client": 20032,
        "agent": 20033,
        "node": 20034,
        "objects": 20035,
        "agent-grpc": 20036,
        "runtime-env": 20037,
        "metrics": 20038,
    }
    needed_roles: ClassVar[tuple[str, ...]] = (
        "gcs",
        "dashboard",
        "node",
        "objects",
        "agent",
        "runtime-env",
    )
    start_timeout_s: ClassVar[float] = 120.0
    stop_grace_s: ClassVar[float] = 5.0

    def __init__(self, s3_variables: Mapping[str, str | None] | None = None) -> None:
        self._s3_variables = dict(s3_variables or {})

    def address(self, ports: Mapping[str, int]) -> str:
        """What drivers connect to."""
        return f"{LOOPBACK}:{ports['gcs']}"

    def page(self, ports: Mapping[str, int]) -> str | None:
        """The dashboard, which is also the address for Ray jobs."""
        return f"http://{LOOPBACK}:{ports['dashboard']}"

    def data_path(self, settings: Settings) -> Path:
        """Its token; it keeps no data over a stop."""
        return token_file(settings)

    def launch(self, settings: Settings, ports: Mapping[str, int]) -> Launch:
        """See `Service.launch`. Socket paths allow a directory of about 45 characters."""
        token = token_file(settings)
        if not token.exists():
            state.write_privately(token, secrets.token_hex(32))
        scratch = Path(tempfile.mkdtemp(prefix=_scratch_prefix(settings), dir=_SHORT_ROOT))
        options = {
            "port": ports["gcs"],
            "node-ip-address": LOOPBACK,
            "ray-client-server-port": ports["client"],
            "dashboard-host": LOOPBACK,
            "dashboard-port": ports["dashboard"],
            "dashboard-agent-listen-port": ports["agent"],
            "dashboard-agent-grpc-port": ports["agent-grpc"],
            "node-manager-port": ports["node"],
            "object-manager-port": ports["objects"],
            "runtime-env-agent-port": ports["runtime-env"],
            "metrics-export-port": ports["metrics"],
            "include-dashboard": "true",
            "object-store-memory": _OBJECT_STORE_BYTES,
            "temp-dir": scratch,
        }
        command = (
            *(sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block"),
            "--disable-usage-stats",
            *(f"--{name}={value}" for name, value in options.items()),
        )
        environment = {
            **self._s3_variables,
            **token_environment(settings),
            "DO_NOT_TRACK": "true",
            "RAY_ADDRESS": None,
            "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
            "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "0",
            "RAY_TMPDIR": str(scratch),
            "RAY_worker_niceness": "10",  # as a Ray of one command's, see `execution.aside`
            # Its dashboard leaves sockets in the temporary directory, and killed workers files.
            "TMPDIR": environment_value("TMPDIR") or str(scratch),
            "RAY_USAGE_STATS_ENABLED": "0",
        }
        return Launch(command, environment)

    def answers(self, ports: Mapping[str, int]) -> bool:
        """Whether the dashboard reaches the cluster's store, and the node takes connections."""
        return accepts(ports["node"]) and answers_get(ports["dashboard"], "/api/gcs_healthz")

    def clean_up(self, settings: Settings, ports: Mapping[str, int]) -> None:  # noqa: ARG002 - see Service
        """Remove logs and sockets of this and earlier heads of the state directory."""
        for scratch in Path(_SHORT_ROOT).glob(f"{_scratch_prefix(settings)}*"):
            shutil.rmtree(scratch, ignore_errors=True)


def _scratch_prefix(settings: Settings) -> str:
    return f"vg-{hashlib.sha256(str(settings.state_dir).encode()).hexdigest()[:10]}-"
