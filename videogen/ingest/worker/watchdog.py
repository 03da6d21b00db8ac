"""Ends a worker whose decoder hangs: nothing reaches into a call of FFmpeg that does not return."""

import os
import threading
from collections.abc import Callable
from time import monotonic
from types import TracebackType
from typing import Self

_LAST_WORDS_S = 30.0
STALLED = 75
"""Exit status of a process that the watchdog ended."""


class Watchdog:
    """Ends this process where `beat` was not called for `timeout_s` inside the block.

    `on_stall` is called before, and has 30 s to say why.
    """

    def __init__(self, timeout_s: float, on_stall: Callable[[], None]) -> None:
        self._timeout_s = timeout_s
        self._on_stall = on_stall
        self._over = threading.Event()
        self._seen = monotonic()

    def __enter__(self) -> Self:
        self.beat()
        threading.Thread(target=self._watch, name="videogen-watchdog", daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()

    def beat(self) -> None:
        """Work goes on."""
        self._seen = monotonic()

    def _watch(self) -> None:
        while True:
            left_s = self._seen + self._timeout_s - monotonic()
            if left_s <= 0:
                break
            if self._over.wait(left_s):
                return
        last_words = threading.Thread(target=self._on_stall, daemon=True)
        last_words.start()
        last_words.join(_LAST_WORDS_S)
        os._exit(STALLED)
