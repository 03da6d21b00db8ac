"""Documents of a dataset: damaged, newer and older ones are told apart."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from videogen.data.snapshots.clip_table import ClipRow, rows_digest, table_of
from videogen.data.snapshots.format import (
    Head,
    SnapshotDocument,
    head_key,
    parse,
    part_key,
    snapshot_key,
)
from videogen.data.snapshots.snapshot import add_clips, load_snapshot
from videogen.errors import CorruptObjectError, DatasetError
from videogen.storage.local import LocalStore

CLIP = ClipRow(
    clip_id="0" * 64, source="file:///a.mp4", source_sha256="1" * 64, start_s=0.0, end_s=1.0,
    shard="2" * 64, offset=0, length=9, sha256="3" * 64, frames=8, fps=8.0, height=4, width=4,
    codec="raw", colour="bt709", split="train",
)  # fmt: skip


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "store")


def test_missing_damaged_and_newer_documents_are_told_apart(store: LocalStore) -> None:
    with pytest.raises(DatasetError, match="no snapshot"):
        load_snapshot(store, "d", "f" * 64)
    snapshot = add_clips(store, "d", "i", table_of([CLIP]))
    key = snapshot_key("d", snapshot.digest)
    good = store.get(key).data
    newer = {**json.loads(good), "format_version": 3}
    store.put(key, json.dumps(newer).encode())
    with pytest.raises(DatasetError, match=r"format version 3.*update videogen"):
        load_snapshot(store, "d", snapshot.digest)
    store.put(key, good[:-10])
    with pytest.raises(CorruptObjectError, match=snapshot.digest):
        load_snapshot(store, "d", snapshot.digest)
    store.put(key, good)
    part = part_key("d", snapshot.document.parts[0].sha256)
    store.put(part, store.get(part).data[:-1])
    with pytest.raises(CorruptObjectError, match="does not match its name"):
        load_snapshot(store, "d", snapshot.digest)


def test_any_byte_of_a_document_that_changes_is_noticed(store: LocalStore) -> None:
    snapshot = add_clips(store, "d", "i", table_of([CLIP]))
    for key, kind in (
        (head_key("d"), Head),
        (snapshot_key("d", snapshot.digest), SnapshotDocument),
    ):
        good = store.get(key).data
        parse(kind, good, key)
        for place in range(len(good)):
            bad = bytearray(good)
            bad[place] ^= 1
            with pytest.raises(CorruptObjectError, match=key):
                parse(kind, bytes(bad), key)


@pytest.mark.parametrize("data", [b"{}", b"[]", b"", b"\0" * 50, b'{"snapshot": "../x"}'])
def test_what_is_no_document_is_damaged_and_not_of_another_version(data: bytes) -> None:
    with pytest.raises(CorruptObjectError, match=r"^datasets/d/HEAD is damaged: .* ingest again"):
        parse(Head, data, head_key("d"))


def test_documents_and_digests_of_the_first_format_are_still_read() -> None:
    document = {"format_version": 1, "dataset": "d", "digest": "0", "ingest_digest": "i"}
    document |= {"parts": [], "clips": 0, "frames": 0, "sources": 0, "height": 8, "width": 8}
    parsed = parse(SnapshotDocument, json.dumps({**document, "fps": 8.0}).encode(), "datasets/d/x")
    assert parsed.parent is None
    rows = table_of([CLIP])
    later = table_of([replace(CLIP, owner="A", source_bytes=9)])
    assert rows_digest(rows, "i", 1) == rows_digest(later, "i", 1) != rows_digest(rows, "i")
    assert rows_digest(rows, "i") != rows_digest(later, "i")
