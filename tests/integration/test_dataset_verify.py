"""`verify`: one byte that changed in any object of a dataset is found, and the object named."""

from dataclasses import replace

import pytest
from curated import OTHER_INGEST, Footage, Keeper, Untracked, keys, sha

from videogen.curation.forget import Wanted, forget
from videogen.curation.listing import snapshot_digests
from videogen.curation.verify import Verification, digests_to_verify, verify
from videogen.data.snapshots.format import head_key
from videogen.progress import ProgressEvent

pytestmark = pytest.mark.integration


def check(keeper: Keeper) -> Verification:
    digests = digests_to_verify(keeper.store, "d", None)
    return verify(keeper.store, "d", digests)


@pytest.fixture
def whole(keeper: Keeper) -> Keeper:
    """Two increments, a forgotten source, and another lineage."""
    Footage(keeper.store, ingest_digest=OTHER_INGEST).ingest("x")
    footage = Footage(keeper.store)
    footage.ingest("a", "b")
    footage.ingest("c")
    forget(keeper.store, "d", Wanted(videos=(sha("b"),), purge=True), Untracked())
    return keeper


def test_a_whole_dataset_is_said_to_be_whole_and_was_read(whole: Keeper) -> None:
    events: list[ProgressEvent] = []
    digests = tuple(snapshot_digests(whole.store, "d"))
    found = verify(whole.store, "d", digests, events.append)
    assert found.damaged == ()
    assert found.clips == 2 + 4
    shards = keys(whole.store, "datasets/d/shards/")
    assert found.bytes == sum(len(whole.store.get(key).data) for key in shards)
    assert (events[-1].done, events[-1].total) == (3, 3)


def test_one_flipped_byte_in_any_object_is_found_wherever_it_is(whole: Keeper) -> None:
    reached = {
        key
        for key in keys(whole.store, "datasets/d/")
        if not key.startswith(("datasets/d/sources/", "datasets/d/ledgers/"))
    }
    kinds = {key.split("/")[2] for key in reached}
    assert kinds == {"HEAD", "snapshots", "parts", "shards", "forgotten"}
    digests = tuple(snapshot_digests(whole.store, "d"))
    for key in sorted(reached):
        good = whole.store.get(key).data
        for place in (0, len(good) // 3, len(good) - 1):
            bad = bytearray(good)
            bad[place] ^= 1
            whole.store.put(key, bytes(bad))
            damaged = verify(whole.store, "d", digests).damaged
            assert [one.object for one in damaged] == [key], (key, place)
        whole.store.put(key, good)
    assert verify(whole.store, "d", digests).damaged == ()


def test_a_missing_or_shortened_object_is_found(whole: Keeper) -> None:
    for kind in ("shards", "parts"):
        key = min(keys(whole.store, f"datasets/d/{kind}/"))
        digests = tuple(snapshot_digests(whole.store, "d"))
        good = whole.store.get(key).data
        whole.store.put(key, good[:-512])
        assert [one.object for one in verify(whole.store, "d", digests).damaged] == [key]
        whole.store.delete(key)
        assert [one.object for one in verify(whole.store, "d", digests).damaged] == [key]
        whole.store.put(key, good)


def test_a_clip_whose_row_says_something_else_is_found(keeper: Keeper) -> None:
    footage = Footage(keeper.store)
    rows = footage.shoot("a")
    snapshot = footage.publish([replace(rows[0], offset=0), rows[1]])
    (damage,) = verify(keeper.store, "d", (snapshot.digest,)).damaged
    assert rows[0].shard in damage.object
    assert f"1 of its 2 clips differ, the first is {rows[0].clip_id}" in damage.problem


def test_where_head_is_damaged_every_snapshot_is_checked(whole: Keeper) -> None:
    whole.store.put(head_key("d"), whole.store.get(head_key("d")).data[:-1])
    found = check(whole)
    assert set(found.snapshots) == set(snapshot_digests(whole.store, "d"))
    assert [one.object for one in found.damaged] == [head_key("d")]
