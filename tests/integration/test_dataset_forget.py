"""`forget`: a source leaves every lineage; a purge leaves no byte of it under any version."""

import json

import numpy as np
import pytest
from curated import (
    INGEST,
    OTHER_INGEST,
    Footage,
    Keeper,
    Untracked,
    holds_any,
    keys,
    pictures,
    sha,
    uri,
)

from videogen.artifacts import Protocol
from videogen.curation.compact import compact
from videogen.curation.forget import Forgetting, Wanted, forget
from videogen.curation.listing import find_snapshot, require_head, snapshot_digests
from videogen.curation.verify import verify
from videogen.data.shards.tar_shard import read_clip
from videogen.data.snapshots.forgotten import read_tombstone
from videogen.data.snapshots.snapshot import load_snapshot
from videogen.errors import DatasetError, LeaseHeldError, StorageError
from videogen.evaluation.features.store import Entry, save_column
from videogen.ingest.known.ledger import read_ledger
from videogen.ingest.known.records import load_records
from videogen.runs.lease import DataUse, hold_lease
from videogen.storage.base import ObjectStore
from videogen.storage.local import LocalStore

pytestmark = pytest.mark.integration

GONE = Wanted(videos=(sha("gone"),))
PURGED = Wanted(videos=(sha("gone"),), purge=True)


def result(store: ObjectStore, run_id: str, stage: str, artifact: dict[str, object]) -> None:
    document = {
        "stage": stage, "key": "k", "run_id": run_id, "code_version": "0", "finished_at": "",
        "seconds": 0, "artifact": artifact,
    }  # fmt: skip
    store.put(f"runs/{run_id}/{stage}.json", json.dumps(document).encode())


def protocol(snapshot: str) -> Protocol:
    return Protocol(
        name="fvd2_4f",
        extractor="i3d",
        extractor_sha256="e" * 64,
        num_real=2,
        num_fake=2,
        num_frames=4,
        frame_stride=1,
        height=16,
        width=16,
        snapshot=snapshot,
    )


def evaluated(store: ObjectStore, run_id: str, snapshot: str) -> set[str]:
    """What an evaluation of a snapshot leaves, with a real clip in every file; its keys."""
    picture = pictures("gone", 0).tobytes()
    shown = f"runs/{run_id}/evaluation/abc/sheet.png"
    unnamed = f"runs/{run_id}/evaluation/interrupted/sheet.png"
    for key in (shown, unnamed):
        store.put(key, b"png" + picture)
    report = {"protocol": {"snapshot": snapshot}, "previews": {"sheet.png": shown}}
    result(store, run_id, "train", {"snapshot": snapshot})
    result(store, run_id, "evaluate", report)
    reference = Entry("d", protocol(snapshot), "real", "i3d", "e" * 64)
    save_column(store, reference, np.ones((2, 4)))
    return {shown, unnamed, reference.object_key}


@pytest.fixture
def footage(keeper: Keeper) -> Footage:
    """`gone` shares a shard with others in two lineages; one later increment is without it."""
    other = Footage(keeper.store, ingest_digest=OTHER_INGEST)
    other.ingest("gone", "x")
    footage = Footage(keeper.store)
    footage.ingest("a")
    footage.ingest("b", "gone", "c")
    footage.ingest("d")
    return footage


def assert_whole(store: ObjectStore) -> None:
    for digest in require_head(store, "d").lineages.values():
        snapshot = load_snapshot(store, "d", digest)
        assert sha("gone") not in snapshot.source_digests
        for row in snapshot.rows():
            source = row.source.removeprefix("file:///footage/").removesuffix(".mp4")
            expected = pictures(source, int(row.start_s))
            assert np.array_equal(read_clip(store, "d", row), expected)
    every = tuple(snapshot_digests(store, "d"))
    assert verify(store, "d", every).damaged == ()


def kept_by(keeper: Keeper) -> set[str]:
    """Keys of objects with a version that has any picture of the forgotten source."""
    return {
        key
        for key, versions in keeper.blobs().items()
        if any(holds_any(blob, "gone", 2) for blob in versions)
    }


def test_a_source_leaves_every_lineage_and_the_rest_is_as_it_was(
    keeper: Keeper, footage: Footage
) -> None:
    before = find_snapshot(keeper.store, "d")
    told = forget(keeper.store, "d", GONE, Untracked())
    after = find_snapshot(keeper.store, "d")
    assert told.snapshot == after.digest
    assert (told.sources, told.uris, told.clips) == ((sha("gone"),), (uri("gone"),), 4)
    assert len(told.shards) == 2
    assert after.document.ingest_digest == before.document.ingest_digest
    left = {row.clip_id for row in before.rows() if row.source != uri("gone")}
    assert {row.clip_id for row in after.rows()} == left
    lineages = require_head(keeper.store, "d").lineages
    assert load_snapshot(keeper.store, "d", lineages[OTHER_INGEST]).source_digests == {sha("x")}
    assert not set(told.shards) & {row.shard for row in after.rows()}
    assert_whole(keeper.store)
    assert load_snapshot(keeper.store, "d", before.digest).rows() == before.rows()


def test_a_purge_leaves_no_byte_under_any_version(keeper: Keeper, footage: Footage) -> None:
    snapshot = find_snapshot(keeper.store, "d").digest
    clean = min(
        snapshot_digests(keeper.store, "d"),
        key=lambda one: load_snapshot(keeper.store, "d", one).document.clips,
    )
    shown = evaluated(keeper.store, "nightly", snapshot)
    with hold_lease(keeper.store, "stopped", DataUse("d", snapshot)):
        keeper.store.put("runs/stopped/evaluation/abc/real.mp4", pictures("gone", 0).tobytes())
    others = evaluated(keeper.store, "elsewhere", "9" * 64)
    for key in others:
        keeper.store.put(key, b"shows something else")
        keeper.store.purge(key)
        keeper.store.put(key, b"shows something else")
    compact(keeper.store, "d", 1 << 20)
    assert len(kept_by(keeper)) > 3
    tracked = Untracked(("gan/3",), sheets=2)
    told = forget(keeper.store, "d", PURGED, tracked)
    assert kept_by(keeper) == set()
    assert not shown & keys(keeper.store)
    assert others <= keys(keeper.store)
    assert told.runs == ("nightly (train, evaluate)",)
    assert told.model_versions == ("gan/3",)
    assert told.purged is not None
    assert told.purged.sheets == 2
    assert all(snapshot in asked for asked in tracked.asked)
    assert not set(told.snapshots) & snapshot_digests(keeper.store, "d").keys()
    assert clean in told.snapshots or clean in snapshot_digests(keeper.store, "d")
    assert_whole(keeper.store)
    stone = read_tombstone(keeper.store, "d", sha("gone"))
    assert stone is not None
    assert (stone.sources, stone.snapshots, stone.keys) == ((), (), ())
    assert stone.purged_at is not None


def test_records_and_ledgers_know_nothing_of_a_purged_source(
    keeper: Keeper, footage: Footage
) -> None:
    forget(keeper.store, "d", PURGED, Untracked())
    for digest, others in ((INGEST, "abcd"), (OTHER_INGEST, "x")):
        uris = {uri(source) for source in others}
        found = load_records(keeper.store, "d", digest, [*uris, uri("gone")])
        assert found.keys() == uris
        ledger = read_ledger(keeper.store, "d", digest)
        assert set(ledger.table.column("uri").to_pylist()) == uris
        for record in found.values():
            for clip in record.clips:
                read_clip(keeper.store, "d", clip)


def test_it_may_be_purged_later_and_by_where_it_lay(keeper: Keeper, footage: Footage) -> None:
    forget(keeper.store, "d", Wanted(sources=("/footage/gone.mp4",)), Untracked())
    assert kept_by(keeper)
    told = forget(keeper.store, "d", Wanted(sources=(uri("gone"),), purge=True), Untracked())
    assert told.sources == (sha("gone"),)
    assert kept_by(keeper) == set()
    assert_whole(keeper.store)


def test_what_interrupted_ingests_left_of_it_is_purged_too(
    keeper: Keeper, footage: Footage
) -> None:
    later = Footage(keeper.store, clips=2, ingest_digest="3" * 64)
    shared = later.shoot("gone", "y")
    orphan = Footage(keeper.store, clips=1, ingest_digest="4" * 64)
    orphan.shoot("gone", "z")
    for source in ("gone", "z"):
        for key in keys(keeper.store, "datasets/d/sources/"):
            text = keeper.store.get(key).data
            if sha(source).encode() in text and b"4" * 64 in text:
                keeper.store.purge(key)
    forget(keeper.store, "d", PURGED, Untracked())
    assert kept_by(keeper) == set()
    assert not load_records(keeper.store, "d", "3" * 64, [uri("y")]), "to be decoded again"
    assert shared[0].shard not in str(keys(keeper.store))


def test_nobody_brings_it_back(keeper: Keeper, footage: Footage) -> None:
    forget(keeper.store, "d", PURGED, Untracked())
    again = Footage(keeper.store)
    after = again.ingest("gone", "e")
    assert sha("gone") not in after.source_digests
    assert sha("e") in after.source_digests


def test_a_purge_is_refused_while_a_lease_uses_such_a_snapshot(
    keeper: Keeper, footage: Footage
) -> None:
    store = keeper.store
    before = {key: store.get(key).data for key in keys(store)}
    digests = snapshot_digests(store, "d")
    used = max(digests, key=lambda one: load_snapshot(store, "d", one).document.clips)
    uses = (DataUse("d", used), DataUse("d", is_ingest=True), None)
    for number, use in enumerate(uses):
        with (
            hold_lease(store, f"r{number}", use),
            pytest.raises(LeaseHeldError, match=f"run r{number} .*wait for it to end"),
        ):
            forget(store, "d", PURGED, Untracked())
    now = {key: store.get(key).data for key in keys(store) if not key.startswith("runs/")}
    assert now == before, "nothing was changed"
    with hold_lease(store, "elsewhere", DataUse("e", is_ingest=True)):
        assert forget(store, "d", PURGED, Untracked()).purged is not None


def test_without_a_purge_a_lease_is_no_hindrance(keeper: Keeper, footage: Footage) -> None:
    used = find_snapshot(keeper.store, "d")
    with hold_lease(keeper.store, "r", DataUse("d", used.digest)):
        forget(keeper.store, "d", GONE, Untracked())
    assert load_snapshot(keeper.store, "d", used.digest).rows() == used.rows()


class Failing(LocalStore):
    """Stops answering after so many purges."""

    left = 3

    def purge(self, key: str) -> None:
        if self.left == 0:
            raise StorageError("connection refused")
        self.left -= 1
        super().purge(key)


def test_an_interrupted_purge_is_finished_by_the_same_command(
    keeper: Keeper, footage: Footage
) -> None:
    if not isinstance(keeper.store, LocalStore):
        pytest.skip("the failing store is a directory")
    shown = evaluated(keeper.store, "nightly", find_snapshot(keeper.store, "d").digest)
    failing = Failing(keeper.store._directory)
    told: Forgetting | None = None
    for failing.left in range(3, 60, 4):
        try:
            told = forget(failing, "d", PURGED, Untracked())
        except StorageError:
            assert_newest_whole(keeper.store)
        else:
            break
    assert told is not None
    assert told.purged is not None
    assert kept_by(keeper) == set()
    assert not shown & keys(keeper.store)
    assert_whole(keeper.store)


def assert_newest_whole(store: ObjectStore) -> None:
    newest = tuple(require_head(store, "d").lineages.values())
    assert verify(store, "d", newest).damaged == ()


def test_unknown_sources_and_datasets_name_what_is_nearest(
    keeper: Keeper, footage: Footage
) -> None:
    store = keeper.store
    with pytest.raises(DatasetError, match=r"did you mean file:///footage/gone\.mp4\?"):
        forget(store, "d", Wanted(sources=("/footage/gome.mp4",)), Untracked())
    with pytest.raises(DatasetError, match="no video with that content"):
        forget(store, "d", Wanted(videos=("0" * 64,)), Untracked())
    with pytest.raises(DatasetError, match="64 hex digits"):
        forget(store, "d", Wanted(videos=("abc",)), Untracked())
    Footage(store, "drama").ingest("a")
    with pytest.raises(DatasetError, match="did you mean 'drama'"):
        forget(store, "dramma", GONE, Untracked())
