"""Clips are moved, and whoever moves them is killed before it says so in the records."""

from pathlib import Path

import pytest
from curated import INGEST, Footage, Untracked, sha, uri

from videogen.curation.compact import compact
from videogen.curation.forget import Wanted, forget
from videogen.curation.gc import Rule, collect, find_garbage
from videogen.curation.listing import find_snapshot
from videogen.data.shards.tar_shard import read_clip
from videogen.ingest.known.records import load_records
from videogen.storage.local import LocalStore

pytestmark = pytest.mark.integration

NEWEST_ONLY = Rule(older_than_s=0, keep_snapshots=1)


class Deadly(LocalStore):
    """Ends whoever writes a record."""

    def put(self, key: str, data: bytes) -> str:
        if "/sources/" in key:
            raise KeyboardInterrupt
        return super().put(key, data)


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path)


@pytest.fixture
def deadly(tmp_path: Path) -> Deadly:
    return Deadly(tmp_path)


def assert_records_lead_to_clips(store: LocalStore, *sources: str) -> None:
    records = load_records(store, "d", INGEST, map(uri, sources))
    assert len(records) == len(sources)
    for record in records.values():
        assert record.clips
        for clip in record.clips:
            read_clip(store, "d", clip)


def test_gc_leaves_no_record_that_names_a_shard_which_is_gone(
    store: LocalStore, deadly: Deadly
) -> None:
    footage = Footage(store)
    for source in "abcd":
        footage.ingest(source)
    old = {row.shard for row in find_snapshot(store, "d").rows()}
    with pytest.raises(KeyboardInterrupt):
        compact(deadly, "d", 1 << 20)
    assert old.isdisjoint(row.shard for row in find_snapshot(store, "d").rows())
    collect(store, find_garbage(store, "d", NEWEST_ONLY), NEWEST_ONLY)
    assert_records_lead_to_clips(store, *"abcd")


def test_a_purge_leaves_no_record_that_names_a_shard_which_is_gone(
    store: LocalStore, deadly: Deadly
) -> None:
    Footage(store).ingest("gone", "stays")
    wanted = Wanted(videos=(sha("gone"),), purge=True)
    with pytest.raises(KeyboardInterrupt):
        forget(deadly, "d", wanted, Untracked())
    forget(store, "d", wanted, Untracked())
    assert_records_lead_to_clips(store, "stays")
