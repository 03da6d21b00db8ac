"""Whether every byte of a dataset is what was ingested: `HEAD`, snapshots, parts and shards."""

import hashlib
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.compute as pc

from videogen.artifacts import Artifact
from videogen.curation.listing import find_digest, require_head, snapshot_digests
from videogen.data.shards.tar_shard import shard_key
from videogen.data.snapshots.clip_table import ROWS_VERSION, ClipRow, join, rows_digest, rows_of
from videogen.data.snapshots.forgotten import forgotten_sources, read_tombstone
from videogen.data.snapshots.format import (
    Part,
    SnapshotDocument,
    forgotten_key,
    head_key,
    part_key,
    snapshot_key,
)
from videogen.data.snapshots.snapshot import load_document, load_part
from videogen.errors import CorruptObjectError, DatasetError, ObjectMissingError
from videogen.progress import Progress, ProgressEvent, silent
from videogen.storage.base import ObjectStore

_THREADS = 4


class Damage(Artifact):
    """One object that is not what it should be."""

    object: str
    """Its key."""
    problem: str


class Verification(Artifact):
    """What `verify` looked at, and what it found."""

    dataset: str
    snapshots: tuple[str, ...]
    objects: int
    clips: int
    bytes: int
    """Of the shards; each was read whole."""
    damaged: tuple[Damage, ...]


def verify(
    store: ObjectStore,
    dataset: str,
    digests: Sequence[str],
    progress: Progress = silent,
) -> Verification:
    """Read everything that these snapshots reach, and check it against the digests that name it.

    `HEAD`, the tombstones, the snapshots' documents and rows, their parts and whole shards: one
    byte that changed anywhere is found. What is damaged is part of the answer. Needs room for a
    few shards in the temporary directory. Raises `DatasetError` where there is no such dataset,
    and `StorageError`.
    """
    damaged = [*_look_at_pointers(store, dataset)]
    documents: list[SnapshotDocument] = []
    for digest in digests:
        try:
            documents.append(load_document(store, dataset, digest))
        except (CorruptObjectError, DatasetError) as error:
            damaged.append(Damage(object=snapshot_key(dataset, digest), problem=str(error)))
    parts = sorted({part for one in documents for part in one.parts}, key=lambda one: one.sha256)
    tables: dict[Part, pa.Table] = {}
    for part in parts:
        try:
            tables[part] = load_part(store, dataset, part)
        except (CorruptObjectError, DatasetError, ObjectMissingError) as error:
            damaged.append(Damage(object=part_key(dataset, part.sha256), problem=str(error)))
    for document in documents:
        if all(part in tables for part in document.parts):
            damaged += _look_at_rows(document, join([tables[part] for part in document.parts]))
    shards = _by_shard(list(tables.values()))
    read = _Shards(store, dataset, progress)
    damaged += read.look_at(shards)
    return Verification(
        dataset=dataset,
        snapshots=tuple(digests),
        objects=1 + len(digests) + len(parts) + len(shards),
        clips=sum(map(len, shards.values())),
        bytes=read.bytes_read,
        damaged=tuple(damaged),
    )


def digests_to_verify(store: ObjectStore, dataset: str, wanted: str | None) -> tuple[str, ...]:
    """The digest of the current snapshot, or of the one that begins with `wanted`.

    Where `HEAD` is damaged, all that there are: `verify` says so. Raises `DatasetError`.
    """
    try:
        return (find_digest(store, dataset, wanted),)
    except CorruptObjectError:
        return tuple(sorted(snapshot_digests(store, dataset)))


def _look_at_pointers(store: ObjectStore, dataset: str) -> Iterator[Damage]:
    try:
        require_head(store, dataset)
    except CorruptObjectError as error:
        yield Damage(object=head_key(dataset), problem=str(error))
    for source_sha256 in sorted(forgotten_sources(store, dataset)):
        try:
            read_tombstone(store, dataset, source_sha256)
        except CorruptObjectError as error:
            yield Damage(object=forgotten_key(dataset, source_sha256), problem=str(error))


def _look_at_rows(document: SnapshotDocument, rows: pa.Table) -> Iterator[Damage]:
    """Whether the digest is that of the rows, in the format of today or an earlier one."""
    versions = range(1, ROWS_VERSION + 1)
    digests = {rows_digest(rows, document.ingest_digest, version) for version in versions}
    found = (len(rows), pc.sum(rows.column("frames")).as_py() or 0)
    if document.digest not in digests or found != (document.clips, document.frames):
        yield Damage(
            object=snapshot_key(document.dataset, document.digest),
            problem=f"its parts hold {found[0]} clips of {found[1]} frames that are not the "
            f"{document.clips} clips of {document.frames} frames that it is named by",
        )


def _by_shard(tables: Sequence[pa.Table]) -> dict[str, list[ClipRow]]:
    """The clips of each shard, each place once."""
    shards: dict[str, dict[tuple[str, int], ClipRow]] = {}
    for table in tables:
        for row in rows_of(table):
            shards.setdefault(row.shard, {})[row.clip_id, row.offset] = row
    return {shard: list(clips.values()) for shard, clips in sorted(shards.items())}


class _Shards:
    """Reads shards whole, a few at once."""

    def __init__(self, store: ObjectStore, dataset: str, progress: Progress) -> None:
        self._store = store
        self._dataset = dataset
        self._progress = progress
        self.bytes_read = 0

    def look_at(self, shards: dict[str, list[ClipRow]]) -> list[Damage]:
        """What is wrong with them, in their order."""
        found: list[Damage] = []
        self._report(0, len(shards))
        with ThreadPoolExecutor(_THREADS) as threads:
            answers = threads.map(self._look_at_one, shards, shards.values())
            for done, (damage, num_bytes) in enumerate(answers, start=1):
                found += damage
                self.bytes_read += num_bytes
                self._report(done, len(shards))
        return found

    def _look_at_one(self, shard: str, clips: list[ClipRow]) -> tuple[list[Damage], int]:
        key = shard_key(self._dataset, shard)
        with tempfile.TemporaryDirectory(prefix="videogen-verify-") as scratch:
            path = Path(scratch) / "shard.tar"
            try:
                self._store.download(key, path)
            except ObjectMissingError as error:
                return [Damage(object=key, problem=str(error))], 0
            with path.open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
                problems = [f"its sha256 is {found}"] if found != shard else []
                problems += self._wrong_clips(file, clips)
            size = path.stat().st_size
        text = "; ".join(problems)
        return [Damage(object=key, problem=text)] if problems else [], size

    def _wrong_clips(self, file: BinaryIO, clips: list[ClipRow]) -> list[str]:
        wrong = []
        for clip in clips:
            file.seek(clip.offset)
            data = file.read(clip.length)
            if len(data) != clip.length or hashlib.sha256(data).hexdigest() != clip.sha256:
                wrong.append(clip.clip_id)
        if not wrong:
            return []
        return [f"{len(wrong)} of its {len(clips)} clips differ, the first is {wrong[0]}"]

    def _report(self, done: int, total: int) -> None:
        figures = {"MB": self.bytes_read / 1e6}
        self._progress(ProgressEvent("verify", done, total, "shards", self._dataset, figures))
