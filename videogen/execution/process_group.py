"""A child process that leads a session of its own, and is ended together with its whole group."""

import os
import select
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from videogen.config.settings import child_environment
from videogen.errors import ServiceError
from videogen.execution.lifeline import lifeline_environment

_POLL_S = 0.1
_TERMINATE_GRACE_S = 5.0
_CHUNK_BYTES = 1 << 16


class ProcessGroup:
    """A running command; its standard error is read by `lines`, its standard output is a file."""

    def __init__(
        self, command: Sequence[str], *, environment: Mapping[str, str | None], output: Path
    ) -> None:
        """Start it. Raises `ServiceError` where the system refuses."""
        try:
            with output.open("ab") as standard_output:
                self._process = subprocess.Popen(  # noqa: S603 - a list of arguments, no shell
                    command,
                    env=child_environment({**environment, **lifeline_environment()}),
                    stdin=subprocess.PIPE,
                    stdout=standard_output,
                    stderr=subprocess.PIPE,
                    start_new_session=True,
                )
        except OSError as error:
            raise ServiceError(f"{command[0]!r} cannot be started: {error}") from error

    @property
    def running(self) -> bool:
        """Whether the leader has not ended. It is not reaped here, so its id stays ours."""
        if self._process.returncode is not None:
            return False
        flags = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return os.waitid(os.P_PID, self._process.pid, flags) is None

    def lines(self) -> Iterator[str]:
        """Lines of standard error until the leader ends; what outlives it is not waited for."""
        pipe = self._process.stderr
        if pipe is None or pipe.closed:
            return
        pending = b""
        while True:
            ended = not self.running
            ready, _, _ = select.select([pipe], [], [], 0 if ended else _POLL_S)
            chunk = os.read(pipe.fileno(), _CHUNK_BYTES) if ready else b""
            *whole, pending = (pending + chunk).split(b"\n")
            yield from (line.decode(errors="replace").rstrip("\r") for line in whole)
            if not chunk and (ended or ready):
                break
        if pending:
            yield pending.decode(errors="replace")

    def finish(self) -> int:
        """Wait for the leader, end what is left of its group, and give its exit status."""
        while self.running:
            time.sleep(_POLL_S)
        if self._process.returncode is None:
            self._signal(signal.SIGKILL)
        for pipe in (self._process.stdin, self._process.stderr):
            if pipe is not None:
                pipe.close()
        return self._process.wait()

    def stop(self, grace_s: float) -> int:
        """SIGINT, `grace_s` later SIGTERM, then SIGKILL, to the whole group; the exit status.

        An interruption of this call skips to SIGKILL.
        """
        try:
            for number, wait_s in (
                (signal.SIGINT, grace_s),
                (signal.SIGTERM, _TERMINATE_GRACE_S),
            ):
                if self.running:
                    self._signal(number)
                    self._drain(wait_s)
        finally:
            if self.running:
                self._signal(signal.SIGKILL)
            status = self.finish()
        return status

    def _drain(self, wait_s: float) -> None:
        """Wait for the end, reading on so that the child does not block on a full pipe."""
        deadline = time.monotonic() + wait_s
        while self.running and time.monotonic() < deadline:
            pipe = self._process.stderr
            ready = select.select([pipe], [], [], _POLL_S)[0] if pipe else []
            if not (ready and pipe and os.read(pipe.fileno(), _CHUNK_BYTES)):
                time.sleep(_POLL_S)

    def _signal(self, number: int) -> None:
        try:
            os.killpg(self._process.pid, number)
        except ProcessLookupError:
            return
