"""In which number format and memory layout a step computes, and whether compiled: measured, kept.

Penalties, losses, optimisers and weights are fp32 everywhere; what is chosen is the format of
convolutions and matrix products elsewhere (autocast), the layout of weights, and `torch.compile`
for the generator. A probe of the real networks decides at the start; a resumed run keeps what its
checkpoint says, so that it goes on bit by bit.
"""

import json
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace

import torch

from videogen.config.train import TrainConfig
from videogen.errors import ConfigError
from videogen.models.build import Networks
from videogen.training.parallel import Parallel
from videogen.training.probe import CompileFailedError, Format, Probe

Warn = Callable[[str], None]

_MIN_BF16_GAIN = 1.1
"""So many times as fast must bf16 be to be taken: it costs accuracy."""
_MIN_LAYOUT_GAIN = 1.05
"""So many times as fast must contiguous be: what comes close is decided alike in every run."""
_MIN_COMPILE_GAIN = 1.05
_ISAS_WITHOUT_LIMIT = {"", "ALL", "DEFAULT"}
_ISA_PARTS_WITH_BF16 = ("BF16", "FP16", "AMX", "AVX10")
_STATE = ("bf16", "channels_last", "compiled")
_PREFIX = "compute."


@dataclass(frozen=True)
class Abilities:
    """What all workers can do, and what the config leaves open."""

    bf16: bool = False
    compiled: bool = False
    compile_is_open: bool = True
    """Whether the config leaves it open if the generator is compiled."""


@dataclass(frozen=True)
class Compute:
    """What was decided, and a line for people that says why."""

    bf16: bool = False
    channels_last: bool = False
    compiled: bool = False
    reason: str = "fp32 on contiguous"
    abilities: Abilities = Abilities()

    @property
    def label(self) -> str:
        """The decision in a few words."""
        return _label(Format(self.bf16, self.channels_last)) + (
            ", compiled generator" if self.compiled else ""
        )

    def autocast(self, device: torch.device) -> AbstractContextManager[object]:
        """Within it, convolutions and matrix products run in the chosen format."""
        return torch.autocast(device.type, torch.bfloat16, enabled=self.bf16)

    def state(self) -> dict[str, bool]:
        """What a checkpoint keeps of it, by name."""
        return {f"{_PREFIX}{name}": getattr(self, name) for name in _STATE}

    def resumed(self, state: Mapping[str, object]) -> "Compute":
        """The decision that a checkpoint's scalars tell of, as far as this machine can keep it."""
        bf16, channels_last, compiled = (state.get(f"{_PREFIX}{name}") is True for name in _STATE)
        if not any(name.startswith(_PREFIX) for name in state):
            return self
        able = self.abilities
        kept = replace(
            self,
            bf16=bf16 and (able.bf16 or self.bf16),
            channels_last=channels_last,
            compiled=compiled and able.compiled if able.compile_is_open else self.compiled,
        )
        if (kept.bf16, kept.compiled) != (bf16, compiled):
            return replace(kept, reason=f"{kept.label}; the run began otherwise: not bit by bit")
        return self if kept == self else replace(kept, reason=f"{kept.label}, as the run began")


PLAIN = Compute()
"""What every machine can do."""


def decide(
    config: TrainConfig,
    networks: Networks,
    parallel: Parallel,
    *,
    batch_clips: int,
    max_cpu_isa: str | None = None,
    warn: Warn,
) -> Compute:
    """Time the networks on the worker's device, for a few seconds; all workers get one answer.

    `batch_clips` is how many clips a worker computes at once; `max_cpu_isa` is what
    `ONEDNN_MAX_CPU_ISA` limits oneDNN to. The first worker measures; what another one cannot do is
    not done. Weights and random state stay as they are.

    Raises:
        ConfigError: `train.compile` is on and the generator cannot be compiled here.
    """
    unit = bf16_unit(parallel.device, max_cpu_isa)
    bf16 = _all_can(parallel, able=unit is not None)
    probe = Probe(config, networks, parallel.device, batch_clips)
    found = PLAIN
    if parallel.is_first:
        why_not = f"{parallel.device} has no bf16 instructions"
        if forbids_bf16(max_cpu_isa):
            why_not = f"ONEDNN_MAX_CPU_ISA is {max_cpu_isa}"
        found = _measured(config, probe, unit or why_not, bf16=bf16)
    said = json.dumps([found.bf16, found.channels_last, found.reason])
    one, layout, reason = json.loads(parallel.broadcast_text(said))
    able = Abilities(bf16=bf16, compile_is_open=config.compile == "auto")
    found = Compute(bf16=one, channels_last=layout, reason=reason, abilities=able)
    return _compiled(config, probe, parallel, found, warn)


def _measured(config: TrainConfig, probe: Probe, unit: str, *, bf16: bool) -> Compute:
    """The decision of a device that has bf16 or not; `unit` says why, or why not.

    With a precision in the config nothing is timed: two starts then compute bit by bit the same.
    """
    if config.precision != "auto":
        chosen = Format(config.precision == "bf16", channels_last=True)
        return Compute(*chosen, reason=f"{_label(chosen)}, as configured")
    formats = (False, True) if bf16 else (False,)
    times = probe.seconds([Format(one, last) for one in formats for last in (False, True)])
    return by_time(times, unit)


def by_time(seconds: Mapping[Format, float], unit: str) -> Compute:
    """The fastest of the formats that were timed, each in both layouts.

    Every comparison has a default, so that what comes close is decided alike in every run: fp32,
    and channels-last. `unit` is what there is for bf16, or why there is nothing.
    """
    best = {one: _faster_layout(seconds, bf16=one) for one in {key.bf16 for key in seconds}}
    chosen, why = best[False], unit
    if True in best:
        gain = seconds[best[False]] / seconds[best[True]]
        chosen = best[gain >= _MIN_BF16_GAIN]
        why = f"{gain:.1f} times fp32" if chosen.bf16 else f"bf16 is only {gain:.1f} times as fast"
        why = f"{why} ({unit})"
    other = chosen._replace(channels_last=not chosen.channels_last)
    layout = f"{seconds[other] / seconds[chosen]:.1f} times {_layout(other)}"
    return Compute(*chosen, reason=f"{_label(chosen)}: {why}, {layout}")


def _faster_layout(seconds: Mapping[Format, float], *, bf16: bool) -> Format:
    contiguous, last = Format(bf16, channels_last=False), Format(bf16, channels_last=True)
    return contiguous if seconds[last] >= _MIN_LAYOUT_GAIN * seconds[contiguous] else last


def _compiled(
    config: TrainConfig, probe: Probe, parallel: Parallel, found: Compute, warn: Warn
) -> Compute:
    """With the generator compiled, where the config and the measure say so and all workers can.

    Left open, it is tried on CUDA only: on one CPU core, forward and backward, compiling makes
    `r3gan-v` 0.5 times as fast, `dcgan` 1.05 and `mocogan` 1.07 times, for 25 to 100 s of work.
    """
    if config.compile == "off" or (config.compile == "auto" and parallel.device.type != "cuda"):
        return found
    gain = 0.0
    failure: CompileFailedError | None = None
    try:
        gain = probe.compile_gain(Format(found.bf16, found.channels_last))
    except CompileFailedError as error:
        failure = error
    if not _all_can(parallel, able=failure is None):
        reason = str(failure or "another worker cannot compile it")
        if config.compile == "on":
            raise ConfigError(
                f"train.compile is on, but the generator cannot be compiled: {reason}; "
                "install a compiler, or set train.compile=auto"
            ) from failure
        warn(f"the generator is not compiled: {reason}")
        return found
    gain = float(parallel.broadcast_text(str(gain)))
    taken = config.compile == "on" or gain >= _MIN_COMPILE_GAIN
    how = "compiled" if taken else "not compiled"
    return replace(
        found,
        compiled=taken,
        reason=f"{found.reason}; generator {how}: {gain:.1f} times eager",
        abilities=replace(found.abilities, compiled=True),
    )


def bf16_unit(device: torch.device, max_cpu_isa: str | None = None) -> str | None:
    """The device's unit for bf16 products, or None where it has none or may not use it."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device) if torch.cuda.is_bf16_supported() else None
    if not forbids_bf16(max_cpu_isa):
        if torch.cpu._is_amx_tile_supported():  # noqa: SLF001 - torch offers no public question
            return "AMX"
        if torch.cpu._is_avx512_bf16_supported():  # noqa: SLF001 - as above
            return "AVX-512 BF16"
    return None


def forbids_bf16(max_cpu_isa: str | None) -> bool:
    """Whether a limit of oneDNN's instructions leaves bf16 out."""
    limit = (max_cpu_isa or "").upper()
    return limit not in _ISAS_WITHOUT_LIMIT and not any(
        part in limit for part in _ISA_PARTS_WITH_BF16
    )


def _all_can(parallel: Parallel, *, able: bool) -> bool:
    return bool(parallel.all_reduce(torch.tensor(float(able), device=parallel.device), "min") > 0)


def _label(chosen: Format) -> str:
    return f"{'bf16' if chosen.bf16 else 'fp32'} on {_layout(chosen)}"


def _layout(chosen: Format) -> str:
    return "channels-last" if chosen.channels_last else "contiguous"
