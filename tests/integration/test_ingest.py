"""Ingest with Ray workers, from S3 and from files, into a real S3."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from videogen.config.run import RunConfig
from videogen.config.sections import IngestConfig, StorageConfig
from videogen.data.shards import read_clip
from videogen.data.snapshot import commit, head, load_snapshot
from videogen.data.synthetic import write_samples
from videogen.execution.ray_session import Cluster, ClusterSpec
from videogen.ingest.stage import ingest
from videogen.progress import silent
from videogen.storage.s3 import S3Store

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def cluster(s3_service: Any) -> Iterator[Cluster]:
    environment = {name: value for name, value in s3_service.environment.items() if value}
    with Cluster(ClusterSpec(environment=environment, num_cpus=2)) as cluster:
        yield cluster


def config_for(storage: StorageConfig, *sources: str) -> RunConfig:
    return RunConfig(
        name="d",
        storage=storage,
        ingest=IngestConfig(sources=sources, resolution=(32, 32), max_clip_frames=24),
    )


def objects(store: S3Store) -> dict[str, str]:
    return {info.key: info.etag for info in store.list("")}


def test_videos_in_s3_and_in_files_become_the_same_dataset(
    tmp_path: Path, s3_storage: StorageConfig, s3_store: S3Store, cluster: Cluster
) -> None:
    paths = write_samples(tmp_path, 6, 0, silent, size=48, num_frames=40)
    (tmp_path / "bad one.mp4").write_bytes(b"no video")
    for path in (*paths, tmp_path / "bad one.mp4"):
        s3_store.upload(f"raw/cats/{path.name}", path)
    store = S3Store(f"{s3_store.root}/out", endpoint_url=s3_storage.endpoint_url)
    out = s3_storage.model_copy(update={"root": store.root})

    from_s3 = ingest(config_for(out, f"{s3_store.root}/raw/"), store, cluster, silent)
    assert (from_s3.sources, from_s3.clips, from_s3.new_sources) == (6, 12, 7)
    (bad,) = from_s3.quarantined
    assert bad["source"] == f"{s3_store.root}/raw/cats/bad one.mp4"
    assert bad["reason"] == "corrupt"
    rows = load_snapshot(store, "d", from_s3.snapshot).rows()
    assert {clip.label for clip in rows} == {"cats"}
    for clip in rows:
        assert read_clip(store, "d", clip).shape == (clip.frames, 32, 32, 3)

    before = objects(store)
    with Cluster(ClusterSpec()) as unused:
        again = ingest(config_for(out, f"{s3_store.root}/raw"), store, unused, silent)
        assert not unused.connected
    assert again.snapshot == from_s3.snapshot
    assert objects(store) == before

    from_files = ingest(config_for(out, str(tmp_path)), store, cluster, silent)
    assert from_files.snapshot == from_s3.snapshot, "the same contents, wherever they lie"


def test_ingests_at_once_lose_no_clip(
    tmp_path: Path, s3_storage: StorageConfig, s3_store: S3Store, cluster: Cluster
) -> None:
    answer = None
    expected: set[str] = set()
    parts = []
    for number in range(4):
        write_samples(tmp_path / str(number), 2, 10 * number, silent, size=48, num_frames=20)
        scratch = S3Store(f"{s3_store.root}/{number}", endpoint_url=s3_storage.endpoint_url)
        storage = s3_storage.model_copy(update={"root": scratch.root})
        config = config_for(storage, str(tmp_path / str(number)))
        answer = ingest(config, scratch, cluster, silent)
        parts.append(load_snapshot(scratch, "d", answer.snapshot).clips)
        expected |= {clip.clip_id for clip in load_snapshot(scratch, "d", answer.snapshot).rows()}
    threads = [
        threading.Thread(target=commit, args=(s3_store, "together", "i", rows)) for rows in parts
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    now = head(s3_store, "together")
    assert now is not None
    rows = load_snapshot(s3_store, "together", now.snapshot).rows()
    assert {clip.clip_id for clip in rows} == expected
