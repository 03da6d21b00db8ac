"""What became of all sources of a lineage, in one Parquet file: a million of them in one request.

A cache of the records: written when an ingest ends, made anew from the records where it is lost or
does not know a source. A row says no more than what is needed to leave a source alone.
"""

import io
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from videogen.data.snapshots.clip_table import check_version
from videogen.data.video.unusable import Reason
from videogen.errors import (
    CorruptObjectError,
    ObjectMissingError,
    PreconditionFailedError,
    StorageError,
)
from videogen.ingest.known.records import SourceRecord, Status
from videogen.storage.base import ObjectStore

LEDGER_VERSION = 1
_VERSION_KEY = b"videogen.ledger"
_SCHEMA = pa.schema(
    [
        ("uri", pa.string()),
        ("fingerprint", pa.string()),
        ("size_bytes", pa.int64()),
        ("status", pa.string()),
        ("sha256", pa.binary(32)),
        ("reason", pa.string()),
        ("detail", pa.string()),
        ("clips", pa.int32()),
        ("held_back", pa.int32()),
        ("filtered", pa.string()),
    ],
    metadata={_VERSION_KEY: str(LEDGER_VERSION).encode()},
)
_ATTEMPTS = 20
_MAX_WAIT_S = 0.5


@dataclass(frozen=True, slots=True)
class Entry:
    """What the ledger keeps of a record."""

    uri: str
    fingerprint: str
    size_bytes: int
    status: Status
    sha256: bytes | None
    reason: Reason | None
    detail: str
    clips: int
    filtered: str
    """As JSON, which a million entries share."""

    @classmethod
    def of(cls, record: SourceRecord) -> "Entry":
        """Without the clips themselves."""
        return cls(
            uri=record.uri,
            fingerprint=record.fingerprint,
            size_bytes=record.size_bytes,
            status=record.status,
            sha256=bytes.fromhex(record.sha256) if record.sha256 else None,
            reason=record.reason,
            detail=record.detail,
            clips=len(record.clips),
            filtered=sys.intern(json.dumps(record.filtered, sort_keys=True)),
        )


@dataclass(frozen=True)
class Ledger:
    """Rows by URI: fingerprint, size, status, sha256, reason, and numbers of clips.

    `clips` are those of the record, `held_back` those of them that the snapshot left out as near
    duplicates; `filtered` is the record's, as JSON.
    """

    table: pa.Table

    @classmethod
    def empty(cls) -> "Ledger":
        """Of no source."""
        return cls(_SCHEMA.empty_table())

    @classmethod
    def of(cls, entries: Iterable["Entry"], held_back: Mapping[str, int] | None = None) -> "Ledger":
        """One row an entry; `held_back` has clips by URI, where there are any."""
        columns: dict[str, list[Any]] = {name: [] for name in _SCHEMA.names}
        for entry in entries:
            for name in Entry.__slots__:
                columns[name].append(getattr(entry, name))
            columns["held_back"].append((held_back or {}).get(entry.uri, 0))
        return cls(pa.table(columns, schema=_SCHEMA))

    def places(self, uris: pa.Array) -> pa.Array:
        """The row of each URI, null where it has none."""
        return pc.index_in(uris, value_set=self.column("uri"))

    def of_uris(self, uris: pa.Array) -> "Ledger":
        """The rows of those URIs that have one."""
        return Ledger(self.table.take(pc.drop_null(self.places(uris))))

    def with_rows(self, others: "Ledger") -> "Ledger":
        """All rows; those of `others` take the place of rows with the same URI."""
        replaced = pc.is_in(self.table.column("uri"), value_set=others.column("uri"))
        kept = self.table.filter(pc.invert(replaced))
        rows = pa.concat_tables([kept, others.table]).combine_chunks()
        return Ledger(rows.sort_by("uri"))

    def where(self, mask: pa.Array) -> "Ledger":
        """The rows where `mask` is true."""
        return Ledger(self.table.filter(mask))

    def column(self, name: str) -> pa.Array:
        """A column, in one piece."""
        return self.table.column(name).combine_chunks()

    def filtered(self) -> Counter[str]:
        """Clips that were left out, by reason, over all rows."""
        total: Counter[str] = Counter()
        for one in pc.value_counts(self.table.column("filtered")).to_pylist():
            for reason, number in json.loads(one["values"]).items():
                total[reason] += number * one["counts"]
        held_back = pc.sum(self.table.column("held_back")).as_py() or 0
        return total + Counter({"near duplicate": held_back})


def ledger_key(dataset: str, ingest_digest: str) -> str:
    """The key of a lineage's ledger."""
    return f"datasets/{dataset}/ledgers/{ingest_digest}.parquet"


def read_ledger(store: ObjectStore, dataset: str, ingest_digest: str) -> Ledger:
    """The ledger of a lineage, empty where none was written.

    Raises `CorruptObjectError`, `DatasetError` for a newer format, and `StorageError`.
    """
    return _read(store, ledger_key(dataset, ingest_digest))[0]


def update_ledger(store: ObjectStore, dataset: str, ingest_digest: str, rows: Ledger) -> None:
    """Put rows into the ledger; those that another ingest wrote meanwhile stay.

    Writes nothing where it says so already. Raises as `read_ledger`.
    """
    _change(store, ledger_key(dataset, ingest_digest), lambda before: before.with_rows(rows))


def drop_from_ledger(
    store: ObjectStore, dataset: str, ingest_digest: str, uris: Iterable[str]
) -> None:
    """Take sources out of the ledger, so that their records are looked at again, or none is there.

    Raises as `read_ledger`.
    """
    dropped = pa.array(list(uris), pa.string())

    def change(before: Ledger) -> Ledger:
        return before.where(pc.invert(pc.is_in(before.column("uri"), value_set=dropped)))

    _change(store, ledger_key(dataset, ingest_digest), change)


def _change(store: ObjectStore, key: str, change: Callable[[Ledger], Ledger]) -> None:
    for attempt in range(_ATTEMPTS):
        before, etag = _read(store, key)
        after = change(before)
        if etag is not None and after.table.equals(before.table):
            return
        data = _to_parquet(after.table)
        try:
            if etag is None:
                store.put_if_absent(key, data)
            else:
                store.put_if_match(key, data, etag)
        except PreconditionFailedError:
            time.sleep(random.uniform(0, min(_MAX_WAIT_S, 0.02 * 2**attempt)))  # noqa: S311 - jitter
        else:
            return
    raise StorageError(
        f"{key} in {store.root} changed {_ATTEMPTS} times while it was to be written: run the "
        "ingest again when others are done"
    )


def _read(store: ObjectStore, key: str) -> tuple[Ledger, str | None]:
    try:
        stored = store.get(key)
    except ObjectMissingError:
        return Ledger.empty(), None
    try:
        table = pq.read_table(io.BytesIO(stored.data))
        metadata = cast("dict[bytes, bytes]", table.schema.metadata or {})
        check_version(int(metadata.get(_VERSION_KEY, b"0")), LEDGER_VERSION, key)
        rows = table.select(_SCHEMA.names).cast(_SCHEMA).combine_chunks()
    except (pa.ArrowException, KeyError, OSError, ValueError) as error:
        raise CorruptObjectError(
            f"{key} in {store.root} is damaged: delete it, and it is made anew from the records of "
            "the sources"
        ) from error
    return Ledger(rows), stored.etag


def _to_parquet(table: pa.Table) -> bytes:
    file = io.BytesIO()
    pq.write_table(table, file, compression="zstd")
    return file.getvalue()
