"""Clips from old shards into new ones, byte for byte; who refers to them follows later."""

import tempfile
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import pyarrow as pa
import pyarrow.compute as pc

from videogen.data.shards.tar_shard import ShardWriter, Written, check_clip, read_facts, shard_key
from videogen.data.snapshots.clip_table import ClipRow
from videogen.data.snapshots.forgotten import forgotten_sources
from videogen.data.snapshots.snapshot import Snapshot, rewrite
from videogen.errors import CorruptObjectError, ObjectMissingError, StorageError
from videogen.storage.base import ObjectStore


@dataclass(frozen=True)
class Move:
    """A clip that lies in another shard now; hex digests."""

    clip_id: str
    source_sha256: str
    old_shard: str
    shard: str
    offset: int


class Repacker:
    """Writes clips of a dataset to new shards of at most `max_bytes`, and notes where they went.

    A context manager; what it uploaded and nobody refers to is found by gc. On disk it needs room
    for one old shard and one new one.
    """

    def __init__(self, store: ObjectStore, dataset: str, max_bytes: int) -> None:
        self._store = store
        self._dataset = dataset
        self._scratch = tempfile.TemporaryDirectory(prefix="videogen-repack-")
        self._directory = Path(self._scratch.name)
        self._writer = ShardWriter(self._directory, max_bytes)
        self._packed: dict[str, ClipRow] = {}
        self.moves: list[Move] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._writer.__exit__(kind, error, trace)
        self._scratch.cleanup()

    def add(self, shard: str, clips: Sequence[ClipRow]) -> None:
        """Append clips of one shard, each checked, in the order of their offsets.

        Raises `CorruptObjectError` where the shard is damaged, and `StorageError`.
        """
        key = shard_key(self._dataset, shard)
        path = self._directory / "old.tar"
        try:
            self._store.download(key, path)
        except ObjectMissingError as error:
            raise StorageError(
                f"{key} is missing in {self._store.root}: restore it, or ingest again with --force"
            ) from error
        facts = read_facts(path, key)
        if unnamed := {clip.clip_id for clip in clips} - facts.keys():
            raise CorruptObjectError(
                f"{key} says nothing of clip {min(unnamed)}: restore it, or ingest again with "
                "--force"
            )
        with path.open("rb") as file:
            for clip in sorted(clips, key=lambda one: one.offset):
                file.seek(clip.offset)
                data = file.read(clip.length)
                check_clip(self._dataset, clip, data)
                self._packed[clip.clip_id] = clip
                self._upload(self._writer.add(clip.clip_id, facts[clip.clip_id], data))
        path.unlink()

    def finish(self) -> None:
        """Close the new shard; the next clip begins another."""
        self._upload(self._writer.finish())

    def _upload(self, written: Written | None) -> None:
        if written is None:
            return
        self._store.upload(shard_key(self._dataset, written.sha256), written.path)
        written.path.unlink()
        for clip in written.clips:
            old = self._packed.pop(clip.clip_id)
            self.moves.append(
                Move(clip.clip_id, old.source_sha256, old.shard, written.sha256, clip.offset)
            )


def usable(moves: Iterable[Move], forgotten: frozenset[str]) -> tuple[Move, ...]:
    """Moves to shards that hold nothing of a source which was forgotten since they were written."""
    every = tuple(moves)
    tainted = {move.shard for move in every if move.source_sha256 in forgotten}
    return tuple(move for move in every if move.shard not in tainted)


def moved(newest: pa.Table, moves: Sequence[Move]) -> pa.Table:
    """The rows with the places that clips were moved to.

    A row that lies elsewhere than a move took it from stays: another writer moved it.
    """
    if not moves:
        return newest
    ids, old, new = (
        pa.array([bytes.fromhex(value) for value in values], type=pa.binary(32))
        for values in zip(*((one.clip_id, one.old_shard, one.shard) for one in moves), strict=True)
    )
    places = pc.index_in(newest.column("clip_id").combine_chunks(), value_set=ids)
    shards = newest.column("shard").combine_chunks()
    is_moved = pc.fill_null(pc.equal(shards, pc.take(old, places)), fill_value=False)
    offsets = pc.take(pa.array([one.offset for one in moves], type=pa.int64()), places)
    columns = {
        "shard": pc.if_else(is_moved, pc.take(new, places), shards),
        "offset": pc.if_else(is_moved, offsets, newest.column("offset").combine_chunks()),
    }
    for name, values in columns.items():
        index = newest.column_names.index(name)
        newest = newest.set_column(index, newest.schema.field(name), values)
    return newest


def move_rows(snapshot: Snapshot, moves: Sequence[Move], store: ObjectStore) -> Snapshot:
    """Make a snapshot of the lineage whose clips lie where they were moved to.

    Raises as `rewrite`.
    """

    def change(newest: pa.Table) -> pa.Table:
        return moved(newest, usable(moves, forgotten_sources(store, snapshot.dataset)))

    return rewrite(store, snapshot.dataset, snapshot.document.ingest_digest, change)


def by_shard(rows: Iterable[ClipRow]) -> dict[str, list[ClipRow]]:
    """The clips of each shard, shards by name."""
    shards: dict[str, list[ClipRow]] = defaultdict(list)
    for row in rows:
        shards[row.shard].append(row)
    return dict(sorted(shards.items()))
