"""Committed checkpoints judged while the training goes on: one at a time, beside it.

What judges is handed in: training knows what it answers, not how it finds out. Whatever goes wrong
with it is said, and never the end of a training.
"""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from time import monotonic
from typing import Protocol

from videogen.artifacts import EvaluationReport, GeneratorRef
from videogen.errors import VideogenError
from videogen.runs.pointer import Committed

_log = logging.getLogger(__name__)


class Judge(Protocol):
    """Says how good a generator is, in a process that is not in the way."""

    def __call__(self, generator: GeneratorRef, /) -> EvaluationReport:
        """Judge it, and wait for that. Raises `VideogenError`."""

    def close(self) -> None:
        """End what is under way, whose caller gets a `VideogenError`; called from any thread."""


@dataclass(frozen=True)
class Online:
    """Which committed checkpoints are judged, and how."""

    judge: Judge
    reference: Callable[[Committed], GeneratorRef]
    interval_clips: int


@dataclass(frozen=True)
class Judgement:
    """How one checkpoint was judged, or that it was not."""

    committed: Committed
    report: EvaluationReport | None = None
    error: VideogenError | None = None

    def figures(self) -> dict[str, float]:
        """For the tracker, below `online/`; seconds are those that the judging took."""
        if self.report is None:
            return {}
        yardsticks = {f"yardsticks/{name}": one for name, one in self.report.yardsticks.items()}
        every = {**self.report.metrics, **yardsticks, "seconds": self.report.seconds}
        return {f"online/{name}": value for name, value in every.items()}

    def __str__(self) -> str:
        """A line for people."""
        head = f"checkpoint at {self.committed.clips_seen:,} clips"
        if self.report is None:
            why = self.error or "a newer one took its place"
            return f"{head} is not judged: {why}"
        yardsticks = ", ".join(f"{name} {one:.4g}" for name, one in self.report.yardsticks.items())
        beside = f" ({yardsticks})" if yardsticks else ""
        fvd = self.report.metrics["fvd"]
        return f"{head}: {self.report.protocol.name} {fvd:.4g}{beside}, {self.report.seconds:.0f} s"


class Judging:
    """Judges in a thread that only waits; where one is under way, only the newest waits.

    After each it rests for as long as that took: a judge on another core takes some 7 % of a step's
    speed, by caches and memory, and so it is at work for half of the time at most.
    """

    def __init__(self, online: Online, settle: Callable[[Judgement], object]) -> None:
        """`settle` is told of every checkpoint that was offered, until `close`; in any thread."""
        self._online, self._settle = online, settle
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="judge")
        self._lock = threading.Lock()
        self._current: Committed | None = None
        self._waiting: Committed | None = None
        self._rounds: Future[None] | None = None
        self._closed = False
        self._at_the_end = threading.Event()
        """Set where training has ended: there is nothing left to spare."""

    @property
    def interval_clips(self) -> int:
        """Clips seen from one checkpoint that is to be offered to the next."""
        return self._online.interval_clips

    def offer(self, committed: Committed) -> None:
        """Judge it as soon as the one under way is done, unless a newer one is offered by then."""
        with self._lock:
            if self._closed:
                return
            is_idle, skipped = self._current is None, self._waiting
            if is_idle:
                self._current = committed
                self._rounds = self._thread.submit(self._judge_all)
            else:
                self._waiting = committed
        self._give_up(skipped)

    def skip_waiting(self) -> None:
        """Finish the one under way only."""
        self._at_the_end.set()
        with self._lock:
            skipped, self._waiting = self._waiting, None
        self._give_up(skipped)

    def is_done(self, timeout_s: float) -> bool:
        """Whether nothing is under way and nothing waits, after so long at most.

        For the end of the training: from now on it does not rest.
        """
        self._at_the_end.set()
        return self._rounds is None or not wait([self._rounds], timeout=timeout_s).not_done

    def close(self) -> None:
        """Drop what is under way, and what waits; does not wait."""
        with self._lock:
            self._closed, self._waiting = True, None
        self._at_the_end.set()
        self._online.judge.close()
        self._thread.shutdown(wait=False)

    def _judge_all(self) -> None:
        committed = self._current
        while committed is not None:
            began = monotonic()
            judgement = self._judged(committed)
            if not self._closed:
                self._settle(judgement)
            self._at_the_end.wait(monotonic() - began)
            with self._lock:
                committed = self._current = self._waiting
                self._waiting = None

    def _judged(self, committed: Committed) -> Judgement:
        online = self._online
        try:
            return Judgement(committed, online.judge(online.reference(committed)))
        except VideogenError as error:
            _log.debug("checkpoint %s", committed.prefix, exc_info=True)
            return Judgement(committed, error=error)

    def _give_up(self, skipped: Committed | None) -> None:
        if skipped is not None:
            self._settle(Judgement(skipped))
