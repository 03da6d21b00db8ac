"""What MLflow knows of a snapshot: versions trained with it, and sheets that show its clips."""

from pathlib import Path

import pytest
from curated import Footage, Keeper, holds_any, keys, pictures, sha

from videogen.curation.forget import Wanted, forget
from videogen.curation.listing import find_snapshot
from videogen.mlflow_connection import connect
from videogen.registry.provenance import SnapshotsInMlflow
from videogen.storage.local import LocalStore
from videogen.tracking import open_tracker, start_run

pytestmark = pytest.mark.integration


@pytest.fixture
def keeper(tmp_path: Path) -> Keeper:
    store = LocalStore(tmp_path / "store")
    return Keeper(store, lambda: {one.key: [store.get(one.key).data] for one in store.list("")})


def evaluate(tracking_uri: str, location: str, run_id: str, snapshot: str, scratch: Path) -> None:
    """Upload a sheet with a real clip, and a report, as the stage does."""
    tracker = open_tracker(start_run(tracking_uri, "tests", location, run_id))
    tracker.set_tags({"videogen.snapshot": snapshot})
    scratch.mkdir(exist_ok=True)
    (scratch / "sheet.png").write_bytes(b"png" + pictures("gone", 0).tobytes())
    (scratch / "report.json").write_text("{}")
    for name in ("sheet.png", "report.json"):
        tracker.log_artifact(scratch / name, "evaluation")


@pytest.mark.parametrize("below", ["store", "elsewhere"])
def test_versions_are_named_and_sheets_deleted_wherever_mlflow_keeps_them(
    keeper: Keeper, tmp_path: Path, below: str
) -> None:
    footage = Footage(keeper.store)
    snapshot = footage.ingest("a", "gone").digest
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    place = tmp_path / below / "mlflow"
    evaluate(uri, place.as_uri(), "shows it", snapshot, tmp_path / "scratch")
    evaluate(uri, place.as_uri(), "another", "9" * 64, tmp_path / "scratch")
    client = connect(uri)
    for name, digest in (("gan", snapshot), ("other", "9" * 64)):
        client.create_registered_model(name)
        tags = {"videogen.snapshot": digest}
        client.create_model_version(name, source=str(place), tags=tags)
    told = forget(
        keeper.store, "d", Wanted(videos=(sha("gone"),), purge=True), SnapshotsInMlflow(uri)
    )
    assert told.model_versions == ("gan/1",)
    assert told.purged is not None
    assert told.purged.sheets == 1
    left = [path.read_bytes() for path in place.rglob("sheet.png")]
    assert len(left) == 1
    assert len(list(place.rglob("report.json"))) == 2
    shards = [keeper.store.get(key).data for key in keys(keeper.store, "datasets/")]
    assert not any(holds_any(blob, "gone", 2) for blob in shards)
    assert find_snapshot(keeper.store, "d").source_digests == {sha("a")}


def test_a_database_that_does_not_exist_knows_nothing_and_is_not_made(
    keeper: Keeper, tmp_path: Path
) -> None:
    tracked = SnapshotsInMlflow(f"sqlite:///{tmp_path}/none.db")
    assert tracked.model_versions({"0" * 64}) == ()
    assert tracked.purge_sheets({"0" * 64}, keeper.store) == 0
    assert not (tmp_path / "none.db").exists()
