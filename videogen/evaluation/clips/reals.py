"""Which real clips stand for the data: two disjoint sets, and those that the training saw.

Of each clip one random window. A clip's place in the order, and its window, depend on the seed
and the clip's id alone, so growing a dataset changes the sets only where new clips enter them.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import UInt8

from videogen.config.evaluate import EvaluateConfig
from videogen.data.loading.order import RandomKey
from videogen.data.shards.tar_shard import read_clip_bytes, read_frames
from videogen.data.snapshots.clip_table import ClipRow, hex_column, rows_of
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


def in_order(clips: pa.Table, seed: int) -> pa.Table:
    """Rows of clips (`clip_table.SCHEMA`) in the order in which an evaluation takes them."""
    words = [_word("clip", seed, clip_id) for clip_id in hex_column(clips, "clip_id")]
    return clips.take(pa.array(np.argsort(np.array(words, np.uint64), kind="stable")))


def choose_reals(ordered: pa.Table, config: EvaluateConfig) -> Reals:
    """A and B from the clips of a split, `in_order`, by `config`.

    Where there are fewer than `num_clips`, N is what there is; where there are fewer than 2 N, B
    overlaps A as little as possible and there is no floor. Both are said in the notes.

    Raises:
        EvaluationError: fewer than two clips are long enough.
    """
    span = _span(config)
    usable = _long_enough(ordered, span)
    if len(usable) < _MIN_CLIPS:
        raise EvaluationError(
            f"split {config.split} has {len(usable)} clips of {span} frames or more (of "
            f"{len(ordered)}): evaluate needs at least {_MIN_CLIPS}; ingest more videos, set "
            "evaluate.split=all or lower evaluate.num_frames"
        )
    num = min(config.num_clips, len(usable))
    disjoint = len(usable) >= 2 * num
    a = _windows(usable.slice(0, num), config)
    return Reals(
        a=a,
        b=_windows(usable.slice(num if disjoint else len(usable) - num, num), config),
        disjoint=disjoint,
        codec=a[0].row.codec,
        notes=tuple(_notes(len(ordered), len(usable), num, config)),
    )


def choose_training(
    ordered: pa.Table, config: EvaluateConfig
) -> tuple[tuple[RealClip, ...], tuple[str, ...]]:
    """Up to `training_clips` windows of the train split's clips, and what is to be said of them.

    Order and windows are those of `choose_reals`: where that is asked for the train split too, its
    clips come first.
    """
    usable = _long_enough(ordered, _span(config))
    chosen = _windows(usable.slice(0, config.training_clips), config)
    if not chosen or len(chosen) == len(ordered):
        return chosen, ()
    note = (
        f"near-copies were looked for among {len(chosen):,} windows, one of a clip, of "
        f"{len(ordered):,} training clips"
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


def _long_enough(clips: pa.Table, span: int) -> pa.Table:
    return clips.filter(pc.greater_equal(clips.column("frames"), span))


def _windows(clips: pa.Table, config: EvaluateConfig) -> tuple[RealClip, ...]:
    """One of each clip."""
    span, rows = _span(config), rows_of(clips)
    starts = [
        (_word("window", config.seed, row.clip_id) * (row.frames - span + 1)) >> _WORD_BITS
        for row in rows
    ]
    return tuple(
        RealClip(row, start, config.frame_stride, config.num_frames)
        for row, start in zip(rows, starts, strict=True)
    )


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
