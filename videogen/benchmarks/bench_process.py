"""A process that measures, on cores of its own, away from whatever else this program does.

It lives for all repetitions of one kind of run, so that what is loaded once is loaded before the
first that counts, and its peak memory is that of this kind of run alone. It ends when its end of
the pipe is closed, so also when this program is killed.
"""

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Self

from videogen.config.settings import apply_environment, environment_value
from videogen.errors import StageFailedError, VideogenError
from videogen.training.peak_memory import peak_rss_bytes

Work = Callable[[], int]
"""One run; the frames that it went through. Sent to the process: a partial of module functions."""

_END_TIMEOUT_S = 10.0
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


@dataclass(frozen=True)
class Measured:
    """One run, as its own process saw it."""

    frames: int
    seconds: float
    cpu_seconds: float
    peak_rss_bytes: int
    """Of the process since it started."""


class BenchProcess:
    """A process pinned to some cores, with one thread of computation; a context manager."""

    def __init__(self, cores: set[int]) -> None:
        context = get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, cores), daemon=True)
        self._theirs = theirs

    def __enter__(self) -> Self:
        # Before it starts: the main module, which it imports first, may already load torch.
        before = {name: environment_value(name) for name in _ONE_THREAD}
        apply_environment(_ONE_THREAD)
        self._process.start()
        apply_environment(before)
        self._theirs.close()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._pipe.close()
        if error is not None:
            self._process.terminate()
        self._process.join(_END_TIMEOUT_S)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()

    def measure(self, work: Work) -> Measured:
        """Run once and wait. Raises the `VideogenError` of the work, and `StageFailedError`."""
        try:
            self._pipe.send(work)
            answer = self._pipe.recv()
        except (EOFError, OSError) as error:
            self._process.join(_END_TIMEOUT_S)
            raise StageFailedError(
                f"the measuring process ended with code {self._process.exitcode}: a traceback "
                "above is a defect of videogen, please report it; else the memory was too small"
            ) from error
        if isinstance(answer, VideogenError):
            raise answer
        assert isinstance(answer, Measured)  # noqa: S101 - what `_serve` sends
        return answer


def _serve(pipe: Connection, cores: set[int]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears it too, and closes the pipe
    os.sched_setaffinity(0, cores)
    while True:
        try:
            work: Work = pipe.recv()
        except EOFError:
            return
        try:
            pipe.send(_timed(work))
        except VideogenError as error:
            pipe.send(error)


def _timed(work: Work) -> Measured:
    began, cpu_began = time.perf_counter(), time.process_time()
    frames = work()
    return Measured(
        frames=frames,
        seconds=time.perf_counter() - began,
        cpu_seconds=time.process_time() - cpu_began,
        peak_rss_bytes=peak_rss_bytes(),
    )
