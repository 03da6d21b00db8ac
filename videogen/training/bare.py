"""The bare core: training steps on random clips in memory, with nothing around them.

No loader, no store, no metrics, no checkpoints, one process: what `videogen bench train` holds the
whole pipeline against, and what `python -m videogen.training.bench` times on a bare GPU machine.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter, process_time

import torch
from jaxtyping import Float
from torch import Tensor

from videogen.config.settings import environment_value
from videogen.config.train import TrainConfig
from videogen.data.loading.order import Share
from videogen.models.build import build_networks
from videogen.training.compute import decide
from videogen.training.flops import FlopCount
from videogen.training.parallel import Parallel
from videogen.training.peak_memory import peak_rss_bytes
from videogen.training.step import TrainStep

_log = logging.getLogger(__name__)

_NUM_BATCHES = 2
_WARM_UP_STEPS = 2
_PART_STEPS = 3


@dataclass(frozen=True)
class BareFigures:
    """One machine, one config."""

    decided: str
    """Number format, memory layout, and why."""
    clips_per_s: float
    step_ms: float
    discriminators_ms: float
    generator_ms: float
    ema_ms: float
    cpu_s_per_step: float
    """Of all threads of this process."""
    flop_per_step: float
    """In convolutions and matrix products, penalties included."""
    flop_per_s: float
    peak_rss_bytes: int
    """Of this process since it began, libraries included."""
    peak_device_bytes: int | None
    """Of the GPU's memory that torch has held for tensors; None on the CPU."""


class BareCore:
    """One worker's step, as the stage trains it, and clips for it to train on."""

    def __init__(
        self,
        config: TrainConfig,
        size: int,
        device: torch.device,
        *,
        micro_batch_clips: int | None = None,
        warn: Callable[[str], None] = _log.warning,
    ) -> None:
        """Networks for frames of `size` pixels square, on a device.

        Raises `ConfigError` where the model makes no such frames, or cannot be compiled and must.
        """
        self.config = config
        self._device = device
        networks = build_networks(config.model, (size, size), config.num_frames, seed=config.seed)
        parallel = Parallel(device=device)
        compute = decide(
            config,
            networks,
            parallel,
            batch_clips=micro_batch_clips or config.global_batch_size,
            max_cpu_isa=environment_value("ONEDNN_MAX_CPU_ISA"),
            warn=warn,
        )
        self.decided = compute.reason
        self.step = TrainStep(
            config,
            networks,
            parallel,
            Share(config.global_batch_size),
            compute=compute,
            micro_batch_clips=micro_batch_clips,
        )
        shape = (config.global_batch_size, config.num_frames, 3, size, size)
        rng = torch.Generator().manual_seed(config.seed)
        self._batches = [
            (2 * torch.rand(shape, generator=rng) - 1).to(device) for _ in range(_NUM_BATCHES)
        ]
        times = torch.arange(config.num_frames, dtype=torch.float32, device=device)
        self._times = (times * config.frame_stride).expand(config.global_batch_size, -1)
        self._done = 0

    def run(self, num_steps: int) -> int:
        """So many steps, finished when this returns; the clips that they took."""
        for _ in range(num_steps):
            real = self._begin()
            self.step.update_discriminator(real, self._times)
            self.step.update_generator(real, self._times)
            self.step.update_ema(self._clips_seen)
        self._wait()
        return num_steps * self.config.global_batch_size

    def measure(self, seconds: float) -> BareFigures:
        """Steps for about so long, after some that warm up."""
        flop = self.count_flop()
        self.run(_WARM_UP_STEPS)
        began = perf_counter()
        self.run(1)
        steps = max(round(seconds / (perf_counter() - began)), 1)
        began, cpu_began = perf_counter(), process_time()
        self.run(steps)
        step_s = (perf_counter() - began) / steps
        cpu_s = (process_time() - cpu_began) / steps
        parts = self._parts_s()
        return BareFigures(
            decided=self.decided,
            clips_per_s=self.config.global_batch_size / step_s,
            step_ms=1e3 * step_s,
            discriminators_ms=1e3 * parts[0],
            generator_ms=1e3 * parts[1],
            ema_ms=1e3 * parts[2],
            cpu_s_per_step=cpu_s,
            flop_per_step=flop,
            flop_per_s=flop / step_s,
            peak_rss_bytes=peak_rss_bytes(),
            peak_device_bytes=self._peak_device_bytes(),
        )

    def count_flop(self) -> int:
        """Floating-point operations of the next step, which is done uncompiled."""
        with torch.compiler.set_stance("force_eager"), FlopCount() as count:
            self.run(1)
        return int(count.total)

    @property
    def _clips_seen(self) -> int:
        return self._done * self.config.global_batch_size

    def _begin(self) -> Float[Tensor, "b t c h w"]:
        """The next step's clips."""
        self.step.set_progress(self._clips_seen)
        self._done += 1
        return self._batches[self._done % _NUM_BATCHES]

    def _parts_s(self) -> tuple[float, float, float]:
        """Seconds of each update, waited for: the least of a few."""
        best = [float("inf")] * 3
        for _ in range(_PART_STEPS):
            real = self._begin()
            times = [perf_counter()]
            for update in (
                lambda: self.step.update_discriminator(real, self._times),  # noqa: B023 - called here
                lambda: self.step.update_generator(real, self._times),  # noqa: B023 - called here
                lambda: self.step.update_ema(self._clips_seen),
            ):
                update()
                self._wait()
                times.append(perf_counter())
            best = [min(best[i], times[i + 1] - times[i]) for i in range(3)]
        return best[0], best[1], best[2]

    def _wait(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)

    def _peak_device_bytes(self) -> int | None:
        if self._device.type != "cuda":
            return None
        return torch.cuda.max_memory_allocated(self._device)
