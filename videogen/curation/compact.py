"""Many small shards into few: what hourly increments leave is slow to read and to list."""

import math
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from videogen.artifacts import Artifact
from videogen.curation.holdings import rows_in
from videogen.curation.listing import find_snapshot
from videogen.curation.repack import Repacker, by_shard, moved
from videogen.curation.source_records import repoint
from videogen.data.clip_table import ClipRow
from videogen.data.snapshot import Snapshot, rewrite
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

    @property
    def num_bytes(self) -> int:
        return sum(clip.length for clips in self.shards.values() for clip in clips)


def compact(
    store: ObjectStore, dataset: str, shard_size_bytes: int, progress: Progress = silent
) -> Compaction:
    """Merge the small shards of the current snapshot, and make the result current.

    A shard is small where its clips fill less than half of `shard_size_bytes`. Clips stay as they
    are, byte for byte and with their ids; they only lie elsewhere, so the snapshot is a new one.
    The old shards stay while an old snapshot reaches them. Raises `DatasetError`,
    `CorruptObjectError`, `StorageError`.
    """
    before = find_snapshot(store, dataset)
    plan = _plan(before, shard_size_bytes)
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


def _plan(snapshot: Snapshot, shard_size_bytes: int) -> _Plan:
    sizes = snapshot.clips.group_by("shard").aggregate([("length", "sum")])
    small = sizes.filter(pc.less(sizes.column("length_sum"), _SMALL * shard_size_bytes))
    wanted = small.column("shard").combine_chunks()
    rows = snapshot.clips.filter(pc.is_in(snapshot.clips.column("shard"), value_set=wanted))
    plan = _Plan(by_shard(rows))
    fewest = max(1, math.ceil(plan.num_bytes / shard_size_bytes))
    return plan if fewest < len(plan.shards) else _Plan({})


def _carry_out(
    store: ObjectStore, before: Snapshot, plan: _Plan, shard_size_bytes: int, progress: Progress
) -> Snapshot:
    with Repacker(store, before.dataset, shard_size_bytes) as repacker:
        for done, (shard, clips) in enumerate(plan.shards.items()):
            progress(ProgressEvent("compact", done, len(plan.shards), "shards", before.dataset))
            repacker.add(shard, clips)
        repacker.finish()
        moves = tuple(repacker.moves)

    def change(newest: pa.Table) -> pa.Table:
        return moved(newest, moves)

    total = len(plan.shards)
    after = rewrite(store, before.dataset, before.document.ingest_digest, change)
    repoint(store, rows_in(before.clips, plan.shards), after)
    progress(ProgressEvent("compact", total, total, "shards", before.dataset))
    return after


def _num_shards(snapshot: Snapshot) -> int:
    return len(pc.unique(snapshot.clips.column("shard")))
