"""Snapshots: a digest of rows, a pointer that loses no clip, and nothing rewritten."""

import hashlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from videogen.data.snapshots.clip_table import (
    ClipRow,
    from_parquet,
    join,
    rows_digest,
    rows_of,
    table_of,
    to_parquet,
)
from videogen.data.snapshots.forgotten import (
    Tombstone,
    forgotten_sources,
    read_tombstone,
    write_tombstone,
)
from videogen.data.snapshots.format import (
    head_key,
)
from videogen.data.snapshots.snapshot import add_clips, commit, head, load_snapshot, rewrite
from videogen.errors import DatasetError, StorageError
from videogen.storage.local import LocalStore


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def row(number: int, **changes: object) -> ClipRow:
    clip = ClipRow(
        clip_id=sha(f"clip {number}"),
        source=f"file:///videos/{number}.mp4",
        source_sha256=sha(f"source {number // 2}"),
        start_s=0.25 * number,
        end_s=0.25 * number + 6,
        shard=sha(f"shard {number // 4}"),
        offset=512 * number,
        length=1000 + number,
        sha256=sha(f"frames {number}"),
        frames=48,
        fps=8.0,
        height=32,
        width=64,
        codec="raw",
        colour="bt601 by height, tv by default",
        split="holdout" if number % 5 == 0 else "train",
        label=["cats", "dogs\n", "日本", None][number % 4],
    )
    return replace(clip, **changes)  # type: ignore[arg-type]


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "store")


def objects(store: LocalStore) -> dict[str, str]:
    return {info.key: store.get(info.key).etag for info in store.list("")}


def test_rows_come_back_from_a_table_and_from_parquet_by_clip_id() -> None:
    rows = [row(number) for number in range(20)]
    expected = sorted(rows, key=lambda clip: clip.clip_id)
    assert rows_of(table_of(rows)) == expected
    assert rows_of(from_parquet(to_parquet(table_of(rows)), "part")) == expected


def test_the_digest_knows_neither_order_nor_parts_nor_where_sources_lay() -> None:
    rows = [row(number) for number in range(20)]
    digest = rows_digest(table_of(rows), "i")
    assert rows_digest(table_of(reversed(rows)), "i") == digest
    for cut in (1, 7, 19):
        assert rows_digest(join([table_of(rows[cut:]), table_of(rows[:cut])]), "i") == digest
    moved = [replace(clip, source=f"s3://bucket/{clip.source}") for clip in rows]
    assert rows_digest(table_of(moved), "i") == digest


@pytest.mark.parametrize(
    "change",
    [
        {"shard": sha("x")}, {"offset": 1}, {"length": 1}, {"sha256": sha("x")}, {"frames": 1},
        {"fps": 9.0}, {"height": 1}, {"width": 1}, {"codec": "jpeg"}, {"split": "train"},
        {"label": None}, {"licence": "CC0"}, {"consent": "yes"}, {"start_s": 1.0}, {"end_s": 1.0},
        {"clip_id": sha("x")}, {"source_sha256": sha("x")}, {"colour": "x"},
    ],
    ids=lambda change: next(iter(change)),
)  # fmt: skip
def test_the_digest_changes_with_every_other_column(change: dict[str, object]) -> None:
    rows = [row(number) for number in range(3)]
    changed = [replace(rows[0], **change), *rows[1:]]  # type: ignore[arg-type]
    assert rows_digest(table_of(changed), "i") != rows_digest(table_of(rows), "i")
    assert rows_digest(table_of(rows), "j") != rows_digest(table_of(rows), "i")


def test_a_snapshot_grows_by_a_part_and_rewrites_nothing(store: LocalStore) -> None:
    first = add_clips(store, "d", "i", table_of(row(number) for number in range(4)))
    before = objects(store)
    second = add_clips(store, "d", "i", table_of(row(number) for number in range(4, 10)))
    after = objects(store)
    assert second.document.parent == first.digest
    assert second.document.parts[:-1] == first.document.parts
    assert {key for key in before if before[key] != after[key]} == {head_key("d")}
    assert rows_of(load_snapshot(store, "d", second.digest).clips) == rows_of(
        table_of(row(number) for number in range(10))
    )
    document = second.document
    assert (document.clips, document.frames, document.sources) == (10, 480, 5)
    assert len(second.rows("holdout")) == 2
    assert len(second.rows("train")) == 8
    assert second.source_digests == {sha(f"source {number}") for number in range(5)}


def test_clips_that_are_there_change_nothing(store: LocalStore) -> None:
    first = add_clips(store, "d", "i", table_of(row(number) for number in range(4)))
    before = objects(store)
    for rows in ([], [row(2)], [row(number) for number in range(4)]):
        assert add_clips(store, "d", "i", table_of(rows)).digest == first.digest
    assert objects(store) == before


def test_another_ingest_digest_is_another_lineage(store: LocalStore) -> None:
    one = add_clips(store, "d", "i", table_of([row(0)]))
    two = add_clips(store, "d", "j", table_of([row(1)]))
    assert two.document.clips == 1
    three = add_clips(store, "d", "i", table_of([row(2)]))
    assert three.document.parent == one.digest
    assert three.document.clips == 2
    now = head(store, "d")
    assert now is not None
    assert now.snapshot == three.digest
    assert now.lineages == {"i": three.digest, "j": two.digest}


def test_a_change_replaces_the_parts_that_it_touches_and_keeps_the_others(
    store: LocalStore,
) -> None:
    first = add_clips(store, "d", "i", table_of([row(0), row(1)]))
    second = add_clips(store, "d", "i", table_of([row(2), row(3)]))
    relabelled = replace(row(3), label=None, licence="CC0")

    def change(newest: pa.Table) -> pa.Table:
        kept = [clip for clip in rows_of(newest) if clip.clip_id != row(3).clip_id]
        return table_of([*kept, relabelled])

    third = commit(store, "d", "i", change)
    assert third.document.parts[0] == first.document.parts[0]
    assert third.document.parts[1:] != second.document.parts[1:]
    assert third.rows() == rows_of(table_of([row(0), row(1), row(2), relabelled]))
    assert load_snapshot(store, "d", second.digest).rows() == second.rows()


def test_a_lineage_may_lose_its_last_clip_but_not_begin_without_one(store: LocalStore) -> None:
    add_clips(store, "d", "i", table_of([row(0)]))
    empty = commit(store, "d", "i", lambda newest: newest.slice(0, 0))
    assert (empty.document.clips, empty.document.height, empty.document.fps) == (0, 32, 8.0)
    assert load_snapshot(store, "d", empty.digest).rows() == []
    with pytest.raises(DatasetError, match="no clip"):
        commit(store, "d", "j", lambda newest: newest)


def test_rows_of_a_forgotten_source_never_pass(store: LocalStore) -> None:
    add_clips(store, "d", "i", table_of([row(0)]))
    tombstone = Tombstone(source_sha256=sha("source 1"), forgotten_at="2026-01-01T00:00:00+00:00")
    write_tombstone(store, "d", tombstone)
    after = add_clips(store, "d", "i", table_of([row(number) for number in range(1, 6)]))
    assert {clip.clip_id for clip in after.rows()} == {row(n).clip_id for n in (0, 1, 4, 5)}
    assert read_tombstone(store, "d", sha("source 1")) == tombstone
    assert forgotten_sources(store, "d") == {sha("source 1")}


def test_a_rewrite_moves_head_but_not_to_another_lineage(store: LocalStore) -> None:
    add_clips(store, "d", "i", table_of([row(0)]))
    current = add_clips(store, "d", "j", table_of([row(1)]))
    before = store.get(head_key("d")).etag
    rewritten = rewrite(store, "d", "i", lambda newest: table_of([row(2)]))
    now = head(store, "d")
    assert now is not None
    assert (now.snapshot, now.ingest_digest) == (current.digest, "j")
    assert now.lineages == {"i": rewritten.digest, "j": current.digest}
    moved = store.get(head_key("d")).etag
    rewrite(store, "d", "j", lambda newest: newest)
    assert len({before, moved, store.get(head_key("d")).etag}) == 3


def test_writers_at_once_lose_no_clip(store: LocalStore) -> None:
    def write(writer: int) -> None:
        for step in range(4):
            number = 10 * writer + step
            add_clips(store, "d", "i", table_of([row(number), row(999)]))

    threads = [threading.Thread(target=write, args=(writer,)) for writer in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    now = head(store, "d")
    assert now is not None
    expected = {row(10 * writer + step).clip_id for writer in range(5) for step in range(4)}
    clips = [clip.clip_id for clip in load_snapshot(store, "d", now.snapshot).rows()]
    assert sorted(clips) == sorted(expected | {row(999).clip_id})


class LossyStore(LocalStore):
    """Fails around the next conditional write as a network does."""

    def __init__(self, directory: Path, around: Callable[[Callable[[], str]], str]) -> None:
        super().__init__(directory)
        self._plan: Iterator[Callable[[Callable[[], str]], str]] = iter([around])

    def put_if_absent(self, key: str, data: bytes) -> str:
        around = next(self._plan, lambda write: write())
        return around(lambda: LocalStore.put_if_absent(self, key, data))


def test_a_write_whose_answer_was_lost_counts(tmp_path: Path) -> None:
    def answer_lost(write: Callable[[], str]) -> str:
        write()
        raise StorageError("timed out")

    store = LossyStore(tmp_path, answer_lost)
    snapshot = add_clips(store, "d", "i", table_of([row(0)]))
    now = head(store, "d")
    assert now is not None
    assert now.snapshot == snapshot.digest


def test_a_write_that_was_never_made_is_an_error_and_moves_nothing(tmp_path: Path) -> None:
    def unreachable(write: Callable[[], str]) -> str:
        raise StorageError("connection refused")

    store = LossyStore(tmp_path, unreachable)
    with pytest.raises(StorageError, match="refused"):
        add_clips(store, "d", "i", table_of([row(0)]))
    assert head(store, "d") is None


def test_a_lost_race_adds_to_what_the_other_left(tmp_path: Path) -> None:
    other = LocalStore(tmp_path)

    def overtaken(write: Callable[[], str]) -> str:
        add_clips(other, "d", "i", table_of([row(0), row(1)]))
        return write()

    store = LossyStore(tmp_path, overtaken)
    snapshot = add_clips(store, "d", "i", table_of([row(1), row(2)]))
    assert {clip.clip_id for clip in snapshot.rows()} == {row(n).clip_id for n in range(3)}
