"""The embedded stack as the rest of videogen uses it."""

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from videogen.config.settings import Settings
from videogen.errors import StorageError
from videogen.progress import Progress, ProgressEvent, silent
from videogen.stack import lifecycle, state
from videogen.stack.borrowing import borrow
from videogen.stack.environment import (
    environment,
    exports,
    s3_environment,
    services_environment,
    tracking_uri,
)
from videogen.stack.mlflow_server import MlflowServer
from videogen.stack.prefect_server import PrefectServer
from videogen.stack.ray_head import RayHead, token_file
from videogen.stack.seaweedfs import ROOT, SeaweedFS
from videogen.stack.service import Service, log_of
from videogen.stack.state import ServiceName, ServiceRecord

__all__ = [
    "S3Service",
    "ServiceStatus",
    "borrow_prefect",
    "borrow_ray",
    "borrow_s3",
    "down",
    "ensure_s3",
    "environment",
    "exports",
    "s3_environment",
    "services_environment",
    "status",
    "tracking_uri",
    "up",
]

Health = Literal["healthy", "unhealthy", "crashed", "stopped"]


@dataclass(frozen=True)
class S3Service:
    """The running embedded S3."""

    root: str
    endpoint_url: str
    started: bool
    """Whether it was started by this call."""


@dataclass(frozen=True)
class ServiceStatus:
    """What a person, or a program, wants to know of a service."""

    name: ServiceName
    health: Health
    address: str | None
    page: str | None
    """What to open in a browser."""
    pid: int | None
    data: Path
    notes: tuple[str, ...] = ()

    def document(self) -> dict[str, Any]:
        """The status as JSON-ready values."""
        return {**asdict(self), "data": str(self.data), "notes": list(self.notes)}


def ensure_s3(settings: Settings, progress: Progress = silent) -> S3Service:
    """Start the embedded S3 unless it runs, and keep it; its bucket exists, its keys are written.

    Raises `ServiceError` where it does not start.
    """
    return _as_s3(*lifecycle.start(SeaweedFS(), settings, progress))


@contextmanager
def borrow_s3(settings: Settings, progress: Progress = silent) -> Iterator[S3Service]:
    """The embedded S3 for the length of the block; its last borrower stops it unless it is kept."""
    with borrow(SeaweedFS(), settings, progress) as (record, started):
        yield _as_s3(record, started)


@contextmanager
def borrow_prefect(settings: Settings, progress: Progress = silent) -> Iterator[str]:
    """Prefect's API URL for the length of the block; see `borrow_s3`."""
    with borrow(PrefectServer(), settings, progress) as (record, _):
        yield PrefectServer().address(record.ports)


@contextmanager
def borrow_ray(settings: Settings, progress: Progress = silent) -> Iterator[str]:
    """The address of a Ray head for the length of the block; see `borrow_s3`."""
    with borrow(RayHead(), settings, progress) as (record, _):
        yield RayHead().address(record.ports)


def up(settings: Settings, progress: Progress = silent) -> list[ServiceStatus]:
    """Start, and keep, what is not running; the services after S3 side by side.

    Raises `ServiceError`; what this call started is stopped then, and after Ctrl-C too.
    """
    before = s3_environment(settings) or None
    started: list[Service] = []
    complete = False
    try:
        if ensure_s3(settings, progress).started:
            started.append(SeaweedFS())
        s3_variables = s3_environment(settings)
        if before is not None and before != s3_variables:
            lifecycle.stop(MlflowServer(), settings)  # it would go on asking at the old address
        others = [MlflowServer(f"{ROOT}/mlflow", s3_variables), PrefectServer(), RayHead()]
        _start_together(others, settings, progress, started)
        complete = True
    finally:
        if not complete:
            _stop_together(started, settings)
    return status(settings)


def down(settings: Settings, progress: Progress = silent) -> int:
    """End every service with all it started, S3 last; how many processes ended. Data stay."""
    if not settings.state_dir.is_dir():
        return 0
    progress(ProgressEvent("stack", message="stopping MLflow, Prefect and Ray, then S3"))
    ended = _stop_together([MlflowServer(), PrefectServer(), RayHead()], settings)
    return ended + lifecycle.stop(SeaweedFS(), settings)


def status(settings: Settings) -> list[ServiceStatus]:
    """The state of each service, asked by a real request."""
    known = state.load(settings.state_dir).services
    services: list[Service] = [SeaweedFS(), MlflowServer(), PrefectServer(), RayHead()]
    return [_status_of(service, settings, known.get(service.name)) for service in services]


def _as_s3(record: ServiceRecord, started: bool) -> S3Service:  # noqa: FBT001 - half of a pair
    return S3Service(ROOT, SeaweedFS().address(record.ports), started)


def _start_together(
    services: Sequence[Service], settings: Settings, progress: Progress, started: list[Service]
) -> None:
    """Start services side by side; those that this call started are added to `started`."""
    given_up, showing = threading.Event(), threading.Lock()

    def show(event: ProgressEvent) -> None:
        with showing:
            progress(event)

    def start(service: Service) -> None:
        if lifecycle.start(service, settings, show, given_up=given_up)[1]:
            started.append(service)

    with ThreadPoolExecutor(len(services)) as pool:
        futures = [pool.submit(start, service) for service in services]
        try:
            for future in futures:
                future.result()
        finally:
            given_up.set()


def _stop_together(services: Sequence[Service], settings: Settings) -> int:
    if not services:
        return 0
    with ThreadPoolExecutor(len(services)) as pool:
        return sum(pool.map(lambda service: lifecycle.stop(service, settings), services))


def _status_of(service: Service, settings: Settings, record: ServiceRecord | None) -> ServiceStatus:
    data = service.data_path(settings)
    if record is None or record.process is None:
        return ServiceStatus(service.name, "stopped", None, None, None, data)
    address, page = service.address(record.ports), service.page(record.ports)
    health, problems = _health(service, settings, record)
    notes = (*problems, *_notes(service, settings, record))
    return ServiceStatus(service.name, health, address, page, record.process.pid, data, notes)


def _health(
    service: Service, settings: Settings, record: ServiceRecord
) -> tuple[Health, tuple[str, ...]]:
    log = log_of(settings, service.name)
    if not lifecycle.runs(record):
        return "crashed", (f"it ended by itself; `videogen stack up` starts it again; log: {log}",)
    if not service.answers(record.ports):
        return "unhealthy", (f"it runs but does not answer; log: {log}",)
    if isinstance(service, SeaweedFS):
        try:
            service.store(settings, record.ports).check_bucket()
        except StorageError as error:
            return "unhealthy", (str(error),)
    return "healthy", ()


def _notes(service: Service, settings: Settings, record: ServiceRecord) -> tuple[str, ...]:
    match service.name:
        case "s3":
            return (
                "videogen commands, loading registered models and MLflow's pictures need it up",
                f"keys guard S3 alone: port {record.ports['filer']} (filer) is open to local users",
            )
        case "mlflow":
            return ("shows artifacts while S3 is up; without this server, use the SQLite file",)
        case "prefect":
            return ()
        case "ray":
            return (
                f"its page and its clients ask for the token in {token_file(settings)}",
                "it listens on every address of this machine; the token is its protection",
            )
