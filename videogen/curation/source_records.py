"""What ingests noted of sources, for those who tidy after them: found by ledger, or one by one."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc
import pydantic

from videogen.curation.repack import Move
from videogen.data.snapshots.clip_table import ClipRow, hex_column, rows_of
from videogen.data.snapshots.snapshot import Snapshot
from videogen.errors import CorruptObjectError, ObjectMissingError
from videogen.ingest.known.ledger import Ledger, read_ledger
from videogen.ingest.known.records import SourceRecord, load_records, record_key, write_records
from videogen.storage.base import ObjectStore

_THREADS = 16
_AT_ONCE = 1024
_SUFFIX = ".parquet"

Choice = Callable[[str, Ledger], Iterable[str]]
"""From an ingest digest and its ledger to the URIs of the sources that are wanted."""


def ledger_digests(store: ObjectStore, dataset: str) -> list[str]:
    """The ingest digests that have a ledger."""
    names = store.children(f"datasets/{dataset}/ledgers/")
    return sorted(name.removesuffix(_SUFFIX) for name in names if name.endswith(_SUFFIX))


def unpublished(
    store: ObjectStore, dataset: str, published: Mapping[str, frozenset[str]]
) -> Iterator[SourceRecord]:
    """Records with clips that the newest snapshot of their lineage may not have.

    `published` has the sha256 (hex) of the sources in it, by ingest digest; ledgers of other
    ingests are not looked at. Such sources wait for their snapshot, or were left out for what
    metadata says of them, or for clips that look alike, and may come back. Raises
    `CorruptObjectError` for a damaged ledger or record, and `StorageError`.
    """

    def choice(digest: str, ledger: Ledger) -> Iterable[str]:
        if digest not in published:
            return ()
        there = published[digest]
        rows = ledger.table.filter(pc.greater(ledger.table.column("clips"), 0))
        held_back = rows.column("held_back").to_pylist()
        return (
            uri
            for (uri, sha256), number in zip(_pairs(rows), held_back, strict=True)
            if number or sha256 not in there
        )

    return (record for record in _records(store, dataset, choice) if record.clips)


def records_of(
    store: ObjectStore, dataset: str, source_digests: Collection[str]
) -> Iterator[SourceRecord]:
    """All records of sources with these contents (sha256, hex); errors as of `unpublished`."""

    def choice(_digest: str, ledger: Ledger) -> Iterable[str]:
        return (uri for uri, sha256 in _pairs(ledger.table) if sha256 in source_digests)

    for record in _records(store, dataset, choice):
        if record.sha256 in source_digests:
            yield record


def records_called(store: ObjectStore, dataset: str, uris: Collection[str]) -> list[SourceRecord]:
    """The records of sources with these URIs, of every lineage that has a ledger or none yet."""

    def choice(_digest: str, _ledger: Ledger) -> Iterable[str]:
        return uris

    return [one for one in _records(store, dataset, choice) if one.uri in uris]


def waiting(
    store: ObjectStore, snapshot: Snapshot, shards: Collection[str]
) -> tuple[SourceRecord, ...]:
    """Records of the lineage with clips in those shards that the snapshot does not have.

    Only with such clips; they have to move with the others.
    """
    published = {snapshot.document.ingest_digest: snapshot.source_digests}
    there = set(hex_column(snapshot.clips, "clip_id"))
    found = []
    for record in unpublished(store, snapshot.dataset, published):
        if record.ingest_digest == snapshot.document.ingest_digest:
            clips = [clip for clip in record.clips if clip.shard in shards]
            left = tuple(clip for clip in clips if clip.clip_id not in there)
            if left:
                found.append(record.model_copy(update={"clips": left}))
    return tuple(found)


def repoint(
    store: ObjectStore, after: Snapshot, moves: Iterable[Move], uris: Collection[str]
) -> None:
    """Say in the records of these sources where their clips lie, now that clips were moved.

    Where the snapshot has a clip it says where; `moves` tell it of the others.
    """
    sources = after.clips.column("source").cast(pa.string())
    rows = after.clips.filter(pc.is_in(sources, value_set=pa.array(list(uris), pa.string())))
    places = {row.clip_id: (row.shard, row.offset) for row in rows_of(rows)}
    for move in moves:
        places.setdefault(move.clip_id, (move.shard, move.offset))
    digest, changed = after.document.ingest_digest, []
    for record in load_records(store, after.dataset, digest, uris).values():
        clips = tuple(_moved(clip, places.get(clip.clip_id)) for clip in record.clips)
        if clips != record.clips:
            changed.append(record.model_copy(update={"clips": clips}))
    write_records(store, after.dataset, changed)


def _moved(clip: ClipRow, place: tuple[str, int] | None) -> ClipRow:
    return clip if place is None else replace(clip, shard=place[0], offset=place[1])


def _records(store: ObjectStore, dataset: str, choice: Choice) -> Iterator[SourceRecord]:
    """Records that are chosen by their ledger, and all that no ledger knows.

    Those an ingest leaves that is interrupted before it writes its ledger.
    """
    known: set[str] = set()
    for digest in ledger_digests(store, dataset):
        ledger = read_ledger(store, dataset, digest)
        uris = ledger.table.column("uri").to_pylist()
        known.update(record_key(dataset, uri, digest) for uri in uris)
        yield from load_records(store, dataset, digest, choice(digest, ledger)).values()
    listed = (info.key for info in store.list(f"datasets/{dataset}/sources/"))
    unknown = (key for key in listed if key not in known)
    with ThreadPoolExecutor(_THREADS) as threads:
        while some := [key for _, key in zip(range(_AT_ONCE), unknown, strict=False)]:
            found = threads.map(lambda key: _read(store, key), some)
            yield from (record for record in found if record is not None)


def _read(store: ObjectStore, key: str) -> SourceRecord | None:
    try:
        return SourceRecord.model_validate_json(store.get(key).data)
    except ObjectMissingError:
        return None
    except pydantic.ValidationError as error:
        raise CorruptObjectError(
            f"{key} is damaged or of a newer videogen: delete it, and its source is ingested again"
        ) from error


def _pairs(rows: pa.Table) -> Iterator[tuple[str, str]]:
    """URI and sha256 (hex, empty where unknown) of a ledger's rows."""
    digests = (value.hex() if value else "" for value in rows.column("sha256").to_pylist())
    return zip(rows.column("uri").to_pylist(), digests, strict=True)
