"""What `videogen bench train` runs in its measuring processes; each answers how many clips.

What a process needs for every turn (networks, what oneDNN prepares) is made by the turn that warms
up, and does not count.
"""

import importlib
from functools import cache

import torch

from videogen.benchmarks.mocogan_plain import CLIPS, PlainMocogan
from videogen.config.train import TrainConfig
from videogen.training.bare import BareCore

_OF_A_WORKER = ("videogen.training.launcher", "videogen.training.worker", "videogen.tracking")
_PRESET_STEPS = 2


def bare_steps(config: TrainConfig, size: int, num_steps: int) -> int:
    """Steps of the bare core, on clips in memory."""
    return _core(config, size).run(num_steps)


def preset_steps(config: TrainConfig, size: int) -> int:
    """A few steps with all libraries loaded that a worker of the stage has."""
    for name in _OF_A_WORKER:
        importlib.import_module(name)
    return _core(config, size).run(_PRESET_STEPS)


def plain_mocogan() -> int:
    """One iteration of the recipe, done plainly."""
    _plain().iterate()
    return CLIPS


@cache
def _core(config: TrainConfig, size: int) -> BareCore:
    return BareCore(config, size, torch.device("cpu"))


@cache
def _plain() -> PlainMocogan:
    return PlainMocogan()
