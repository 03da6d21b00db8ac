"""Every byte that holds or shows forgotten sources is deleted, with all versions of its object.

What is to go is written into the tombstones first, so an interrupted purge can be finished.
"""

from collections.abc import Collection, Iterator, Sequence
from datetime import UTC, datetime

from videogen.artifacts import Artifact
from videogen.curation.holdings import Chain, Holdings, find_holdings, uris_in
from videogen.curation.listing import require_head
from videogen.curation.source_records import ledger_digests, records_of, repoint, unpublished
from videogen.curation.uses import RunUse, Tracked
from videogen.data.shards.tar_shard import shard_key
from videogen.data.snapshots.forgotten import Tombstone, read_tombstone, write_tombstone
from videogen.data.snapshots.format import snapshot_key
from videogen.data.snapshots.snapshot import load_snapshot
from videogen.errors import StorageError
from videogen.ingest.known.ledger import drop_from_ledger
from videogen.ingest.known.records import SourceRecord, record_key
from videogen.progress import Progress, ProgressEvent
from videogen.storage.base import ObjectStore

_FEATURES = "features/"


class Purged(Artifact):
    """How much was deleted, by kind."""

    snapshots: int
    objects: int
    """Shards, parts, records, ledgers, features and previews, in the store."""
    sheets: int
    """Files of evaluations in the tracking system."""


def purge(
    store: ObjectStore,
    dataset: str,
    digests: frozenset[str],
    known: tuple[Tracked, Sequence[RunUse]],
    progress: Progress,
) -> Purged:
    """Delete what `find_holdings` finds, and what earlier purges of these sources left.

    The newest snapshots must be free of the sources. Raises `StorageError`, also where another
    writer has brought one of their shards back meanwhile.
    """
    tracked, runs = known
    chain = Chain.read(store, dataset)
    held = find_holdings(store, dataset, digests, chain)
    newest = set(require_head(store, dataset).lineages.values())
    if newest & held.touching:
        raise StorageError(
            f"dataset {dataset} got clips out of shards that are to be purged, from another "
            "writer: run the command again when it is done"
        )
    for one in newest:
        # Whoever moved clips out of these shards may have been killed before it wrote the records.
        moved = uris_in(chain.tables.values(), held.shards)
        repoint(store, load_snapshot(store, dataset, one), (), moved)
    stones = [stone for one in digests if (stone := read_tombstone(store, dataset, one))]
    snapshots = held.touching | {one for stone in stones for one in stone.snapshots}
    records = [*records_of(store, dataset, digests), *_stale(store, dataset, held)]
    keys = {
        *(record_key(dataset, one.uri, one.ingest_digest) for one in records),
        *(key for stone in stones for key in stone.keys),
        *_objects(dataset, held),
        *_shown(store, snapshots, runs),
    }
    _note(store, dataset, stones, snapshots, keys)
    _drop_from_ledgers(store, dataset, records)
    sheets = tracked.purge_sheets(snapshots, store)
    # Snapshots first: none is left whose parts or shards are gone.
    everything = [*(snapshot_key(dataset, one) for one in sorted(snapshots)), *sorted(keys)]
    for done, key in enumerate(everything):
        progress(ProgressEvent("purge", done, len(everything), "objects", key))
        store.purge(key)
    progress(ProgressEvent("purge", len(everything), len(everything), "objects", dataset))
    now = datetime.now(UTC).isoformat(timespec="seconds")
    for stone in stones:
        done_stone = Tombstone(
            source_sha256=stone.source_sha256, forgotten_at=stone.forgotten_at, purged_at=now
        )
        write_tombstone(store, dataset, done_stone)
    return Purged(snapshots=len(snapshots), objects=len(keys), sheets=sheets)


def _drop_from_ledgers(store: ObjectStore, dataset: str, records: Sequence[SourceRecord]) -> None:
    for digest in ledger_digests(store, dataset):
        uris = [record.uri for record in records if record.ingest_digest == digest]
        drop_from_ledger(store, dataset, digest, uris)


def _note(
    store: ObjectStore,
    dataset: str,
    stones: Sequence[Tombstone],
    snapshots: Collection[str],
    keys: Collection[str],
) -> None:
    left = {"snapshots": tuple(sorted(snapshots)), "keys": tuple(sorted(keys))}
    for stone in stones:
        write_tombstone(store, dataset, stone.model_copy(update=left))


def _objects(dataset: str, held: Holdings) -> Iterator[str]:
    """What of the dataset goes, beside snapshots and records."""
    yield from (shard_key(dataset, shard) for shard in held.shards)
    yield from held.parts


def _stale(store: ObjectStore, dataset: str, held: Holdings) -> Iterator[SourceRecord]:
    """Records of other sources with clips in shards that go: those are to be decoded again."""
    lineages = require_head(store, dataset).lineages
    published = dict.fromkeys(ledger_digests(store, dataset), frozenset[str]())
    for digest, snapshot in lineages.items():
        published[digest] = load_snapshot(store, dataset, snapshot).source_digests
    for record in unpublished(store, dataset, published):
        if not held.shards.isdisjoint(clip.shard for clip in record.clips):
            yield record


def _shown(store: ObjectStore, snapshots: Collection[str], runs: Sequence[RunUse]) -> Iterator[str]:
    """Features of the clips, and the sheets and previews of evaluations that may show them.

    What is below a run's `evaluation/` does not say what it shows: the results of the run do, and
    its lease where the evaluation was interrupted.
    """
    for extractor in store.children(_FEATURES):
        for snapshot in snapshots:
            found = store.list(f"{_FEATURES}{extractor}/{snapshot}/")
            yield from (info.key for info in found)
    for run in runs:
        if run.stages_with(snapshots) or run.begun in snapshots:
            yield from run.previews
            yield from (info.key for info in store.list(f"runs/{run.run_id}/evaluation/"))
