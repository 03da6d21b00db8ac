"""Many small shards into few: what hourly increments leave is slow to read and to list."""

import math
from dataclasses import dataclass

import pyarrow.compute as pc

from videogen.artifacts import Artifact
from videogen.curation.holdings import rows_in
from videogen.curation.listing import find_snapshot
from videogen.curation.repack import Repacker, by_shard, move_rows, usable
from videogen.curation.source_records import repoint, waiting
from videogen.data.snapshots.clip_table import ClipRow, hex_column, rows_of
from videogen.data.snapshots.forgotten import forgotten_sources
from videogen.data.snapshots.snapshot import Snapshot
from videogen.progress import Progress, ProgressEvent, silent
from videogen.storage.base import ObjectStore

_SMALL = 0.5
"""Of a full shard: what holds fewer bytes of clips than that is merged with others."""


class Compaction(Artifact):
    """What `compact` did."""

    dataset: str
    snapshot: str
    """The current one afterwards."""
    parent: str
    """The current one before; the same where nothing was to be done."""
    clips: int
    shards_before: int
    shards: int
    clips_moved: int
    bytes_moved: int


@dataclass(frozen=True)
class _Plan:
    """Which clips are to be packed anew, by shard."""

    shards: dict[str, list[ClipRow]]
    uris: frozenset[str]
    """Of the sources that the clips are of."""

    @property
    def num_bytes(self) -> int:
        return sum(clip.length for clips in self.shards.values() for clip in clips)


def compact(
    store: ObjectStore, dataset: str, shard_size_bytes: int, progress: Progress = silent
) -> Compaction:
    """Merge the small shards of the current snapshot, and make the result current.

    A shard is small where its clips fill less than half of `shard_size_bytes`. Clips stay as they
    are, byte for byte and with their ids; they only lie elsewhere, so the snapshot is a new one.
    Clips that records keep back for later move with the others.
    The old shards stay while an old snapshot reaches them. Raises `DatasetError`,
    `CorruptObjectError`, `StorageError`.
    """
    before = find_snapshot(store, dataset)
    plan = _plan(store, before, shard_size_bytes)
    after = _carry_out(store, before, plan, shard_size_bytes, progress) if plan.shards else before
    return Compaction(
        dataset=dataset,
        snapshot=after.digest,
        parent=before.digest,
        clips=len(after.clips),
        shards_before=_num_shards(before),
        shards=_num_shards(after),
        clips_moved=sum(map(len, plan.shards.values())),
        bytes_moved=plan.num_bytes,
    )


def _small_shards(snapshot: Snapshot, shard_size_bytes: int) -> frozenset[str]:
    """Shards to be merged; none where no fewer would come of it."""
    sizes = snapshot.clips.group_by("shard").aggregate([("length", "sum")])
    small = sizes.filter(pc.less(sizes.column("length_sum"), _SMALL * shard_size_bytes))
    num_bytes = pc.sum(small.column("length_sum")).as_py() or 0
    fewest = max(1, math.ceil(num_bytes / shard_size_bytes))
    return frozenset(hex_column(small, "shard")) if fewest < len(small) else frozenset()


def _plan(store: ObjectStore, snapshot: Snapshot, shard_size_bytes: int) -> _Plan:
    small = _small_shards(snapshot, shard_size_bytes)
    if not small:
        return _Plan({}, frozenset())
    forgotten = forgotten_sources(store, snapshot.dataset)
    held = [one for one in waiting(store, snapshot, small) if one.sha256 not in forgotten]
    rows = rows_of(rows_in(snapshot.clips, small))
    rows += [clip for record in held for clip in record.clips]
    return _Plan(by_shard(rows), frozenset(row.source for row in rows))


def _carry_out(
    store: ObjectStore, before: Snapshot, plan: _Plan, shard_size_bytes: int, progress: Progress
) -> Snapshot:
    total = len(plan.shards)
    with Repacker(store, before.dataset, shard_size_bytes) as repacker:
        for done, (shard, clips) in enumerate(plan.shards.items()):
            progress(ProgressEvent("compact", done, total, "shards", before.dataset))
            repacker.add(shard, clips)
        repacker.finish()
        moves = tuple(repacker.moves)
    after = move_rows(before, moves, store)
    repoint(store, after, usable(moves, forgotten_sources(store, before.dataset)), plan.uris)
    progress(ProgressEvent("compact", total, total, "shards", before.dataset))
    return after


def _num_shards(snapshot: Snapshot) -> int:
    return len(pc.unique(snapshot.clips.column("shard")))
