"""What the loop measures: means of the step's metrics, and where the time went."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from time import perf_counter
from typing import TypeVar

import torch
from torch import Tensor

from videogen.training.parallel import Parallel

B = TypeVar("B")


class Meter:
    """Sums metrics where they are, and reads them with two small reductions and one host sync."""

    def __init__(self, parallel: Parallel) -> None:
        self._parallel = parallel
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}
        self._clips = 0
        self._wait_s = 0.0
        self._stall_s = 0.0
        self._began = perf_counter()

    def waited(self, batches: Iterator[B]) -> B:
        """The next batch; the time until it is there counts as data wait."""
        began = perf_counter()
        batch = next(batches)
        self._wait_s += perf_counter() - began
        return batch

    @contextmanager
    def stalled(self) -> Iterator[None]:
        """What is done within counts as checkpoint stall."""
        began = perf_counter()
        yield
        self._stall_s += perf_counter() - began

    def add(self, metrics: Mapping[str, Tensor], local_batch: int, global_batch: int) -> None:
        """Count one step's means over this worker's `local_batch` of the `global_batch` clips."""
        weight = self._parallel.weight(local_batch, global_batch)
        for name, value in metrics.items():
            weighted = value.detach().to(torch.float32) * weight
            self._sums[name] = self._sums[name] + weighted if name in self._sums else weighted
            self._counts[name] = self._counts.get(name, 0) + 1
        self._clips += global_batch

    def read(self, *, stop: bool) -> tuple[dict[str, float], bool]:
        """Means over all workers' clips since the last reading, and whether any says stop.

        Adds `clips_per_s`, over all that was done since then, and of that time
        `data_wait_fraction` and `checkpoint_stall_fraction`, each of the worker that lost most by
        it: the others wait for that one at the next gradient.
        """
        names = sorted(self._sums)
        means = [self._sums[name] / self._counts[name] for name in names]
        lost = torch.tensor([self._wait_s, self._stall_s, float(stop)]).to(self._parallel.device)
        most = self._parallel.all_reduce(lost, "max")
        if means:
            most = torch.cat([self._parallel.all_reduce(torch.stack(means), "mean"), most])
        *values, wait_s, stall_s, any_stop = most.tolist()
        seconds = max(perf_counter() - self._began, 1e-9)
        figures = dict(zip(names, values, strict=True))
        figures["clips_per_s"] = self._clips / seconds
        figures["data_wait_fraction"] = min(wait_s / seconds, 1.0)
        figures["checkpoint_stall_fraction"] = min(stall_s / seconds, 1.0)
        self._sums, self._counts, self._clips = {}, {}, 0
        self._wait_s, self._stall_s, self._began = 0.0, 0.0, perf_counter()
        return figures, any_stop > 0
