"""Threads that work ahead of who needs the result."""

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, ParamSpec, TypeVar

_Given = ParamSpec("_Given")
_Result = TypeVar("_Result")


class Background:
    """At most `limit` threads, which live while there is work, in the order that it came.

    They are daemons: a request that hangs in its retries cannot keep the process from ending.
    """

    def __init__(self, name: str, limit: int) -> None:
        self._name = name
        self._limit = limit
        self._jobs: deque[tuple[Future[Any], Callable[[], Any]]] = deque()
        self._threads: set[threading.Thread] = set()
        self._ending: list[threading.Thread] = []
        """Found no work, but may not have ended yet."""
        self._lock = threading.Lock()
        self._stopping = threading.Event()

    @property
    def stopping(self) -> threading.Event:
        """Set once nobody waits any more for what is under way."""
        return self._stopping

    def submit(
        self, work: Callable[_Given, _Result], *args: _Given.args, **options: _Given.kwargs
    ) -> Future[_Result]:
        """Do that when a thread is free. The future raises what the work raised."""
        future: Future[_Result] = Future()
        with self._lock:
            self._jobs.append((future, lambda: work(*args, **options)))
            if len(self._threads) < self._limit:
                thread = threading.Thread(target=self._serve, name=self._name, daemon=True)
                self._threads.add(thread)
                self._ending = [one for one in self._ending if one.is_alive()]
                thread.start()
        return future

    def stop(self) -> None:
        """Drop what has not begun. Work may be submitted again after."""
        with self._lock:
            self._stopping.set()
            self._stopping = threading.Event()
            jobs = list(self._jobs)
            self._jobs.clear()
        for future, _ in jobs:
            future.cancel()

    def join(self, timeout_s: float) -> None:
        """Wait for what is under way, but no longer than that."""
        deadline = time.monotonic() + timeout_s
        with self._lock:
            threads = [*self._threads, *self._ending]
        for thread in threads:
            thread.join(max(deadline - time.monotonic(), 0))

    def _serve(self) -> None:
        while True:
            with self._lock:
                if not self._jobs:
                    self._threads.discard(threading.current_thread())
                    self._ending.append(threading.current_thread())
                    return
                future, work = self._jobs.popleft()
            if future.set_running_or_notify_cancel():
                _settle(future, work)


def _settle(future: Future[Any], work: Callable[[], Any]) -> None:
    try:
        result = work()
    except BaseException as error:  # noqa: BLE001 - whoever asks for the result gets it
        future.set_exception(error)
    else:
        future.set_result(result)
