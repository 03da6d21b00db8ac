"""Snapshots: immutable lists of Parquet parts, and the `HEAD` that moves from one to the next.

Parts and snapshots are named by digest and never rewritten; an ingest adds a part. `HEAD` holds
the current snapshot, and the last one of each ingest digest, so that going back to an earlier
config finds its clips again. A part is written before the snapshot that lists it, and `HEAD` last.
"""

import hashlib
import random
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc

from videogen.data.clip_table import (
    ClipRow,
    from_parquet,
    join,
    rows_digest,
    rows_of,
    to_parquet,
    without,
)
from videogen.data.snapshot_format import (
    Head,
    Part,
    SnapshotDocument,
    head_key,
    mend,
    parse,
    part_key,
    snapshot_key,
)
from videogen.errors import (
    CorruptObjectError,
    DatasetError,
    ObjectMissingError,
    PreconditionFailedError,
    StorageError,
)
from videogen.storage.base import ObjectStore

_ATTEMPTS = 40
_MAX_WAIT_S = 0.5


@dataclass(frozen=True)
class Snapshot:
    """One state of a dataset: its clips as a table sorted by clip id."""

    document: SnapshotDocument
    clips: pa.Table
    """See `clip_table.SCHEMA`; digests are binary."""

    @property
    def digest(self) -> str:
        """Names the snapshot."""
        return self.document.digest

    @property
    def dataset(self) -> str:
        """Names the dataset."""
        return self.document.dataset

    @cached_property
    def source_digests(self) -> frozenset[str]:
        """sha256 of each source that clips were taken from."""
        return frozenset(
            value.hex() for value in pc.unique(self.clips.column("source_sha256")).to_pylist()
        )

    def table(self, split: Literal["train", "holdout", "all"] = "all") -> pa.Table:
        """The clips of a split, in the same order."""
        if split == "all":
            return self.clips
        return self.clips.filter(pc.equal(self.clips.column("split").cast(pa.string()), split))

    def rows(self, split: Literal["train", "holdout", "all"] = "all") -> list[ClipRow]:
        """The clips of a split as rows, in the same order."""
        return rows_of(self.table(split))


def head(store: ObjectStore, dataset: str) -> Head | None:
    """Where the dataset is now, or None where nothing was ingested yet."""
    found = _read_head(store, dataset)
    return found[0] if found else None


def load_snapshot(store: ObjectStore, dataset: str, digest: str) -> Snapshot:
    """A snapshot with its clips; every object is checked against the digest that names it.

    Raises `DatasetError` where there is none or its format is newer, and `CorruptObjectError`.
    """
    document = _load_document(store, dataset, digest)
    snapshot = Snapshot(document, _load_parts(store, dataset, document.parts))
    if len(snapshot.clips) != document.clips or document.digest != digest:
        raise CorruptObjectError(
            f"{snapshot_key(dataset, digest)} lists {document.clips} clips, its parts hold "
            f"{len(snapshot.clips)}: {mend(dataset)}"
        )
    return snapshot


def commit(
    store: ObjectStore,
    dataset: str,
    ingest_digest: str,
    rows: pa.Table,
    *,
    replaces: Sequence[Part] = (),
) -> Snapshot:
    """Add clips to the dataset and make the result its current snapshot.

    Clips that are there already are not added again; parts listed in `replaces` are left out. Where
    another ingest moved `HEAD` meanwhile, the clips are added to what it left, so none is lost.
    Writes nothing where nothing changes. Raises `StorageError` when the store cannot be reached.
    """
    for attempt in range(_ATTEMPTS):
        found = _read_head(store, dataset)
        snapshot = _extend(store, dataset, ingest_digest, rows, (found, frozenset(replaces)))
        new = _next_head(found[0] if found else None, snapshot)
        if new is None or _move_head(store, dataset, new, found[1] if found else None):
            return snapshot
        time.sleep(random.uniform(0, min(_MAX_WAIT_S, 0.02 * 2**attempt)))  # noqa: S311 - jitter
    raise StorageError(
        f"{head_key(dataset)} in {store.root} changed {_ATTEMPTS} times while it was to be moved: "
        "run the ingest again when others are done"
    )


_Found = tuple[Head, str] | None


def _extend(
    store: ObjectStore,
    dataset: str,
    ingest_digest: str,
    rows: pa.Table,
    base: tuple[_Found, frozenset[Part]],
) -> Snapshot:
    """The snapshot of the lineage with `rows`, written unless it is the newest.

    What is named by its content is written even where an object of that name is: it may be damaged.
    """
    found, replaced = base
    newest = found[0].lineages.get(ingest_digest) if found else None
    parts = _load_document(store, dataset, newest).parts if newest else ()
    kept = tuple(part for part in parts if part not in replaced)
    kept_rows = _load_parts(store, dataset, kept)
    added = without(rows, kept_rows)
    every = join([kept_rows, added])
    digest = rows_digest(every, ingest_digest)
    if digest == newest:
        return load_snapshot(store, dataset, digest)
    document = SnapshotDocument(
        dataset=dataset,
        digest=digest,
        ingest_digest=ingest_digest,
        parts=(*kept, *_write_part(store, dataset, added)),
        clips=len(every),
        frames=pc.sum(every.column("frames")).as_py() or 0,
        sources=len(pc.unique(every.column("source_sha256"))),
        height=every.column("height")[0].as_py(),
        width=every.column("width")[0].as_py(),
        fps=every.column("fps")[0].as_py(),
        parent=newest,
    )
    store.put(snapshot_key(dataset, digest), document.model_dump_json().encode())
    return load_snapshot(store, dataset, digest)


def _write_part(store: ObjectStore, dataset: str, rows: pa.Table) -> tuple[Part, ...]:
    if len(rows) == 0:
        return ()
    data = to_parquet(rows)
    sha256 = hashlib.sha256(data).hexdigest()
    store.put(part_key(dataset, sha256), data)
    return (Part(sha256=sha256, clips=len(rows)),)


def _load_document(store: ObjectStore, dataset: str, digest: str) -> SnapshotDocument:
    key = snapshot_key(dataset, digest)
    try:
        data = store.get(key).data
    except ObjectMissingError as error:
        raise DatasetError(
            f"dataset {dataset} has no snapshot {digest} in {store.root}: "
            "ingest first, or check storage.root and name"
        ) from error
    return parse(SnapshotDocument, data, key)


def _load_parts(store: ObjectStore, dataset: str, parts: Sequence[Part]) -> pa.Table:
    """All rows of parts, sorted."""
    return join([_load_part(store, dataset, part) for part in parts])


def _load_part(store: ObjectStore, dataset: str, part: Part) -> pa.Table:
    key = part_key(dataset, part.sha256)
    data = store.get(key).data
    if hashlib.sha256(data).hexdigest() != part.sha256:
        raise CorruptObjectError(f"{key} in {store.root} does not match its name: {mend(dataset)}")
    return from_parquet(data, key)


def _next_head(current: Head | None, snapshot: Snapshot) -> Head | None:
    """The pointer to a snapshot, or None where it points there already."""
    if current is not None and current.snapshot == snapshot.digest:
        return None
    lineages = dict(current.lineages) if current else {}
    lineages[snapshot.document.ingest_digest] = snapshot.digest
    return Head(
        snapshot=snapshot.digest,
        ingest_digest=snapshot.document.ingest_digest,
        lineages=lineages,
        nonce=uuid.uuid4().hex,
    )


def _move_head(store: ObjectStore, dataset: str, new: Head, etag: str | None) -> bool:
    """Whether `HEAD` took this value; False where another writer was first."""
    key = head_key(dataset)
    data = new.model_dump_json().encode()
    try:
        if etag is None:
            store.put_if_absent(key, data)
        else:
            store.put_if_match(key, data, etag)
    except StorageError as error:
        # The write may have been made although its answer was lost, or answered 412 on a resend.
        now = _read_head(store, dataset)
        if now is not None and now[0].nonce == new.nonce:
            return True
        if not isinstance(error, PreconditionFailedError) and (now[1] if now else None) == etag:
            raise
        return False
    return True


def _read_head(store: ObjectStore, dataset: str) -> _Found:
    key = head_key(dataset)
    try:
        stored = store.get(key)
    except ObjectMissingError:
        return None
    return parse(Head, stored.data, key), stored.etag
