"""Which clips are left out for how they look, and which look like others."""

from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from videogen.config.sections import FilterConfig
from videogen.ingest.clips.looks import ClipLook
from videogen.ingest.clips.perceptual_hash import NO_HASH, Hashes, Indices, close_pairs

_LEVELS = (("brightness", 16.0, 0.0), ("contrast", 4.0, 0.25), ("motion", 4.0, 1.2))
"""How far those of clips that look alike may be apart: so many levels, and so great a share.

Motion is free to change most: encoding blurs what is fine and moves, and grain comes and goes."""

Refusal = Literal["blank", "too dark", "frozen", "low motion", "static overlay"]


def refusal(look: ClipLook, config: FilterConfig) -> Refusal | None:
    """The first reason why a clip is left out, None where there is none."""
    found: tuple[tuple[Refusal, bool], ...] = (
        ("blank", _at_most(look.max_contrast, config.max_blank_contrast)),
        ("too dark", _below(look.brightness, config.min_brightness)),
        ("frozen", _above(look.frozen_fraction, config.max_frozen_fraction)),
        ("low motion", _below(look.motion, config.min_motion)),
        ("static overlay", _above(look.overlay_fraction, config.max_overlay_fraction)),
    )
    return next((reason for reason, holds in found if holds), None)


def near_duplicates(new: pa.Table, known: pa.Table, bits: int) -> pa.Array:
    """For each row of `new` (as `clip_table.SCHEMA`) whether it looks like one that stays.

    Clips look alike where their perceptual hashes differ in at most `bits` bits and brightness,
    contrast and motion agree too. Every known row stays; of new rows that look alike the first by
    clip id stays. Two clips of one source whose spans overlap were cut so on request, and are not
    held against each other, nor is a clip against itself. The answer does not depend on the order
    of either table.
    """
    rows = _Rows(known, new)
    dropped = np.zeros(len(rows.order), dtype=bool)
    rows.settle(dropped, *rows.twins())
    left = np.flatnonzero(~dropped)
    first, second = close_pairs(rows.hashes[left], bits)
    rows.settle(dropped, left[first], left[second])
    answer = np.empty_like(dropped)
    answer[rows.order] = dropped
    return pa.array(answer[len(known) :], type=pa.bool_())


class _Rows:
    """Known rows, then new ones, each by clip id: who comes first, stays."""

    def __init__(self, known: pa.Table, new: pa.Table) -> None:
        self.num_known = len(known)
        ids = np.concatenate([_digests(known, "clip_id"), _digests(new, "clip_id")])
        is_new = np.arange(len(ids)) >= self.num_known
        self.order = np.lexsort((ids, is_new))
        self._ids = ids[self.order]
        self.hashes: Hashes = self._both(known, new, "perceptual_hash").astype(np.uint64)
        self._starts = self._both(known, new, "start_s")
        self._ends = self._both(known, new, "end_s")
        self._levels = [
            (self._both(known, new, name), absolute, relative)
            for name, absolute, relative in _LEVELS
        ]
        sources = np.concatenate([_digests(known, "source_sha256"), _digests(new, "source_sha256")])
        self._sources = np.unique(sources, return_inverse=True)[1][self.order]

    def twins(self) -> tuple[Indices, Indices]:
        """Each row with the first one of its hash and of about its levels.

        Settled before all pairs are looked for, so that many of a kind do not make as many pairs
        as their number squared.
        """
        coarse = [np.floor(levels / absolute) for levels, absolute, _ in self._levels]
        kinds = np.stack([self.hashes, *(one.astype(np.uint64) for one in coarse)], axis=1)
        _, first, same = np.unique(kinds, axis=0, return_index=True, return_inverse=True)
        leaders = first[same.ravel()]
        later = np.flatnonzero((leaders != np.arange(len(leaders))) & (self.hashes != NO_HASH))
        return leaders[later], later

    def settle(self, dropped: NDArray[np.bool_], first: Indices, second: Indices) -> None:
        """Mark in `dropped` each new row of a pair (first < second) whose first one stays."""
        held = self._comparable(first, second)
        first, second = first[held], second[held]
        order = np.lexsort((first, second))
        for one, other in zip(first[order].tolist(), second[order].tolist(), strict=True):
            if not dropped[one]:
                dropped[other] = True

    def _comparable(self, first: Indices, second: Indices) -> NDArray[np.bool_]:
        overlap = (
            (self._sources[first] == self._sources[second])
            & (self._starts[first] < self._ends[second])
            & (self._starts[second] < self._ends[first])
        )
        same_clip = self._ids[first] == self._ids[second]
        both_known = second < self.num_known
        comparable: NDArray[np.bool_] = ~(overlap | same_clip | both_known)
        for levels, absolute, relative in self._levels:
            one, other = levels[first], levels[second]
            comparable &= np.abs(one - other) <= absolute + relative * np.minimum(one, other)
        return comparable

    def _both(self, known: pa.Table, new: pa.Table, name: str) -> NDArray[Any]:
        values = [np.asarray(table.column(name).to_numpy()) for table in (known, new)]
        both: NDArray[Any] = np.concatenate(values)[self.order]
        return both


def _digests(table: pa.Table, name: str) -> NDArray[np.bytes_]:
    return np.array(table.column(name).to_pylist(), dtype="S32")


def _at_most(value: float, limit: float | None) -> bool:
    return limit is not None and value <= limit


def _below(value: float, limit: float | None) -> bool:
    return limit is not None and value < limit


def _above(value: float, limit: float | None) -> bool:
    return limit is not None and value > limit
