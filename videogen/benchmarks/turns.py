"""Works that take turns on one core, so that what else the machine does meets all of them."""

import os
from collections.abc import Mapping
from contextlib import ExitStack

from videogen.benchmarks.bench_process import BenchProcess, Measured, Work
from videogen.progress import Progress, ProgressEvent


def take_turns(
    works: Mapping[str, Work], turns: int, message: str, progress: Progress
) -> dict[str, list[Measured]]:
    """Run all works in turn, each in a process of its own, on the same core; `turns` of each.

    One more turn goes before, to warm up, and does not count. Raises as
    `BenchProcess.measure` does.
    """
    core = max(os.sched_getaffinity(0))
    total = turns + 1
    runs: dict[str, list[Measured]] = {name: [] for name in works}
    with ExitStack() as stack:
        processes = {name: stack.enter_context(BenchProcess({core})) for name in works}
        for turn in range(total):
            progress(ProgressEvent("bench", turn, total, "turns", message))
            for name, process in processes.items():
                measured = process.measure(works[name])
                if turn:
                    runs[name].append(measured)
    progress(ProgressEvent("bench", total, total, "turns", message))
    return runs


def fastest(runs: list[Measured]) -> Measured:
    """The one that counts: whatever else the machine does only adds."""
    return min(runs, key=lambda run: run.seconds)
