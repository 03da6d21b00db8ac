"""Ingest with Ray workers, from S3 and from files, into a real S3."""

import multiprocessing
import shutil
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from videogen.benchmarks.footage import write_twin
from videogen.benchmarks.ingest_runs import FewerWorkers
from videogen.config.run import RunConfig
from videogen.config.sections import IngestConfig, StorageConfig
from videogen.config.settings import apply_environment
from videogen.data.shards.tar_shard import read_clip
from videogen.data.snapshots.snapshot import head, load_snapshot
from videogen.data.video.synthetic import sample_clip, write_samples
from videogen.data.video.writer import write_video
from videogen.errors import DatasetError
from videogen.execution.ray_session import Cluster, ClusterSpec
from videogen.ingest.stage import ingest
from videogen.progress import ProgressEvent, silent
from videogen.storage.connect import open_store
from videogen.storage.s3 import S3Store

pytestmark = pytest.mark.machine


@pytest.fixture(scope="module")
def cluster(s3_service: Any) -> Iterator[Cluster]:
    environment = {name: value for name, value in s3_service.environment.items() if value}
    with Cluster(ClusterSpec(environment=environment, num_cpus=2)) as cluster:
        cluster.connect()
        yield cluster


def config_for(storage: StorageConfig, *sources: str, **changes: Any) -> RunConfig:
    ingest_config = IngestConfig(
        sources=sources,
        resolution=(32, 32),
        max_clip_frames=24,
        max_quarantined_fraction=1.0,
        **changes,
    )
    return RunConfig(name="d", storage=storage, ingest=ingest_config)


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


def test_two_ingests_at_once_lose_and_double_nothing(
    tmp_path: Path, s3_storage: StorageConfig, s3_store: S3Store, cluster: Cluster
) -> None:
    left, right = tmp_path / "left", tmp_path / "right"
    paths = write_samples(tmp_path / "all", 9, 0, silent, size=48, num_frames=40)
    for side, chosen in ((left, paths[:6]), (right, paths[3:])):
        side.mkdir()
        for path in chosen:
            shutil.copy(path, side)
    with ThreadPoolExecutor() as threads:
        ingests = [
            threads.submit(ingest, config_for(s3_storage, str(one)), s3_store, cluster, silent)
            for one in (left, right)
        ]
        found = [one.result() for one in ingests]
    assert max(one.sources for one in found) == 9
    now = head(s3_store, "d")
    assert now is not None
    rows = load_snapshot(s3_store, "d", now.snapshot).rows()
    ids = {clip.clip_id for clip in rows}
    assert len(rows) == len(ids) == 18
    both = config_for(s3_storage, str(left), str(right))
    with Cluster(ClusterSpec()) as unused:
        again = ingest(both, s3_store, unused, silent)
        assert not unused.connected, "each knows what the other did"
    assert (again.snapshot, again.clips) == (now.snapshot, 18)


def test_the_snapshot_depends_on_neither_the_number_of_workers_nor_on_one_that_is_killed(
    tmp_path: Path, s3_storage: StorageConfig, s3_store: S3Store, cluster: Cluster
) -> None:
    long_videos(tmp_path, 5)
    stores = [
        S3Store(f"{s3_store.root}/{name}", endpoint_url=s3_storage.endpoint_url) for name in "ab"
    ]
    configs = [
        config_for(s3_storage.model_copy(update={"root": store.root}), str(tmp_path))
        for store in stores
    ]
    one_worker = ingest(configs[0], stores[0], FewerWorkers(cluster, 1), silent)
    with killing("long-2.mp4", times=1) as killed:
        two_workers = ingest(configs[1], stores[1], cluster, silent)
    assert len(killed) == 1
    assert two_workers.snapshot == one_worker.snapshot
    shards = [{info.key for info in store.list("datasets/d/shards/")} for store in stores]
    assert shards[0] == shards[1]
    assert one_worker.peak_rss_bytes > 50_000_000
    assert one_worker.frames_per_s > 0


def test_a_source_that_kills_or_stalls_its_worker_is_quarantined_and_the_rest_goes_on(
    tmp_path: Path, s3_storage: StorageConfig, s3_store: S3Store, cluster: Cluster
) -> None:
    long_videos(tmp_path, 1)
    write_samples(tmp_path, 6, 0, silent, size=48, num_frames=40)
    with killing("long-0.mp4", times=100) as killed:
        answer = ingest(config_for(s3_storage, str(tmp_path)), s3_store, cluster, silent)
    (bad,) = answer.quarantined
    assert (Path(bad["source"]).name, bad["reason"]) == ("long-0.mp4", "crashes the decoder")
    assert (answer.sources, answer.clips) == (6, 12)
    assert 2 <= len(killed) <= 4
    hurried = config_for(s3_storage, str(tmp_path / "long-0.mp4"), stall_timeout_s=1e-4)
    with pytest.raises(DatasetError, match="1 stalls the decoder"):
        ingest(hurried.model_copy(update={"name": "e"}), s3_store, cluster, silent)


def test_a_killed_driver_leaves_what_was_finished_and_the_next_one_goes_on_from_there(
    tmp_path: Path, s3_service: Any, s3_storage: StorageConfig, s3_store: S3Store, cluster: Cluster
) -> None:
    long_videos(tmp_path, 8)
    config = config_for(s3_storage, str(tmp_path))
    environment = {name: value for name, value in s3_service.environment.items() if value}
    driver = multiprocessing.get_context("spawn").Process(
        target=drive, args=(config.model_dump_json(by_alias=True), environment)
    )
    driver.start()
    deadline = time.monotonic() + 60
    while len(records(s3_store)) < 3 and time.monotonic() < deadline:
        time.sleep(0.02)
    workers = psutil.Process(driver.pid).children(recursive=True)
    driver.kill()
    for worker in workers:
        with suppress(psutil.Error):
            worker.kill()
    driver.join()
    finished = records(s3_store)
    assert 3 <= len(finished) < 8
    assert head(s3_store, "d") is None, "nothing half-done is visible"
    events: list[ProgressEvent] = []
    answer = ingest(config, s3_store, cluster, events.append)
    assert (answer.sources, answer.skipped) == (8, len(finished))
    assert answer.new_sources == 8 - len(finished)
    begun = {one.message for one in events if one.message.startswith("reading")}
    assert len(begun) <= 8 - len(finished), "no finished source is read again"
    assert {key: records(s3_store)[key] for key in finished} == finished


def drive(config: str, environment: dict[str, str]) -> None:
    """An ingest as a process of its own."""
    apply_environment(environment)
    loaded = RunConfig.model_validate_json(config)
    with Cluster(ClusterSpec(environment=environment, num_cpus=2)) as cluster:
        ingest(loaded, open_store(loaded.storage), cluster, silent)


def records(store: S3Store) -> dict[str, str]:
    return {info.key: info.etag for info in store.list("datasets/d/sources/")}


def long_videos(directory: Path, number: int) -> None:
    """Videos that take a second or so each, as large as a group, that look alike."""
    first = directory / "long-0.mp4"
    write_video(first, np.tile(sample_clip(0, 50, 64), (40, 1, 1, 1)), 24.0)
    for index in range(1, number):
        write_twin(directory / f"long-{index}.mp4", first, index)


@contextmanager
def killing(name: str, times: int) -> Iterator[list[int]]:
    """Kills workers of this process's Ray that have a file of this name open; their process ids."""
    killed: list[int] = []
    over = threading.Event()

    def hunt() -> None:
        while not over.wait(0.01) and len(killed) < times:
            for process in psutil.Process().children(recursive=True):
                with suppress(psutil.Error):
                    if any(one.path.endswith(name) for one in process.open_files()):
                        process.kill()
                        process.wait(10)
                        killed.append(process.pid)

    hunter = threading.Thread(target=hunt)
    hunter.start()
    try:
        yield killed
    finally:
        over.set()
        hunter.join()
