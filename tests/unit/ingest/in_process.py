"""Tasks without Ray: one after the other, in this process."""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class InProcess:
    """What `ingest` asks of a cluster; `before` sees each task first."""

    def __init__(self, before: Callable[[object], None] | None = None) -> None:
        self._before = before

    def stream(
        self,
        function: Callable[[Item], Iterable[Result]],
        items: Iterable[Item],
        *,
        lost: Callable[[Item], Iterable[Result]],
    ) -> Iterator[tuple[int, Result]]:
        for index, item in enumerate(items):
            if self._before:
                self._before(item)
            for result in function(item):
                yield index, result
