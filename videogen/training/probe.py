"""How long generator and discriminators take, forward and backward, in each format and layout."""

import copy
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from time import perf_counter, process_time
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor

from videogen.config.train import TrainConfig
from videogen.data.loading.order import Share
from videogen.models.build import Networks
from videogen.models.discriminator import Conditions, VideoDiscriminator
from videogen.models.layout import to_channels_last
from videogen.training.draws import StepDraws
from videogen.training.fakes import Kitchen
from videogen.training.seeing import Augmentation, Sight

_MAX_CLIPS, _MIN_CLIPS = 4, 2  # batch norm needs two of them
_BUDGET_S = 3.0
_MAX_ROUNDS = 6
_HOPELESS = 2.0
"""What takes so many times the fastest at first is not timed again."""
_MESSAGE_LENGTH = 300

Key = TypeVar("Key")


class Format(NamedTuple):
    """In which number format and layout networks compute."""

    bf16: bool
    channels_last: bool


class CompileFailedError(Exception):
    """The generator cannot be compiled on this machine; the message says why."""


class Probe:
    """Copies of the networks, and a few random clips for them.

    Neither the networks nor the process's random state are touched.
    """

    def __init__(
        self, config: TrainConfig, networks: Networks, device: torch.device, batch_clips: int
    ) -> None:
        self._networks, self._device = networks, device
        self._augmentation = Augmentation(config.augment, probability=0.0)
        num = max(min(batch_clips, _MAX_CLIPS), _MIN_CLIPS)
        self._draws = StepDraws(config.seed, Share(num), device, clips_seen=0)
        times = torch.arange(config.num_frames, device=device).float() * config.frame_stride
        kitchen = Kitchen(config, networks)
        self._material = kitchen.material("probe", self._draws, Conditions(times.expand(num, -1)))

    def seconds(self, formats: Sequence[Format]) -> dict[Format, float]:
        """The fastest pass through all networks in each of them."""
        passes = {}
        for one in formats:
            copied = self._copied(one)
            passes[one] = self._pass(one, copied.generator, copied.discriminators)
        return _fastest(passes)

    def compile_gain(self, chosen: Format) -> float:
        """How many times as fast the generator is when it is compiled.

        Takes as long as compiling does: half a minute is usual.

        Raises:
            CompileFailedError: there is no compiler for it, or it does not take this generator.
        """
        from torch._dynamo.exc import TorchDynamoException  # noqa: PLC0415 - takes a second

        generator = self._copied(chosen).generator
        eager, compiled = (
            self._pass(chosen, callee, {})
            for callee in (generator, torch.compile(generator, dynamic=False))
        )
        try:
            compiled()
        except TorchDynamoException as error:
            reason = " ".join(str(error).split())[:_MESSAGE_LENGTH]
            raise CompileFailedError(reason) from error
        times = _fastest({"eager": eager, "compiled": compiled})
        return times["eager"] / times["compiled"]

    def _copied(self, chosen: Format) -> Networks:
        copied = copy.deepcopy(self._networks)
        for network in (copied.generator, *copied.discriminators.values()):
            network.to(self._device).train()
            if chosen.channels_last:
                to_channels_last(network)
        return copied

    def _pass(
        self,
        chosen: Format,
        generator: Callable[..., Tensor],
        judges: Mapping[str, VideoDiscriminator],
    ) -> Callable[[], float]:
        sights = {
            name: Sight.drawn(
                judge.view,
                name,
                self._material.times.shape[1] * self._material.per_clip,
                self._draws,
                self._augmentation,
            )
            for name, judge in judges.items()
        }

        def run() -> None:
            with torch.autocast(self._device.type, torch.bfloat16, enabled=chosen.bf16):
                fake = self._material.made_by(generator)
                judged = [
                    judge(sights[name].of(fake.float(), 0, len(fake)), self._draws.masks(name, 0))
                    for name, judge in judges.items()
                ]
            values = [one.logits for one in judged] or [fake]
            torch.stack([one.float().mean() for one in values]).sum().backward()

        return partial(_timed, run, self._device)


def _timed(run: Callable[[], None], device: torch.device) -> float:
    """Seconds of the GPU; of the CPU those of this process, whatever else the machine does."""
    if device.type != "cuda":
        began = process_time()
        run()
        return process_time() - began
    torch.cuda.synchronize(device)
    began = perf_counter()
    run()
    torch.cuda.synchronize(device)
    return perf_counter() - began


def _fastest(passes: Mapping[Key, Callable[[], float]]) -> dict[Key, float]:
    """By turns, so that all see the same machine; a first turn counts only where it is long."""
    began = perf_counter()
    times = {key: run() for key, run in passes.items()}
    hopeful, rounds = list(passes), 0
    while perf_counter() - began < _BUDGET_S and rounds < _MAX_ROUNDS:
        turn = {key: passes[key]() for key in hopeful}
        times |= {key: min(times[key], turn[key]) for key in hopeful}
        hopeful = [key for key in hopeful if times[key] <= _HOPELESS * min(times.values())]
        rounds += 1
    return times
