"""The training loop: one for every model, knowing nothing of Ray, S3 or MLflow."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from time import monotonic
from typing import Protocol

from jaxtyping import Float, Int
from torch import Tensor

from videogen.config.train import TrainConfig
from videogen.errors import TrainingError
from videogen.training.meter import Meter
from videogen.training.parallel import Parallel
from videogen.training.schedules import is_due

SECONDS_PER_HOUR = 3_600
_FEWEST_STEPS = 8
"""Over fewer the guard judges nobody: where every step is reported, one skip would be the end."""


class Batch(Protocol):
    """This worker's share of a step's real windows."""

    @property
    def frames(self) -> Float[Tensor, "b t c h w"]:
        """In [-1, 1], on the worker's device."""

    @property
    def times(self) -> Float[Tensor, "b t"]:
        """In frames, from the window's first."""

    @property
    def labels(self) -> Int[Tensor, " b"] | None:
        """Classes of the clips; None where they are not learned."""


class Step(Protocol):
    """One update of each network; metrics are 0-dim tensors, read at the next report."""

    def set_progress(self, clips_seen: int) -> None:
        """Move every schedule to where the run is."""

    def update_discriminator(
        self, real: Tensor, times: Tensor, labels: Tensor | None = None
    ) -> dict[str, Tensor]:
        """One step of the discriminators; means over this worker's clips."""

    def update_generator(
        self, real: Tensor, times: Tensor, labels: Tensor | None = None
    ) -> dict[str, Tensor]:
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

    It also stops at the first report after `max_hours`, counted from here by the first worker's
    clock. The last thing done is a checkpoint, also where nothing was left to train. Raises
    `TrainingError` where it diverged.
    """
    meter, limit = Meter(parallel), TimeLimit(config)
    guard = Guard(config.global_batch_size, clips_seen)
    stopping = False
    if clips_seen >= config.total_clips:
        hooks.checkpoint(clips_seen)
    while clips_seen < config.total_clips and not stopping:
        real = meter.waited(batches)
        step.set_progress(clips_seen)
        metrics = step.update_discriminator(real.frames, real.times, real.labels)
        metrics |= step.update_generator(real.frames, real.times, real.labels)
        before, clips_seen = clips_seen, clips_seen + config.global_batch_size
        step.update_ema(clips_seen)
        meter.add(metrics, len(real.frames), config.global_batch_size)
        ended = clips_seen >= config.total_clips
        if ended or is_due(config.log_interval_clips, before, clips_seen):
            over = parallel.is_first and limit.is_over
            figures, stopping = meter.read(stop=hooks.should_stop() or over)
            guard.check(figures, clips_seen)
            hooks.report(figures, clips_seen)
        if ended or is_due(config.sample_interval_clips, before, clips_seen):
            hooks.sample(clips_seen)
        if ended or stopping or is_due(config.checkpoint_interval_clips, before, clips_seen):
            with meter.stalled():
                hooks.checkpoint(clips_seen)
    return clips_seen


class TimeLimit:
    """How long one start of the training may go on; no limit where `max_hours` is unset.

    Workers that are started again, since one died, count anew.
    """

    def __init__(self, config: TrainConfig) -> None:
        hours = config.max_hours
        self._end = None if hours is None else monotonic() + hours * SECONDS_PER_HOUR

    @property
    def is_over(self) -> bool:
        """Whether that time has passed since the start."""
        return self._end is not None and monotonic() >= self._end


class Guard:
    """Ends a training in which most updates are skipped, since their gradients are not finite."""

    def __init__(self, global_batch: int, clips_seen: int) -> None:
        self._global_batch = global_batch
        self._reported = self._began = clips_seen
        self._skipped = 0.0

    def check(self, figures: Mapping[str, float], clips_seen: int) -> None:
        """Count `skipped_updates`, the mean over the steps since the last report.

        Raises `TrainingError` where it is one a step or more, over these steps and those before
        that were too few to tell; a step has two updates.
        """
        since = (clips_seen - self._reported) / self._global_batch
        self._skipped += figures.get("skipped_updates", 0.0) * since
        self._reported = clips_seen
        steps = (clips_seen - self._began) / self._global_batch
        if steps < _FEWEST_STEPS:
            return
        if self._skipped >= steps:
            raise TrainingError(
                f"training diverged before {clips_seen:,} clips: {self._skipped:.0f} updates of "
                f"the last {steps:.0f} steps had gradients that are not finite, and were skipped; "
                "lower train.learning_rate or raise train.gamma (checkpoints are kept)"
            )
        self._skipped, self._began = 0.0, clips_seen
