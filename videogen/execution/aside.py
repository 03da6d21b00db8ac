"""A function beside the work: in a process of its own, of low priority and with one thread.

The process is the caller's: it lives for one call, and Ray ends it with the process that called.
It sees no GPU, since those are for the work.
"""

import os
import sys
import threading
from collections.abc import Callable
from typing import Any, Final, Generic, TypeVar

import ray
from ray.exceptions import RayError, RayTaskError

from videogen.errors import StageFailedError, VideogenError

Item = TypeVar("Item")
Result = TypeVar("Result")

_ENVIRONMENT: Final = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "CUDA_VISIBLE_DEVICES": "",
}
_MOST_NICE: Final = 19
_SHOWN_CHARACTERS: Final = 200


class Aside(Generic[Item, Result]):
    """`function`, called aside; Ray must be connected, as in its workers."""

    def __init__(self, function: Callable[[Item], Result]) -> None:
        """`function` travels to the process, so it holds plain values only."""
        self._function = function
        self._lock = threading.Lock()
        self._closed = False
        self._process: Any = None

    def __call__(self, item: Item) -> Result:
        """The function's answer, waited for; one call at a time.

        Raises:
            VideogenError: the very error that the function raised.
            StageFailedError: another error, or the process died or was ended by `close`.
        """
        process = self._start()
        try:
            result: Result = ray.get(process.call.remote(self._function, item))
        except RayTaskError as error:
            if isinstance(error.cause, VideogenError):
                raise error.cause from error
            raise StageFailedError(
                f"{type(error.cause).__name__}: {_shown(error.cause)} (a defect of videogen)"
            ) from error
        except RayError as error:
            raise StageFailedError(
                f"the process beside the work ended ({type(error).__name__}: {_shown(error)}); "
                "most often the memory is too small"
            ) from error
        finally:
            self._end()
        return result

    def close(self) -> None:
        """End a call that is under way, and refuse more; from any thread."""
        self._closed = True
        self._end()

    def _start(self) -> Any:  # noqa: ANN401 - Ray's handle
        with self._lock:
            if self._closed:
                raise StageFailedError("no process is started any more: the work is at its end")
            remote: Any = ray.remote(num_cpus=0, runtime_env={"env_vars": _ENVIRONMENT})
            self._process = remote(_Process).remote()
            return self._process

    def _end(self) -> None:
        with self._lock:
            process, self._process = self._process, None
        if process is not None:
            ray.kill(process)


class _Process:
    """What runs in the process."""

    def __init__(self) -> None:
        _be_idle()

    def call(self, function: Callable[[Item], Result], item: Item) -> Result:
        return function(item)


def _be_idle() -> None:
    """Take what others leave; more niceness would not do, since Ray's workers are nice as well.

    On a core that a worker of nice 10 wants this process gets 2.8 % of the time, beside one of
    nice 15, which is Ray's default, 7.9 % (measured; Linux weighs them 3 to 110 and 36).
    """
    if sys.platform == "linux":
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    else:
        os.nice(_MOST_NICE)


def _shown(error: object) -> str:
    return " ".join(str(error).split())[:_SHOWN_CHARACTERS]
