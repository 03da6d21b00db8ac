"""`compact` and `gc`: fewer shards with the same clips, and room once old ones are collected."""

import json
import threading
from dataclasses import replace

import numpy as np
import pytest
from curated import INGEST, Footage, Keeper, Untracked, holds_any, keys, pictures, sha

from videogen.curation.compact import compact
from videogen.curation.forget import Wanted, forget
from videogen.curation.gc import Rule, collect, find_garbage
from videogen.curation.listing import find_snapshot, snapshot_digests
from videogen.curation.verify import verify
from videogen.data.shards.tar_shard import read_clip, shard_key
from videogen.data.snapshots.clip_table import table_of
from videogen.data.snapshots.snapshot import Snapshot, add_clips
from videogen.errors import LeaseHeldError
from videogen.ingest.known.records import load_records
from videogen.progress import ProgressEvent
from videogen.runs.lease import DataUse, hold_lease
from videogen.storage.base import ObjectStore

pytestmark = pytest.mark.integration

NOW = Rule(older_than_s=0)
NEWEST_ONLY = Rule(older_than_s=0, keep_snapshots=1)
SHARD_BYTES = 1 << 20
HOURS = ("a", "b", "c", "d")


def shards_of(snapshot: Snapshot) -> set[str]:
    return {row.shard for row in snapshot.rows()}


def assert_shows_its_footage(store: ObjectStore, snapshot: Snapshot) -> None:
    shown = 0
    for row in snapshot.rows():
        source = row.source.removeprefix("file:///footage/").removesuffix(".mp4")
        number = int(row.start_s)
        assert np.array_equal(read_clip(store, "d", row), pictures(source, number))
        shown += 1
    assert shown == snapshot.document.clips


@pytest.fixture
def footage(keeper: Keeper) -> Footage:
    """Four hourly increments of one small shard each."""
    footage = Footage(keeper.store)
    for source in HOURS:
        footage.ingest(source)
    return footage


def test_compacting_changes_no_clip_and_leaves_one_shard(keeper: Keeper, footage: Footage) -> None:
    before = find_snapshot(keeper.store, "d")
    events: list[ProgressEvent] = []
    done = compact(keeper.store, "d", SHARD_BYTES, events.append)
    after = find_snapshot(keeper.store, "d")
    assert (done.snapshot, done.parent) == (after.digest, before.digest)
    assert (done.shards_before, done.shards, done.clips_moved) == (4, 1, 8)
    moved = {"shard": "", "offset": 0}
    assert [replace(row, **moved) for row in after.rows()] == [
        replace(row, **moved) for row in before.rows()
    ]
    assert after.document.parent == before.digest
    assert_shows_its_footage(keeper.store, after)
    assert verify(keeper.store, "d", (before.digest, after.digest)).damaged == ()
    assert (events[-1].done, events[-1].total) == (4, 4)
    assert compact(keeper.store, "d", SHARD_BYTES).snapshot == after.digest


def test_full_shards_stay_and_new_ones_are_not_larger_than_asked(
    keeper: Keeper, footage: Footage
) -> None:
    big = footage.ingest("long", "longer", "longest")
    (large,) = {row.shard for row in footage.rows["long"]}
    size = len(keeper.store.get(shard_key("d", large)).data)
    compact(keeper.store, "d", size)
    after = find_snapshot(keeper.store, "d")
    assert large in shards_of(after)
    assert len(shards_of(after)) < len(shards_of(big))
    for shard in shards_of(after):
        assert len(keeper.store.get(shard_key("d", shard)).data) <= size


def test_room_is_freed_once_the_old_snapshots_are_collected(
    keeper: Keeper, footage: Footage
) -> None:
    compact(keeper.store, "d", SHARD_BYTES)
    after = find_snapshot(keeper.store, "d")
    assert find_garbage(keeper.store, "d", NOW).objects == (), "old snapshots reach them"
    found = find_garbage(keeper.store, "d", NEWEST_ONLY)
    assert len(found.snapshots) == 4
    kept = keys(keeper.store)
    assert collect(keeper.store, found, NEWEST_ONLY).objects == found.objects
    assert kept - keys(keeper.store) == set(found.objects)
    assert set(snapshot_digests(keeper.store, "d")) == {after.digest}
    assert keys(keeper.store, "datasets/d/shards/") == {shard_key("d", *shards_of(after))}
    blobs = keeper.blobs()
    assert not set(found.objects) & blobs.keys(), "no version is left"
    assert found.bytes >= 4 * 8 * 768
    assert_shows_its_footage(keeper.store, after)
    assert verify(keeper.store, "d", (after.digest,)).damaged == ()


def test_records_say_where_clips_lie_now_held_back_ones_too(
    keeper: Keeper, footage: Footage
) -> None:
    kept, held_back = footage.shoot("e")
    footage.publish([kept])
    waiting = footage.shoot("f")
    compact(keeper.store, "d", SHARD_BYTES)
    collect(keeper.store, find_garbage(keeper.store, "d", NEWEST_ONLY), NEWEST_ONLY)
    rows = {row.clip_id: row for row in find_snapshot(keeper.store, "d").rows()}
    sources = [*HOURS, "e", "f"]
    uris = [f"file:///footage/{source}.mp4" for source in sources]
    records = load_records(keeper.store, "d", INGEST, uris)
    for record in records.values():
        for clip in record.clips:
            assert rows.get(clip.clip_id, clip) == clip
            read_clip(keeper.store, "d", clip)
    clips = {clip.clip_id for record in records.values() for clip in record.clips}
    assert {held_back.clip_id, *(row.clip_id for row in waiting)} <= clips - rows.keys()


def test_two_compactions_and_an_ingest_at_once_lose_and_double_nothing(
    keeper: Keeper, footage: Footage
) -> None:
    added = footage.shoot("e")
    work = [
        lambda: compact(keeper.store, "d", SHARD_BYTES),
        lambda: compact(keeper.store, "d", SHARD_BYTES),
        lambda: add_clips(keeper.store, "d", INGEST, table_of(added)),
    ]
    threads = [threading.Thread(target=one) for one in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    after = find_snapshot(keeper.store, "d")
    ids = [row.clip_id for row in after.rows()]
    assert sorted(ids) == sorted({row.clip_id for rows in footage.rows.values() for row in rows})
    assert_shows_its_footage(keeper.store, after)


def test_a_source_forgotten_while_shards_are_merged_is_in_none_that_is_used(
    keeper: Keeper, footage: Footage
) -> None:
    def forget_meanwhile(event: ProgressEvent) -> None:
        if event.done == 4:
            forget(keeper.store, "d", Wanted(videos=(sha("a"),), purge=True), Untracked())

    store = keeper.store
    compact(store, "d", SHARD_BYTES, forget_meanwhile)
    after = find_snapshot(store, "d")
    assert sha("a") not in after.source_digests
    assert after.document.clips == 6
    for shard in shards_of(after):
        assert not holds_any(store.get(shard_key("d", shard)).data, "a", footage.clips)


def test_what_an_interrupted_ingest_left_is_reached_and_other_orphans_are_not(
    keeper: Keeper, footage: Footage
) -> None:
    waiting = footage.shoot("e")
    lost = Footage(keeper.store, ingest_digest="3" * 64).shoot("x")
    keeper.store.delete(
        next(key for key in keys(keeper.store, "datasets/d/sources/")
             if sha("x").encode() in keeper.store.get(key).data)
    )  # fmt: skip
    found = find_garbage(keeper.store, "d", NOW)
    assert set(found.objects) == {shard_key("d", lost[0].shard)}
    assert find_garbage(keeper.store, "d", Rule()).objects == (), "too young"
    assert keeper.store.head(shard_key("d", lost[0].shard)) is not None, "a look deletes nothing"
    collect(keeper.store, found, NOW)
    assert keeper.store.head(shard_key("d", lost[0].shard)) is None
    assert keeper.store.head(shard_key("d", waiting[0].shard)) is not None


def test_what_is_written_anew_meanwhile_is_not_collected(keeper: Keeper, footage: Footage) -> None:
    key = "datasets/d/shards/" + "5" * 64 + ".tar"
    keeper.store.put(key, b"orphan")
    rule = Rule(older_than_s=1.5)
    threading.Event().wait(2.6)
    found = find_garbage(keeper.store, "d", rule)
    assert key in found.objects
    keeper.store.put(key, b"orphan")
    assert key not in collect(keeper.store, found, rule).objects
    assert keeper.store.head(key) is not None


def test_young_objects_are_not_collected_while_an_ingest_goes_on(
    keeper: Keeper, footage: Footage
) -> None:
    found = find_garbage(keeper.store, "d", NEWEST_ONLY)
    with (
        hold_lease(keeper.store, "hourly", DataUse("d", is_ingest=True)),
        pytest.raises(LeaseHeldError, match=r"run hourly .* ingests into it"),
    ):
        collect(keeper.store, found, NEWEST_ONLY)
    assert keys(keeper.store) >= set(found.objects)


def test_snapshots_that_runs_work_with_are_kept(keeper: Keeper, footage: Footage) -> None:
    made = snapshot_digests(keeper.store, "d")
    by_clips = sorted(made, key=lambda one: find_snapshot(keeper.store, "d", one).document.clips)
    trained, in_use, ingested, newest = by_clips
    for stage, digest in (("train", trained), ("ingest", ingested)):
        document = {
            "stage": stage, "key": "k", "run_id": "r", "code_version": "0", "finished_at": "",
            "seconds": 0, "artifact": {"snapshot": digest},
        }  # fmt: skip
        keeper.store.put(f"runs/r/{stage}.json", json.dumps(document).encode())
    with hold_lease(keeper.store, "live", DataUse("d", in_use)):
        found = find_garbage(keeper.store, "d", NEWEST_ONLY)
    assert found.snapshots == (ingested,)
    assert newest not in found.snapshots
