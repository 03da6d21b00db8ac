"""What no snapshot reaches: found first, shown, and deleted only on request."""

import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

import pyarrow.compute as pc

from videogen.artifacts import Artifact
from videogen.curation.holdings import uris_in
from videogen.curation.listing import newest_first, require_head, snapshot_digests
from videogen.curation.source_records import ledger_digests, repoint, unpublished
from videogen.curation.uses import run_uses
from videogen.data.shards.tar_shard import shard_key
from videogen.data.snapshots.forgotten import forgotten_sources
from videogen.data.snapshots.format import Part, SnapshotDocument, part_key, snapshot_key
from videogen.data.snapshots.snapshot import load_document, load_part, load_snapshot
from videogen.errors import LeaseHeldError
from videogen.progress import Progress, ProgressEvent, silent
from videogen.runs.lease import live_leases
from videogen.storage.base import ObjectInfo, ObjectStore

DEFAULT_AGE_S = 24 * 3600.0


@dataclass(frozen=True)
class Rule:
    """What may go."""

    older_than_s: float = DEFAULT_AGE_S
    """What was written later may belong to an ingest that goes on."""
    keep_snapshots: int | None = None
    """The newest of each lineage; older ones go, unless a run trained or was judged with them.

    None: all snapshots stay.
    """


class Garbage(Artifact):
    """What nothing reaches."""

    dataset: str
    snapshots: tuple[str, ...]
    """Digests of old ones that go."""
    objects: tuple[str, ...]
    """Keys of all that goes, snapshots first."""
    bytes: int
    deleted: bool = False
    uploads: int = 0
    """Unfinished uploads that were dropped; told only when deleting."""


def find_garbage(
    store: ObjectStore, dataset: str, rule: Rule, progress: Progress = silent
) -> Garbage:
    """Look for shards and parts that no snapshot reaches, and snapshots that the rule lets go.

    Shards of sources that wait for their snapshot, or were left out by metadata and may come back,
    are reached. Raises `DatasetError`, `CorruptObjectError`, `StorageError`.
    """
    progress(ProgressEvent("gc", message="looking at snapshots, records and runs"))
    newest_allowed = time.time() - rule.older_than_s
    gone = sorted(_old_snapshots(store, dataset, rule, newest_allowed))
    kept = sorted(snapshot_digests(store, dataset).keys() - set(gone))
    reached = _reached(store, dataset, [load_document(store, dataset, one) for one in kept])
    listed = [
        info
        for kind in ("shards", "parts")
        for info in store.list(f"datasets/{dataset}/{kind}/")
        if info.key not in reached and info.modified_at <= newest_allowed
    ]
    listed += _features(store, gone)
    snapshots = [store.head(snapshot_key(dataset, digest)) for digest in gone]
    # Snapshots first: should the deletion be interrupted, none is left without its shards.
    found = [*(info for info in snapshots if info), *sorted(listed, key=lambda info: info.key)]
    return Garbage(
        dataset=dataset,
        snapshots=tuple(gone),
        objects=tuple(info.key for info in found),
        bytes=sum(info.size_bytes for info in found),
    )


def collect(
    store: ObjectStore, garbage: Garbage, rule: Rule, progress: Progress = silent
) -> Garbage:
    """Delete what `find_garbage` found, with all versions; what was written anew meanwhile stays.

    Raises `LeaseHeldError` where an ingest goes on: what it has written may be unknown to records
    for as long as it works on one source. Otherwise as `find_garbage`.
    """
    _refuse_ingest(store, garbage.dataset)
    newest_allowed = time.time() - rule.older_than_s
    _mend_records(store, garbage)
    deleted: list[ObjectInfo] = []
    for done, key in enumerate(garbage.objects):
        progress(ProgressEvent("gc", done, len(garbage.objects), "objects", key))
        info = store.head(key)
        if info is not None and info.modified_at <= newest_allowed:
            store.purge(key)
            deleted.append(info)
    total = len(garbage.objects)
    progress(ProgressEvent("gc", total, total, "objects", garbage.dataset))
    prefix = f"datasets/{garbage.dataset}/"
    return garbage.model_copy(
        update={
            "objects": tuple(info.key for info in deleted),
            "bytes": sum(info.size_bytes for info in deleted),
            "deleted": True,
            "uploads": store.abort_uploads(prefix, max(rule.older_than_s, DEFAULT_AGE_S)),
        }
    )


def _mend_records(store: ObjectStore, garbage: Garbage) -> None:
    """See that no record names a shard that goes for a clip which a snapshot has elsewhere.

    Whoever moved clips may have been killed before it said so in the records.
    """
    dataset = garbage.dataset
    shards = {PurePosixPath(key).stem for key in garbage.objects}
    lineages = require_head(store, dataset).lineages
    parts: dict[str, set[Part]] = {}
    for digest in garbage.snapshots:
        document = load_document(store, dataset, digest)
        parts.setdefault(document.ingest_digest, set()).update(document.parts)
    for ingest_digest, old in parts.items():
        newest = load_snapshot(store, dataset, lineages[ingest_digest])
        left = (load_part(store, dataset, part) for part in old - set(newest.document.parts))
        repoint(store, newest, (), uris_in(left, shards))


def _old_snapshots(
    store: ObjectStore, dataset: str, rule: Rule, newest_allowed: float
) -> Iterator[str]:
    head = require_head(store, dataset)
    if rule.keep_snapshots is None:
        return
    current = set(head.lineages.values())
    used = current | set(_worked_with(store))
    made = snapshot_digests(store, dataset)
    lineages: dict[str, list[str]] = {}
    for digest in newest_first(made, current):
        lineage = load_document(store, dataset, digest).ingest_digest
        lineages.setdefault(lineage, []).append(digest)
    for digests in lineages.values():
        old = digests[rule.keep_snapshots :]
        yield from (one for one in old if one not in used and made[one] <= newest_allowed)


def _worked_with(store: ObjectStore) -> Iterator[str]:
    """Snapshots that a run trained or was judged with, or works with now."""
    for use in run_uses(store):
        yield from (one for stage, one in use.snapshots.items() if stage != "ingest")
    for lease in live_leases(store):
        if lease.use is not None and lease.use.snapshot is not None:
            yield lease.use.snapshot


def _reached(
    store: ObjectStore, dataset: str, documents: Sequence[SnapshotDocument]
) -> frozenset[str]:
    """Keys of the parts and shards of snapshots, and of the shards that records wait with."""
    parts = {part for document in documents for part in document.parts}
    shards: set[str] = set()
    sources: dict[str, frozenset[str]] = {}
    for part in parts:
        table = load_part(store, dataset, part)
        shards.update(value.hex() for value in pc.unique(table.column("shard")).to_pylist())
        sources[part.sha256] = frozenset(
            value.hex() for value in pc.unique(table.column("source_sha256")).to_pylist()
        )
    newest = set(require_head(store, dataset).lineages.values())
    published = dict.fromkeys(ledger_digests(store, dataset), frozenset[str]())
    for document in documents:
        if document.digest in newest:
            every = (sources[part.sha256] for part in document.parts)
            published[document.ingest_digest] = frozenset[str]().union(*every)
    forgotten = forgotten_sources(store, dataset)
    for record in unpublished(store, dataset, published):
        if record.sha256 in forgotten:
            continue
        shards.update(clip.shard for clip in record.clips)
    return frozenset(
        [
            *(part_key(dataset, part.sha256) for part in parts),
            *(shard_key(dataset, shard) for shard in shards),
        ]
    )


def _features(store: ObjectStore, snapshots: Collection[str]) -> Iterator[ObjectInfo]:
    """Cached features of snapshots that go."""
    if not snapshots:
        return
    for extractor in store.children("features/"):
        for snapshot in snapshots:
            yield from store.list(f"features/{extractor}/{snapshot}/")


def _refuse_ingest(store: ObjectStore, dataset: str) -> None:
    for lease in live_leases(store):
        use = lease.use
        if use is None or (use.dataset == dataset and use.is_ingest):
            raise LeaseHeldError(
                f"dataset {dataset}: run {lease.run_id} (process {lease.pid} on {lease.host}) "
                "ingests into it: wait for it to end"
            )
