"""Who carries out the tasks of an evaluation."""

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class Workers(Protocol):
    """Who carries out tasks; a `Cluster` is one."""

    def num_gpus(self) -> int:
        """How many there are in all."""

    def map(
        self, function: Callable[[Item], Result], items: Iterable[Item], *, num_gpus: float = 0
    ) -> Iterator[tuple[int, Result]]:
        """`(index, function(item))` of each item, as they finish."""


class OneProcess:
    """Carries out tasks here, one after the other."""

    def num_gpus(self) -> int:
        """None."""
        return 0

    def map(
        self, function: Callable[[Item], Result], items: Iterable[Item], *, num_gpus: float = 0
    ) -> Iterator[tuple[int, Result]]:
        """`(index, function(item))` of each item, in their order."""
        del num_gpus
        for index, item in enumerate(items):
            yield index, function(item)
