"""Functions over many items, each item a Ray task in a worker process; Ray must be connected.

Two ways: one answer an item, or answers as a worker makes them. What a task raises arrives as
itself; a worker that dies is an error, or is answered for by the caller.
"""

from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Any, Generic, Self, TypeVar, cast

import ray
from ray import ObjectRef
from ray.exceptions import (
    NodeDiedError,
    OutOfMemoryError,
    RayError,
    RayTaskError,
    WorkerCrashedError,
)

from videogen.errors import StageFailedError, VideogenError

Item = TypeVar("Item")
Result = TypeVar("Result")
Handle = TypeVar("Handle")

_TASK_RETRIES = 2
_SHOWN_CHARACTERS = 200


def map_tasks(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    num_cpus: float,
    num_gpus: float,
    limit: int,
) -> Iterator[tuple[int, Result]]:
    """`(index, function(item))` as they finish, at most `limit` submitted; see `Cluster.map`."""
    needs = ray.remote(num_cpus=num_cpus, num_gpus=num_gpus, max_retries=_TASK_RETRIES)
    task = needs(function)
    flight: _Flight[Item, ObjectRef[Result]]
    with _Flight(task.remote, items, limit) as flight:
        while (ready := flight.ready()) is not None:
            index, item = flight.land(ready)
            try:
                yield index, _result(ready, item)
            except _WorkerDiedError as error:
                raise StageFailedError(
                    f"a worker process died {_TASK_RETRIES + 1} times while it worked on "
                    f"{_shown(item)}; most often the memory is too small: run fewer at once"
                ) from error


def stream_tasks(
    function: Callable[[Item], Iterable[Result]],
    items: Iterable[Item],
    *,
    limit: int,
    lost: Callable[[Item], Iterable[Result]],
) -> Iterator[tuple[int, Result]]:
    """`(index, result)` of all that the tasks yield, as they do; see `Cluster.stream`."""
    task: Any = ray.remote(num_cpus=1, max_retries=0, num_returns="streaming")(function)
    flight: _Flight[Item, Iterator[ObjectRef[Result]]]
    with _Flight(task.remote, items, limit) as flight:
        while (ready := flight.ready()) is not None:
            index, item = flight.waiting[ready]
            try:
                result = _result(next(ready), item)
            except StopIteration:
                flight.land(ready)
            except _WorkerDiedError:
                flight.land(ready)
                yield from ((index, answer) for answer in lost(item))
            else:
                yield index, result


class _WorkerDiedError(Exception):
    """The process that worked on an item is gone."""


class _Flight(Generic[Item, Handle]):
    """Tasks that are submitted; more are drawn as they end, and at the end all are cancelled."""

    def __init__(self, submit: Callable[[Item], Handle], items: Iterable[Item], limit: int) -> None:
        self._submit = submit
        self._numbered = enumerate(items)
        self._limit = limit
        self.waiting: dict[Handle, tuple[int, Item]] = {}
        """Index and item, by Ray's handle of the answer or answers."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for handle in self.waiting:
            ray.cancel(handle, force=True)

    def ready(self) -> Handle | None:
        """One that has something to answer, waited for; None where all are done."""
        while len(self.waiting) < self._limit:
            drawn = next(self._numbered, None)
            if drawn is None:
                break
            self.waiting[self._submit(drawn[1])] = drawn
        if not self.waiting:
            return None
        handles: list[Any] = list(self.waiting)
        (ready, *_), _ = ray.wait(handles, num_returns=1, fetch_local=False)
        return cast(Handle, ready)

    def land(self, handle: Handle) -> tuple[int, Item]:
        """Take one that is done out."""
        return self.waiting.pop(handle)


def _result(reference: "ObjectRef[Result]", item: object) -> Result:
    try:
        return ray.get(reference)
    except RayTaskError as error:
        if isinstance(error.cause, VideogenError):
            raise error.cause from error
        raise
    except (WorkerCrashedError, NodeDiedError, OutOfMemoryError) as error:
        raise _WorkerDiedError from error
    except RayError as error:
        reason = " ".join(str(error).split())[:_SHOWN_CHARACTERS]
        raise StageFailedError(
            f"Ray could not finish the task for {_shown(item)}: {reason}"
        ) from error


def _shown(item: object) -> str:
    return repr(item)[:_SHOWN_CHARACTERS]
