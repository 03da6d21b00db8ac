"""The training loop: one for every model, knowing nothing of Ray, S3 or MLflow."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from videogen.config.train import TrainConfig
from videogen.errors import TrainingError
from videogen.training.parallel import Parallel
from videogen.training.schedules import is_due


class Batch(Protocol):
    """This worker's share of a step's real windows."""

    @property
    def frames(self) -> Float[Tensor, "b t c h w"]:
        """In [-1, 1], on the worker's device."""

    @property
    def times(self) -> Float[Tensor, "b t"]:
        """In frames, from the window's first."""


class Step(Protocol):
    """One update of each network; metrics are 0-dim tensors, read at the next report."""

    def set_progress(self, clips_seen: int) -> None:
        """Move every schedule to where the run is."""

    def update_discriminator(self, real: Tensor, times: Tensor) -> dict[str, Tensor]:
        """One step of the discriminators; means over this worker's clips."""

    def update_generator(self, real: Tensor, times: Tensor) -> dict[str, Tensor]:
        """One step of the generator; means over this worker's clips."""

    def update_ema(self, clips_seen: int) -> None:
        """Let the averaged generator follow."""


@dataclass(frozen=True)
class Hooks:
    """What happens at intervals, on every worker at the same `clips_seen`."""

    report: Callable[[Mapping[str, float], int], None]
    """Figures averaged over all workers since the last report."""
    sample: Callable[[int], None]
    checkpoint: Callable[[int], None]
    should_stop: Callable[[], bool]
    """Whether this worker was asked to end; one that was ends all, at the next report."""


def train(
    config: TrainConfig,
    step: Step,
    batches: Iterator[Batch],
    hooks: Hooks,
    *,
    parallel: Parallel,
    clips_seen: int = 0,
) -> int:
    """Train from `clips_seen` until `total_clips`, or until asked to stop; the clips seen then.

    The last thing done is a checkpoint, also where nothing was left to train. Raises
    `TrainingError` where it diverged.
    """
    meter, guard = Meter(parallel), Guard(config.global_batch_size)
    stopping = False
    if clips_seen >= config.total_clips:
        hooks.checkpoint(clips_seen)
    while clips_seen < config.total_clips and not stopping:
        real = meter.waited(batches)
        step.set_progress(clips_seen)
        metrics = step.update_discriminator(real.frames, real.times)
        metrics |= step.update_generator(real.frames, real.times)
        before, clips_seen = clips_seen, clips_seen + config.global_batch_size
        step.update_ema(clips_seen)
        meter.add(metrics, len(real.frames), config.global_batch_size)
        ended = clips_seen >= config.total_clips
        if ended or is_due(config.log_interval_clips, before, clips_seen):
            figures, stopping = meter.read(stop=hooks.should_stop())
            guard.check(figures, clips_seen)
            hooks.report(figures, clips_seen)
        if ended or is_due(config.sample_interval_clips, before, clips_seen):
            hooks.sample(clips_seen)
        if ended or stopping or is_due(config.checkpoint_interval_clips, before, clips_seen):
            hooks.checkpoint(clips_seen)
    return clips_seen


class Guard:
    """Ends a training in which most updates are skipped, since their gradients are not finite."""

    def __init__(self, global_batch: int) -> None:
        self._global_batch = global_batch
        self._last: tuple[float, int] | None = None

    def check(self, figures: Mapping[str, float], clips_seen: int) -> None:
        """Compare `skipped_steps`, which counts from the start, with the report before.

        Raises `TrainingError` where it grew by one a step or more; a step has two updates.
        """
        skipped = figures.get("skipped_steps", 0.0)
        last, self._last = self._last, (skipped, clips_seen)
        if last is None:
            return
        steps = (clips_seen - last[1]) / self._global_batch
        if skipped - last[0] >= steps:
            raise TrainingError(
                f"training diverged before {clips_seen:,} clips: {skipped - last[0]:.0f} updates "
                f"of the last {steps:.0f} steps had gradients that are not finite, and were "
                "skipped; lower train.learning_rate or raise train.gamma (checkpoints are kept)"
            )


class Meter:
    """Sums metrics where they are, and reads them with one reduction and one host sync."""

    def __init__(self, parallel: Parallel) -> None:
        self._parallel = parallel
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}
        self._clips = 0
        self._wait_s = 0.0
        self._began = perf_counter()

    def waited(self, batches: Iterator[Batch]) -> Batch:
        """The next batch; the time until it is there counts as data wait."""
        began = perf_counter()
        batch = next(batches)
        self._wait_s += perf_counter() - began
        return batch

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

        Adds `clips_per_s`, over all that was done since then, and `data_wait_fraction`.
        """
        names = sorted(self._sums)
        wait, flag = torch.tensor([self._wait_s, float(stop)]).to(self._parallel.device)
        means = [self._sums[name] / self._counts[name] for name in names]
        reduced = self._parallel.all_reduce(torch.stack([*means, wait, flag]), "mean").tolist()
        seconds = max(perf_counter() - self._began, 1e-9)
        figures = dict(zip(names, reduced, strict=False))
        figures["clips_per_s"] = self._clips / seconds
        figures["data_wait_fraction"] = min(reduced[-2] / seconds, 1.0)
        self._sums, self._counts, self._clips = {}, {}, 0
        self._wait_s, self._began = 0.0, perf_counter()
        return figures, reduced[-1] > 0
