"""All that was decided for a training, on one line: what a log shows first."""

from dataclasses import dataclass

import torch

from videogen.config.train import TrainConfig
from videogen.data.loading.order import Share
from videogen.training.micro_batches import divided
from videogen.training.parallel import Parallel

_BACKENDS = {"cuda": "NCCL", "cpu": "gloo"}


@dataclass(frozen=True)
class Decisions:
    """What the config says, and what was found out about this machine and this data."""

    config: TrainConfig
    resolution: tuple[int, int]
    """Height and width of frames."""
    parallel: Parallel
    micro_batch_clips: int | None
    compute: str
    """Number format, memory layout and compilation, and why."""
    data: str
    """What is read, and from where."""
    clips_seen: int

    def __str__(self) -> str:
        """Parts from what is made to how long it takes."""
        return "; ".join((self._model(), self.data, self._workers(), self.compute, self._budget()))

    def _model(self) -> str:
        config, (height, width) = self.config, self.resolution
        return (
            f"{config.model.kind}, {config.num_frames} frames of {height}x{width} px at stride "
            f"{config.frame_stride}, {config.loss} loss, {self._ema()}"
        )

    def _ema(self) -> str:
        start, end = self.config.ema_half_life_clips.start, self.config.ema_half_life_clips.end
        if start == end == 0:
            return "no EMA"
        change = f"{start:,.0f}" if start == end else f"{start:,.0f} to {end:,.0f}"
        return f"EMA with a half-life of {change} clips"

    def _workers(self) -> str:
        world, device = self.parallel.world_size, self.parallel.device.type
        batch, threads = self.config.global_batch_size, torch.get_num_threads()
        shares = [Share(batch, world, rank).size for rank in range(world)]
        workers = f"{world} workers by {_BACKENDS[device]}" if world > 1 else "1 worker"
        parts = max(len(divided(share, self.micro_batch_clips)) for share in shares)
        divided_in = f" in {parts} micro-batches" if parts > 1 else ""
        return (
            f"{workers} on {device} ({threads} {'thread' if threads == 1 else 'threads'} each), "
            f"{'+'.join(map(str, shares))} clips a step{divided_in}"
        )

    def _budget(self) -> str:
        config = self.config
        hours = "" if config.max_hours is None else f", for at most {config.max_hours:g} h"
        best = f" and the one with the lowest {config.best_metric}" if config.best_metric else ""
        return (
            f"a checkpoint every {config.checkpoint_interval_clips:,} clips, of which "
            f"{config.keep_checkpoints} are kept{best}; from {self.clips_seen:,} to "
            f"{config.total_clips:,} clips{hours}"
        )
