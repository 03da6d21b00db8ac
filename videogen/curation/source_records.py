"""What ingests noted of sources, for those who tidy after them: found by ledger, or one by one."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pyarrow.compute as pc
import pydantic

from videogen.data.clip_table import hex_column, rows_of
from videogen.data.snapshot import Snapshot
from videogen.errors import CorruptObjectError, ObjectMissingError
from videogen.ingest.ledger import Ledger, ledger_key, read_ledger
from videogen.ingest.records import SourceRecord, load_records, record_key, write_records
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


def ledger_keys(store: ObjectStore, dataset: str) -> list[str]:
    """The keys of all ledgers."""
    return [ledger_key(dataset, digest) for digest in ledger_digests(store, dataset)]


def unpublished(
    store: ObjectStore, dataset: str, published: Mapping[str, frozenset[str]]
) -> Iterator[SourceRecord]:
    """Records with clips of sources that the newest snapshot of their lineage does not have.

    `published` has the sha256 (hex) of the sources in it, by ingest digest. Such sources wait for
    their snapshot, or were left out for what metadata says of them, and may come back. Raises
    `CorruptObjectError` for a damaged ledger or record, and `StorageError`.
    """

    def choice(digest: str, ledger: Ledger) -> Iterable[str]:
        there = published.get(digest, frozenset())
        rows = ledger.table.filter(pc.greater(ledger.table.column("clips"), 0))
        return (uri for uri, sha256 in _pairs(rows) if sha256 not in there)

    for record in _records(store, dataset, choice):
        there = published.get(record.ingest_digest, frozenset())
        if record.clips and record.sha256 not in there:
            yield record


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


def repoint(store: ObjectStore, before: pa.Table, after: Snapshot) -> None:
    """Say in the records of sources where their clips lie now.

    `before` has the rows that were moved. Clips that lay in one of their shards and are not in the
    snapshot leave the record: that shard will go.
    """
    uris = pc.unique(before.column("source").cast(pa.string())).to_pylist()
    old_shards = set(hex_column(before, "shard"))
    sources = after.clips.column("source").cast(pa.string())
    rows = after.clips.filter(pc.is_in(sources, value_set=pa.array(uris, type=pa.string())))
    places = {row.clip_id: row for row in rows_of(rows)}
    changed = []
    records = load_records(store, after.dataset, after.document.ingest_digest, uris)
    for record in records.values():
        clips = tuple(
            places.get(clip.clip_id, clip)
            for clip in record.clips
            if clip.clip_id in places or clip.shard not in old_shards
        )
        if clips != record.clips:
            changed.append(record.model_copy(update={"clips": clips}))
    write_records(store, after.dataset, changed)


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
