"""What the stack remembers: `stack.json`, written whole, and the lock that starters share."""

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal, get_args
from uuid import uuid4

from pydantic import TypeAdapter, ValidationError

from videogen.errors import ServiceError
from videogen.stack.processes import ProcessRecord

ServiceName = Literal["s3", "mlflow", "prefect", "ray"]
SERVICE_NAMES: tuple[ServiceName, ...] = get_args(ServiceName)
_LOCK_TIMEOUT_S = 180.0


@dataclass(frozen=True)
class ServiceRecord:
    """A service's ports, remembered over stops, and its process while it runs.

    A service that is not `kept` ends with the last command that borrowed it.
    """

    ports: dict[str, int]
    process: ProcessRecord | None = None
    kept: bool = False


@dataclass(frozen=True)
class StackState:
    """The content of `stack.json`."""

    version: Literal[1] = 1
    services: dict[ServiceName, ServiceRecord] = field(default_factory=dict)


_ADAPTER = TypeAdapter(StackState)


def load(state_dir: Path) -> StackState:
    """What is remembered; nothing where there is no file."""
    path = state_dir / "stack.json"
    try:
        return _ADAPTER.validate_json(path.read_bytes())
    except FileNotFoundError:
        return StackState()
    except (ValidationError, OSError) as error:
        raise ServiceError(
            f"cannot read {path}: remove it; `videogen stack down` then still finds the services"
        ) from error


def remember(state_dir: Path, name: ServiceName, record: ServiceRecord) -> None:
    """Replace one service's record; the caller holds that service's lock."""
    with locked(state_dir, "stack"):
        services = {**load(state_dir).services, name: record}
        document = json.dumps(asdict(StackState(services=services)), indent=2, sort_keys=True)
        write_privately(state_dir / "stack.json", document)


def write_privately(path: Path, text: str) -> None:
    """Write a file that only its owner can read, whole or not at all."""
    staged = path.with_name(f".staged-{uuid4().hex}")
    try:
        make_private(path.parent)
        handle = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        staged.replace(path)
    except OSError as error:
        raise unusable(path.parent, error) from error
    finally:
        staged.unlink(missing_ok=True)


def make_private(directory: Path) -> Path:
    """Make a directory that only its owner can enter; one that exists is left as it is."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise unusable(directory, error) from error
    return directory


@contextmanager
def locked(state_dir: Path, purpose: str) -> Iterator[None]:
    """Hold one lock of the state directory, which is made where it is missing."""
    make_private(state_dir)
    try:
        lock = (state_dir / f"{purpose}.lock").open("ab")
    except OSError as error:
        raise unusable(state_dir, error) from error
    with lock:
        _acquire(lock.fileno(), state_dir)
        yield


def _acquire(handle: int, state_dir: Path) -> None:
    deadline = time.monotonic() + _LOCK_TIMEOUT_S
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() > deadline:
                raise ServiceError(
                    f"another videogen has been starting or stopping the stack in {state_dir} for "
                    f"{_LOCK_TIMEOUT_S:.0f} s: end it, then try again"
                ) from error
            time.sleep(0.1)
        else:
            return


def unusable(directory: Path, error: OSError) -> ServiceError:
    """The error for a directory of the stack that cannot be written."""
    return ServiceError(
        f"cannot write the state directory {directory}: {error.strerror or error}: "
        "free some room, mend its rights, or set VIDEOGEN_HOME to another directory"
    )
