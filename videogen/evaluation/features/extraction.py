"""Tasks that make clips and take their features, one batch each; they run in worker processes."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8

from videogen.artifacts import GeneratorRef
from videogen.config.evaluate import EvaluateConfig
from videogen.config.sections import StorageConfig
from videogen.evaluation.clips.reals import RealClip, read_reals
from videogen.evaluation.clips.samples import draw_fakes, open_generator
from videogen.evaluation.clips.yardsticks import spoil
from videogen.evaluation.extractors.extractor import Device
from videogen.evaluation.extractors.opening import open_extractor, open_i3d
from videogen.evaluation.features.store import Column, Columns, Role
from videogen.evaluation.metrics.motion import motion_spectra
from videogen.storage.connect import open_store


@dataclass(frozen=True)
class Source:
    """What every task of one role shares."""

    weights_dir: Path
    storage: StorageConfig
    dataset: str
    config: EvaluateConfig
    codec: str
    device: Device
    role: Role
    columns: tuple[str, ...]
    """Which are taken of each clip."""
    generator: GeneratorRef | None = None
    """Whose clips they are, where the role is `fake`."""


@dataclass(frozen=True)
class Batch:
    """Clips `start` to `start + num` of a role; `reals` is empty for fakes."""

    source: Source
    start: int
    num: int
    reals: tuple[RealClip, ...] = ()

    def __repr__(self) -> str:
        """For errors about the task."""
        return f"clips {self.start} to {self.start + self.num - 1} of {self.source.role}"


def batches_of(source: Source, num: int, reals: tuple[RealClip, ...] = ()) -> Iterator[Batch]:
    """A role's clips in batches of `evaluate.batch_size`."""
    size = source.config.batch_size
    for start in range(0, num, size):
        count = min(size, num - start)
        yield Batch(source, start, count, reals[start : start + count])


def extract(batch: Batch) -> Columns:
    """A batch's features, of frames that are read or drawn once.

    One thread: batches are what is spread over the machine's cores. A clip's features depend on it
    alone, so how clips are batched does not matter.

    Raises:
        VideogenError: clips, generator or weights cannot be had.
    """
    torch.set_num_threads(1)
    clips = clips_of(batch)
    return {name: _column(name, clips, batch.source) for name in batch.source.columns}


def clips_of(batch: Batch) -> UInt8[np.ndarray, "n t h w c"]:
    """The clips that a batch names."""
    source = batch.source
    if source.generator is not None:
        indices = range(batch.start, batch.start + batch.num)
        generator = open_generator(source.storage, source.generator, source.device)
        return draw_fakes(generator, source.config, indices, source.codec)
    clips = read_reals(open_store(source.storage), source.dataset, batch.reals)
    match source.role:
        case "shuffled" | "frozen" | "blank":
            return spoil(clips, source.role, source.config.seed, batch.start)
        case _:
            return clips


def _column(name: str, clips: UInt8[np.ndarray, "n t h w c"], source: Source) -> Column:
    directory, precision, device = source.weights_dir, source.config.precision, source.device
    match name:
        case "i3d":
            return open_i3d(directory, precision, device)(clips)
        case "motion":
            return motion_spectra(clips)
        case _:
            (wanted,) = [one for one in source.config.extractors if one.name == name]
            return open_extractor(wanted, directory, precision, device)(clips)
