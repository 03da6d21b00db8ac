"""A Ray of this process's own, or one that it joins: entered lazily, left without a trace.

Owns the way in and out of Ray and the fan-out of tasks. Ray is imported when it is first needed,
so that a stage with nothing to do pays nothing for it.
"""

import logging
import secrets
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self, TypeVar

from videogen.config.settings import apply_environment, environment_value
from videogen.errors import ServiceError
from videogen.execution.leftovers import claim_directory
from videogen.execution.offspring import end, offspring
from videogen.execution.ray_address import require_answer
from videogen.execution.uninterrupted import uninterrupted

Item = TypeVar("Item")
Result = TypeVar("Result")

OBJECT_STORE_BYTES = 200_000_000
_END_GRACE_S = 2.0
_REMOVE_TIMEOUT_S = 5.0
_REMOVE_INTERVAL_S = 0.1
_SHORT_TEMP_ROOT = "/tmp"  # noqa: S108 - a socket's path may have 107 bytes; TMPDIR can be too long
_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_IGNORE_UNHANDLED_ERRORS": "1",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_TRAIN_ENABLE_PRINT_PATCH": "0",
    "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "0",
    "RAY_worker_niceness": "10",  # 15 by default: too near to what is idle, see `aside`
}


@dataclass(frozen=True)
class ClusterSpec:
    """Which Ray to use.

    `environment` is set in every worker: paths of credential files and endpoints, never secrets.
    `num_cpus` bounds a Ray of our own; None takes what the machine has.
    """

    address: str | None = None
    environment: dict[str, str] = field(default_factory=dict)
    num_cpus: int | None = None


class Cluster:
    """The Ray of a `ClusterSpec`, joined or started by the first `connect` and left by `close`."""

    def __init__(self, spec: ClusterSpec) -> None:
        self.spec = spec
        self._connected = False
        self._directory: Path | None = None
        self._lock: BinaryIO | None = None
        self._environment_before: dict[str, str | None] = {}

    def __enter__(self) -> Self:
        """Nothing is started here."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Leave Ray."""
        self.close()

    @property
    def connected(self) -> bool:
        """Whether `connect` was called, and `close` was not."""
        return self._connected

    def connect(self) -> None:
        """Join the Ray at `spec.address`, or start one; no effect where that is done.

        Raises:
            ServiceError: the address does not answer, or Ray does not start.
        """
        if self._connected:
            return
        try:
            if self.spec.address is None:
                self._start()
            else:
                self._join(self.spec.address)
        except BaseException:
            self.close()
            raise
        self._connected = True

    def close(self) -> None:
        """Leave Ray; a Ray of our own is stopped and its files are removed."""
        if self._connected or self._environment_before:
            import ray  # noqa: PLC0415 - Ray is loaded only where it is used

            started = offspring(str(self._directory)) if self._directory is not None else []
            ray.shutdown()
            end(started, _END_GRACE_S)  # an agent that Ray forgets looks for it for a minute
        self._connected = False
        if self._directory is not None:
            _remove(self._directory)
            self._directory = None
        if self._lock is not None:
            self._lock.close()
            self._lock = None
        apply_environment(self._environment_before)
        self._environment_before = {}

    def num_cpus(self) -> int:
        """CPUs of the whole cluster, at least 1; connects."""
        return max(1, int(self._resources().get("CPU", 1)))

    def num_gpus(self) -> int:
        """GPUs of the whole cluster; connects."""
        return int(self._resources().get("GPU", 0))

    def map(
        self,
        function: Callable[[Item], Result],
        items: Iterable[Item],
        *,
        num_cpus: float = 1,
        num_gpus: float = 0,
        max_in_flight: int | None = None,
    ) -> Iterator[tuple[int, Result]]:
        """`(index, function(item))` of each item, as they finish.

        Each item is a task of `num_cpus` CPUs and `num_gpus` GPUs in a worker process. At most
        `max_in_flight` are submitted at a time (by default two for each that can run at once), and
        `items` is drawn from as they finish, so it may be long. What is outstanding is cancelled
        when the caller stops early, is interrupted, or a task fails.

        Raises:
            VideogenError: the very error that a task raised.
            StageFailedError: a worker process died under the same item again and again.
        """
        self.connect()
        from videogen.execution.fan_out import map_tasks  # noqa: PLC0415 - it loads Ray

        at_once = self.num_cpus() / num_cpus
        if num_gpus:
            at_once = min(at_once, self.num_gpus() / num_gpus)
        limit = max_in_flight or 2 * max(1, int(at_once))
        yield from map_tasks(function, items, num_cpus=num_cpus, num_gpus=num_gpus, limit=limit)

    def stream(
        self,
        function: Callable[[Item], Iterable[Result]],
        items: Iterable[Item],
        *,
        lost: Callable[[Item], Iterable[Result]],
        max_in_flight: int | None = None,
    ) -> Iterator[tuple[int, Result]]:
        """`(index, result)` of all that `function(item)` yields, item by item, as it is yielded.

        Each item is a task of one CPU in a worker process; submitted, drawn and cancelled as by
        `map`. Nothing is tried again here: where a worker dies, `lost(item)` is called in this
        process, and what it answers stands for the rest of what the worker would have yielded.

        Raises:
            VideogenError: the very error that a task raised.
        """
        self.connect()
        from videogen.execution.fan_out import stream_tasks  # noqa: PLC0415 - it loads Ray

        limit = max_in_flight or 2 * self.num_cpus()
        yield from stream_tasks(function, items, limit=limit, lost=lost)

    def _resources(self) -> dict[str, float]:
        self.connect()
        import ray  # noqa: PLC0415 - Ray is loaded only where it is used

        resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call] # Ray's
        return resources

    def _join(self, address: str) -> None:
        require_answer(address)
        self._change_environment(dict(_QUIET))
        self._init({"address": address})

    def _start(self) -> None:
        self._directory, self._lock = claim_directory(Path(_SHORT_TEMP_ROOT), "vg-")
        token = self._directory / "token"
        token.touch(mode=0o600)
        token.write_text(secrets.token_hex(32))
        self._change_environment(
            {**_QUIET, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token)}
        )
        self._init(
            {
                "address": "local",
                "num_cpus": self.spec.num_cpus,
                "object_store_memory": OBJECT_STORE_BYTES,
                "include_dashboard": False,
                "_temp_dir": str(self._directory / "ray"),  # Ray gives it mode 0777
            }
        )

    def _init(self, options: dict[str, Any]) -> None:
        with uninterrupted():  # a Ray that is half imported cannot even be left
            import ray  # noqa: PLC0415 - Ray is loaded only where it is used
            from ray._private import worker  # noqa: PLC0415 - as above
            from ray._raylet import (  # type: ignore[attr-defined]  # noqa: PLC0415 - compiled
                AuthenticationTokenLoader,
                Config,
            )
            from ray.exceptions import RayError  # noqa: PLC0415 - as above

        Config.initialize("")  # Ray read the environment when it was imported, maybe before us
        AuthenticationTokenLoader.instance().reset_cache()
        environment = dict(self.spec.environment)
        if self._directory is not None and environment_value("TMPDIR") is None:
            environment["TMPDIR"] = str(self._directory)  # what killed workers leave goes with it
        try:
            with _signal_handlers_kept():
                ray.init(
                    **options,
                    runtime_env={"env_vars": environment} if environment else None,
                    log_to_driver=False,
                    logging_level=logging.ERROR,
                )
            worker._worker_logs_enabled = False  # noqa: SLF001 - Ray tells of dead workers on stdout
        except (RayError, RuntimeError, ValueError, OSError) as error:
            if self.spec.address is None:
                raise ServiceError(f"Ray does not start: {_first_line(error)}") from error
            raise ServiceError(
                f"the Ray at {self.spec.address} cannot be joined: {_first_line(error)}; check "
                "that RAY_AUTH_TOKEN_PATH names its token (`videogen stack env`), or unset "
                "execution.ray_address and RAY_ADDRESS for a Ray of this process"
            ) from error

    def _change_environment(self, changes: dict[str, str | None]) -> None:
        self._environment_before = {name: environment_value(name) for name in changes}
        apply_environment(changes)


def _remove(directory: Path) -> None:
    """Remove a directory that processes which are ending may still write to."""
    deadline = time.monotonic() + _REMOVE_TIMEOUT_S
    while directory.exists() and time.monotonic() < deadline:
        shutil.rmtree(directory, ignore_errors=True)
        if directory.exists():
            time.sleep(_REMOVE_INTERVAL_S)


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


@contextmanager
def _signal_handlers_kept() -> Iterator[None]:
    """Take back the SIGTERM handler that `ray.init` installs, and answer a SIGTERM that it got."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    except SystemExit as ended:
        handler = before[signal.SIGTERM]
        if ended.code == signal.SIGTERM and callable(handler):  # as Ray's handler leaves
            handler(signal.SIGTERM, None)
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
