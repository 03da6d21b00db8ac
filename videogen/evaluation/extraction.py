"""Tasks that make clips and take their features, one batch each; they run in worker processes."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final, Literal

import numpy as np
import torch
from jaxtyping import Float, UInt8

from videogen.artifacts import CheckpointRef
from videogen.config.evaluate import EvaluateConfig
from videogen.config.sections import StorageConfig
from videogen.evaluation.extractors.i3d import I3D, load_network, logits
from videogen.evaluation.extractors.weights import I3D_KINETICS, fetch
from videogen.evaluation.reals import RealClip, Reals, read_reals
from videogen.evaluation.samples import draw_fakes
from videogen.evaluation.yardsticks import YARDSTICKS, Yardstick, spoil
from videogen.storage.connect import open_store

Role = Literal["fake", "real"] | Yardstick
REFERENCE_ROLES: Final[tuple[Role, ...]] = ("real", *YARDSTICKS)


@dataclass(frozen=True)
class Source:
    """What every task of one evaluation shares."""

    weights_dir: Path
    storage: StorageConfig
    dataset: str
    checkpoint: CheckpointRef
    config: EvaluateConfig
    codec: str


@dataclass(frozen=True)
class Batch:
    """Clips `start` to `start + num` of one role; `reals` is empty for fakes."""

    source: Source
    role: Role
    start: int
    num: int
    reals: tuple[RealClip, ...] = ()

    def __repr__(self) -> str:
        """For errors about the task."""
        return f"clips {self.start} to {self.start + self.num - 1} of {self.role}"


def batches_of(
    source: Source, role: Role, num: int, reals: tuple[RealClip, ...] = ()
) -> Iterator[Batch]:
    """A role's clips in batches of `evaluate.batch_size`."""
    size = source.config.batch_size
    for start in range(0, num, size):
        count = min(size, num - start)
        yield Batch(source, role, start, count, reals[start : start + count])


def reference_batches(source: Source, reals: Reals) -> Iterator[Batch]:
    """Batches of A and of every yardstick."""
    for role in REFERENCE_ROLES:
        chosen = reals.a if role == "real" else reals.b
        yield from batches_of(source, role, len(chosen), chosen)


def extract(batch: Batch) -> Float[np.ndarray, "n 400"]:
    """A batch's features. One thread: batches are what is spread over the machine's cores.

    Raises:
        VideogenError: clips, generator or weights cannot be had.
    """
    torch.set_num_threads(1)
    return logits(_network(batch.source.weights_dir), clips_of(batch))


def clips_of(batch: Batch) -> UInt8[np.ndarray, "n t h w c"]:
    """The clips that a batch names."""
    source = batch.source
    if batch.role == "fake":
        indices = range(batch.start, batch.start + batch.num)
        return draw_fakes(source.storage, source.checkpoint, source.config, indices, source.codec)
    clips = read_reals(open_store(source.storage), source.dataset, batch.reals)
    if batch.role == "real":
        return clips
    return spoil(clips, batch.role, source.config.seed, batch.start)


def gather(
    batches: list[Batch], results: Mapping[int, Float[np.ndarray, "n d"]]
) -> dict[str, Float[np.ndarray, "n d"]]:
    """Features by role, in the clips' order, whatever order the batches finished in."""
    roles = dict.fromkeys(batch.role for batch in batches)
    return {
        role: np.concatenate(
            [results[index] for index, batch in enumerate(batches) if batch.role == role]
        )
        for role in roles
    }


@cache
def _network(weights_dir: Path) -> I3D:
    return load_network(fetch(I3D_KINETICS, weights_dir))
