"""Snapshots: immutable lists of Parquet parts, and the `HEAD` that moves from one to the next.

Parts and snapshots are named by digest and never rewritten; an ingest adds a part. `HEAD` holds
the current snapshot, and the last one of each ingest digest, so that going back to an earlier
config finds its clips again. A part is written before the snapshot that lists it, and `HEAD` last.
"""

import hashlib
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from videogen.data.snapshots.clip_table import (
    SCHEMA,
    ClipRow,
    from_parquet,
    join,
    of_sources,
    rows_digest,
    rows_of,
    sort_rows,
    stays,
    to_parquet,
    without,
)
from videogen.data.snapshots.forgotten import forgotten_sources
from videogen.data.snapshots.format import (
    Head,
    Part,
    SnapshotDocument,
    head_key,
    mend,
    parse,
    part_key,
    seal,
    snapshot_key,
)
from videogen.data.snapshots.head import Found, move_head, new_head, read_head
from videogen.errors import CorruptObjectError, DatasetError, ObjectMissingError, StorageError
from videogen.storage.base import ObjectStore

_ATTEMPTS = 40
_MAX_WAIT_S = 0.5

Change = Callable[[pa.Table], pa.Table]
"""From the rows of a lineage's newest snapshot (none where it has none) to the wanted rows."""


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
    found = read_head(store, dataset)
    return found[0] if found else None


def load_snapshot(store: ObjectStore, dataset: str, digest: str) -> Snapshot:
    """A snapshot with its clips; every object is checked against the digest that names it.

    Raises `DatasetError` where there is none or its format is newer, and `CorruptObjectError`.
    """
    document = load_document(store, dataset, digest)
    snapshot = Snapshot(document, join([load_part(store, dataset, one) for one in document.parts]))
    if len(snapshot.clips) != document.clips or document.digest != digest:
        raise CorruptObjectError(
            f"{snapshot_key(dataset, digest)} lists {document.clips} clips, its parts hold "
            f"{len(snapshot.clips)}: {mend(dataset)}"
        )
    return snapshot


def commit(store: ObjectStore, dataset: str, ingest_digest: str, change: Change) -> Snapshot:
    """Change the rows of a lineage, and make the result the dataset's current snapshot.

    `change` is called anew with what another writer left, where one was first, so nothing of either
    is lost; it must not depend on anything but its argument. Rows of forgotten sources never
    pass. Parts whose rows all stay as they are stay; the others are replaced. Writes nothing where
    nothing changes. Raises `DatasetError` where a new lineage would have no clip, and
    `StorageError` when the store cannot be reached.
    """
    return _move(store, dataset, ingest_digest, change, _made_current)


def rewrite(store: ObjectStore, dataset: str, ingest_digest: str, change: Change) -> Snapshot:
    """As `commit`, but the dataset's current snapshot stays of the lineage that it is of.

    `HEAD` moves even where nothing changes: whoever read it before has to read it again, and the
    tombstones after it.
    """
    return _move(store, dataset, ingest_digest, change, _kept_current)


def add_clips(store: ObjectStore, dataset: str, ingest_digest: str, rows: pa.Table) -> Snapshot:
    """Add clips to a lineage as `commit` does; those that are there already stay as they are."""

    def change(newest: pa.Table) -> pa.Table:
        return pa.concat_tables([newest, without(rows, newest)])

    return commit(store, dataset, ingest_digest, change)


_NextHead = Callable[[Head | None, Snapshot], Head | None]


def _move(
    store: ObjectStore, dataset: str, ingest_digest: str, change: Change, next_head: _NextHead
) -> Snapshot:
    for attempt in range(_ATTEMPTS):
        found = read_head(store, dataset)
        snapshot = _changed(store, dataset, ingest_digest, change, found)
        new = next_head(found[0] if found else None, snapshot)
        if new is None or move_head(store, dataset, new, found):
            return snapshot
        time.sleep(random.uniform(0, min(_MAX_WAIT_S, 0.02 * 2**attempt)))  # noqa: S311 - jitter
    raise StorageError(
        f"{head_key(dataset)} in {store.root} changed {_ATTEMPTS} times while it was to be moved: "
        "run the command again when others are done"
    )


def _made_current(current: Head | None, snapshot: Snapshot) -> Head | None:
    """The pointer to a snapshot, or None where it points there already."""
    if current is not None and current.snapshot == snapshot.digest:
        return None
    return new_head(snapshot.digest, snapshot.document.ingest_digest, _lineages(current, snapshot))


def _kept_current(current: Head | None, snapshot: Snapshot) -> Head | None:
    """A pointer to the lineage of before, which may have got this snapshot."""
    ingest_digest = current.ingest_digest if current else snapshot.document.ingest_digest
    lineages = _lineages(current, snapshot)
    return new_head(lineages[ingest_digest], ingest_digest, lineages)


def _lineages(current: Head | None, snapshot: Snapshot) -> dict[str, str]:
    before = current.lineages if current else {}
    return {**before, snapshot.document.ingest_digest: snapshot.digest}


def _changed(
    store: ObjectStore, dataset: str, ingest_digest: str, change: Change, found: Found
) -> Snapshot:
    """The newest snapshot of the lineage after `change`, written unless it is the newest.

    What is named by its content is written even where an object of that name is: it may be damaged.
    """
    newest = found[0].lineages.get(ingest_digest) if found else None
    before = load_document(store, dataset, newest) if newest else None
    parts = before.parts if before else ()
    tables = [load_part(store, dataset, part) for part in parts]
    wanted = _without_forgotten(store, dataset, change(join(tables)))
    digest = rows_digest(wanted, ingest_digest)
    if digest == newest:
        return load_snapshot(store, dataset, digest)
    if len(wanted) == 0 and before is None:
        raise DatasetError(f"dataset {dataset} would have no clip: nothing was written")
    kept, added = _spread(parts, tables, wanted)
    document = SnapshotDocument(
        dataset=dataset,
        digest=digest,
        ingest_digest=ingest_digest,
        parts=(*kept, *_write_part(store, dataset, added)),
        clips=len(wanted),
        frames=pc.sum(wanted.column("frames")).as_py() or 0,
        sources=len(pc.unique(wanted.column("source_sha256"))),
        parent=newest,
        **_format_of(wanted, before),
    )
    store.put(snapshot_key(dataset, digest), seal(document))
    return load_snapshot(store, dataset, digest)


def _without_forgotten(store: ObjectStore, dataset: str, rows: pa.Table) -> pa.Table:
    forgotten = forgotten_sources(store, dataset)
    return join([rows.filter(pc.invert(of_sources(rows, forgotten))) if forgotten else rows])


def _spread(
    parts: Sequence[Part], tables: Sequence[pa.Table], wanted: pa.Table
) -> tuple[tuple[Part, ...], pa.Table]:
    """The parts whose rows are all wanted as they are, and the wanted rows not in them."""
    before = pa.concat_tables([SCHEMA.empty_table(), *tables])
    ends = np.cumsum([len(table) for table in tables], dtype=int)
    whole = [bool(same.all()) for same in np.split(stays(before, wanted), ends[:-1]) if len(tables)]
    kept = [number for number, is_whole in enumerate(whole) if is_whole]
    rows = join([tables[number] for number in kept])
    return tuple(parts[number] for number in kept), without(wanted, rows)


def _format_of(rows: pa.Table, before: SnapshotDocument | None) -> dict[str, Any]:
    """Size and rate of the frames; those of the snapshot before, where no clip is left."""
    names = ("height", "width", "fps")
    if len(rows) == 0 and before is not None:
        return {name: getattr(before, name) for name in names}
    return {name: rows.column(name)[0].as_py() for name in names}


def _write_part(store: ObjectStore, dataset: str, rows: pa.Table) -> tuple[Part, ...]:
    if len(rows) == 0:
        return ()
    data = to_parquet(sort_rows(rows))
    sha256 = hashlib.sha256(data).hexdigest()
    store.put(part_key(dataset, sha256), data)
    return (Part(sha256=sha256, clips=len(rows)),)


def load_document(store: ObjectStore, dataset: str, digest: str) -> SnapshotDocument:
    """A snapshot without its rows.

    Raises `DatasetError` where there is none, and `CorruptObjectError`.
    """
    key = snapshot_key(dataset, digest)
    try:
        data = store.get(key).data
    except ObjectMissingError as error:
        raise DatasetError(
            f"dataset {dataset} has no snapshot {digest} in {store.root}: "
            "ingest first, or check storage.root and name"
        ) from error
    return parse(SnapshotDocument, data, key)


def load_part(store: ObjectStore, dataset: str, part: Part) -> pa.Table:
    """The rows of a part. Raises `CorruptObjectError`, `DatasetError`, `StorageError`."""
    key = part_key(dataset, part.sha256)
    data = store.get(key).data
    if hashlib.sha256(data).hexdigest() != part.sha256:
        raise CorruptObjectError(f"{key} in {store.root} does not match its name: {mend(dataset)}")
    return from_parquet(data, key)
