"""Where a dataset holds the bytes of a source: rows, snapshots, shards, records."""

import tempfile
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pyarrow as pa
import pyarrow.compute as pc

from videogen.curation.listing import snapshot_digests
from videogen.curation.source_records import records_of
from videogen.data.shards.tar_shard import read_facts, shard_key
from videogen.data.snapshots.clip_table import hex_column, of_sources
from videogen.data.snapshots.format import Part, SnapshotDocument, part_key
from videogen.data.snapshots.snapshot import load_document, load_part
from videogen.errors import CorruptObjectError, ObjectMissingError
from videogen.ingest.known.records import SourceRecord
from videogen.storage.base import ObjectStore


@dataclass(frozen=True)
class Holdings:
    """Everything that holds, or shows, sources which are to be forgotten; hex digests."""

    uris: dict[str, frozenset[str]]
    """Where each source, by its sha256, lay when it was ingested."""
    clip_ids: frozenset[str]
    showing: frozenset[str]
    """Snapshots with clips of theirs."""
    touching: frozenset[str]
    """Those, and snapshots with other clips in the same shards."""
    shards: frozenset[str]
    """With clips of theirs, among others."""
    parts: frozenset[str]
    """That list such shards."""


@dataclass(frozen=True)
class Chain:
    """All snapshots of a dataset with their rows; each part is read once."""

    documents: dict[str, SnapshotDocument]
    tables: dict[Part, pa.Table]

    @classmethod
    def read(cls, store: ObjectStore, dataset: str) -> "Chain":
        """Read them. Raises `CorruptObjectError`, `DatasetError`, `StorageError`."""
        documents = {
            digest: load_document(store, dataset, digest)
            for digest in snapshot_digests(store, dataset)
        }
        parts = {part for document in documents.values() for part in document.parts}
        return cls(documents, {part: load_part(store, dataset, part) for part in parts})

    def shards(self) -> frozenset[str]:
        """All shards that any row names."""
        return frozenset(
            shard.hex()
            for table in self.tables.values()
            for shard in pc.unique(table.column("shard")).to_pylist()
        )

    def with_any(self, parts: Collection[Part]) -> frozenset[str]:
        """The snapshots that list any of these parts."""
        return frozenset(
            digest
            for digest, document in self.documents.items()
            if not set(parts).isdisjoint(document.parts)
        )


def find_holdings(
    store: ObjectStore, dataset: str, source_digests: frozenset[str], chain: Chain
) -> Holdings:
    """Look through all snapshots, records, and shards that no snapshot reaches.

    Raises `CorruptObjectError`, `DatasetError`, `StorageError`.
    """
    records = list(records_of(store, dataset, source_digests))
    rows = {
        part: table.filter(of_sources(table, source_digests))
        for part, table in chain.tables.items()
    }
    rows = {part: table for part, table in rows.items() if len(table)}
    shards = {shard for table in rows.values() for shard in hex_column(table, "shard")}
    shards.update(clip.shard for record in records for clip in record.clips)
    shards.update(_unreached_shards(store, dataset, chain.shards() | shards, source_digests))
    touched = [part for part, table in chain.tables.items() if _lies_in(table, shards)]
    return Holdings(
        uris=_uris(source_digests, list(rows.values()), records),
        clip_ids=frozenset(one for table in rows.values() for one in hex_column(table, "clip_id")),
        showing=chain.with_any(rows),
        touching=chain.with_any(touched),
        shards=frozenset(shards),
        parts=frozenset(part_key(dataset, part.sha256) for part in touched),
    )


def contents(tables: Iterable[pa.Table]) -> dict[str, set[str]]:
    """sha256 (hex) of the contents that each URI had."""
    found: dict[str, set[str]] = {}
    for table in tables:
        pairs = table.select(["source", "source_sha256"]).group_by(["source", "source_sha256"])
        columns = [column.to_pylist() for column in pairs.aggregate([]).columns]
        for uri, sha256 in zip(*columns, strict=True):
            found.setdefault(uri, set()).add(sha256.hex())
    return found


def rows_in(table: pa.Table, shards: Collection[str]) -> pa.Table:
    """The rows whose clip lies in one of these shards."""
    wanted = pa.array([bytes.fromhex(one) for one in shards], type=pa.binary(32))
    return table.filter(pc.is_in(table.column("shard"), value_set=wanted))


def uris_in(tables: Iterable[pa.Table], shards: Collection[str]) -> frozenset[str]:
    """URIs of the sources of rows whose clip lies in one of these shards."""
    found = (pc.unique(rows_in(table, shards).column("source")) for table in tables)
    return frozenset(uri for uris in found for uri in uris.cast(pa.string()).to_pylist())


def _uris(
    source_digests: frozenset[str], tables: list[pa.Table], records: list[SourceRecord]
) -> dict[str, frozenset[str]]:
    pairs = {(uri, one) for uri, digests in contents(tables).items() for one in digests}
    pairs |= {(record.uri, record.sha256) for record in records if record.sha256}
    return {
        digest: frozenset(uri for uri, one in pairs if one == digest) for digest in source_digests
    }


def _lies_in(table: pa.Table, shards: Collection[str]) -> bool:
    return len(rows_in(table, shards)) > 0


def _unreached_shards(
    store: ObjectStore, dataset: str, reached: Collection[str], source_digests: frozenset[str]
) -> Iterator[str]:
    """Shards that nothing refers to, as an interrupted ingest leaves them, with such clips."""
    for info in store.list(f"datasets/{dataset}/shards/"):
        shard = PurePosixPath(info.key).stem
        if shard in reached:
            continue
        with tempfile.TemporaryDirectory(prefix="videogen-shard-") as scratch:
            path = Path(scratch) / "shard.tar"
            try:
                store.download(shard_key(dataset, shard), path)
                held = [one.get("source_sha256") for one in read_facts(path, info.key).values()]
            except ObjectMissingError:
                continue
            except CorruptObjectError:  # of no use to anyone, and it may hold what is to go
                held = list(source_digests)
        if not source_digests.isdisjoint(held):
            yield shard
