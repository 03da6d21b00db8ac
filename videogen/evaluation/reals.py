"""Which real clips stand for the data: two disjoint sets, and those that the training saw.

Of each clip one random window. A clip's place in the order, and its window, depend on the seed
and the clip's id alone, so growing a dataset changes the sets only where new clips enter them.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import UInt8

from videogen.config.evaluate import EvaluateConfig
from videogen.data.loading.order import RandomKey
from videogen.data.shards.tar_shard import read_clip_bytes, read_frames
from videogen.data.snapshots.clip_table import ClipRow
from videogen.errors import EvaluationError
from videogen.storage.base import ObjectStore

_MIN_CLIPS: Final = 2
_WORD_BITS: Final = 64


@dataclass(frozen=True)
class RealClip:
    """One window of one clip: frames `start`, `start + stride`, ..."""

    row: ClipRow
    start: int
    stride: int
    num_frames: int


@dataclass(frozen=True)
class Reals:
    """The reference A, and the set B from which the yardsticks are made; both have N clips."""

    a: tuple[RealClip, ...]
    b: tuple[RealClip, ...]
    disjoint: bool
    """Whether no clip is in both; only then is B against A the floor."""
    codec: str
    """How the frames were stored; fakes must pass through the same."""
    notes: tuple[str, ...]


def choose_reals(rows: Sequence[ClipRow], config: EvaluateConfig) -> Reals:
    """A and B from the clips of a split, by `config`.

    Where there are fewer than `num_clips`, N is what there is; where there are fewer than 2 N, B
    overlaps A as little as possible and there is no floor. Both are said in the notes.

    Raises:
        EvaluationError: fewer than two clips are long enough.
    """
    span = _span(config)
    long_enough = [row for row in rows if row.frames >= span]
    if len(long_enough) < _MIN_CLIPS:
        raise EvaluationError(
            f"split {config.split} has {len(long_enough)} clips of {span} frames or more (of "
            f"{len(rows)}): evaluate needs at least {_MIN_CLIPS}; ingest more videos, set "
            "evaluate.split=all or lower evaluate.num_frames"
        )
    ordered = _ordered(long_enough, config.seed)
    num = min(config.num_clips, len(ordered))
    disjoint = len(ordered) >= 2 * num
    return Reals(
        a=tuple(_window(row, config, span) for row in ordered[:num]),
        b=tuple(_window(row, config, span) for row in ordered[-num:][:num])
        if not disjoint
        else tuple(_window(row, config, span) for row in ordered[num : 2 * num]),
        disjoint=disjoint,
        codec=ordered[0].codec,
        notes=tuple(_notes(len(rows), len(ordered), num, config)),
    )


def choose_training(
    rows: Sequence[ClipRow], config: EvaluateConfig
) -> tuple[tuple[RealClip, ...], tuple[str, ...]]:
    """Up to `training_clips` windows of the train split's clips, and what is to be said of them.

    The order and the windows are those of `choose_reals`: where that is asked for the train split
    too, its clips come first.
    """
    span = _span(config)
    ordered = _ordered([row for row in rows if row.frames >= span], config.seed)
    chosen = tuple(_window(row, config, span) for row in ordered[: config.training_clips])
    if len(chosen) == len(rows):
        return chosen, ()
    note = (
        f"near-copies were looked for among {len(chosen):,} windows, one of a clip, of "
        f"{len(rows):,} training clips"
    )
    return chosen, (note,)


def read_reals(
    store: ObjectStore, dataset: str, clips: Iterable[RealClip]
) -> UInt8[np.ndarray, "n t h w c"]:
    """The frames of windows, each clip verified.

    Raises:
        CorruptObjectError, StorageError, DatasetError: as the shards' reader does.
    """
    return np.stack(
        [
            read_frames(
                read_clip_bytes(store, dataset, clip.row), clip.start, clip.stride, clip.num_frames
            )
            for clip in clips
        ]
    )


def _span(config: EvaluateConfig) -> int:
    """Frames from a window's first to its last."""
    return (config.num_frames - 1) * config.frame_stride + 1


def _ordered(rows: Sequence[ClipRow], seed: int) -> list[ClipRow]:
    return sorted(rows, key=lambda row: _word("clip", seed, row.clip_id))


def _window(row: ClipRow, config: EvaluateConfig, span: int) -> RealClip:
    starts = row.frames - span + 1
    start = (_word("window", config.seed, row.clip_id) * starts) >> _WORD_BITS
    return RealClip(row, start, config.frame_stride, config.num_frames)


def _word(purpose: str, seed: int, clip_id: str) -> int:
    """64 random bits."""
    return int(RandomKey.of("evaluation", purpose, seed, clip_id).draw(0, 1)[0])


def _notes(found: int, usable: int, num: int, config: EvaluateConfig) -> Iterable[str]:
    if usable < found:
        yield f"{found - usable} of {found} clips are shorter than the window and were left out"
    if num < config.num_clips:
        yield (
            f"{config.num_clips} clips were asked for, split {config.split} has {num}: every set "
            f"has {num}"
        )
    if usable < 2 * num:
        yield (
            f"no floor: two disjoint sets of {num} need {2 * num} clips and there are {usable}; "
            "shuffled, frozen and blank are made from a set that overlaps the reference"
        )
