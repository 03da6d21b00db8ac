"""Training on a real Ray whose checkpoints are judged while it goes on, with the real weights."""

import hashlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from clip_rows import clip_row
from mlflow import MlflowClient

from videogen.artifacts import CheckpointRef, DatasetRef, EvaluationReport
from videogen.config.evaluate import EvaluateConfig
from videogen.config.models import R3ganVConfig
from videogen.config.run import RunConfig
from videogen.config.sections import ExecutionConfig, IngestConfig
from videogen.config.train import OnlineEvaluationConfig, TrainConfig
from videogen.data.shards.frame_codec import encode_clip
from videogen.data.shards.tar_shard import ShardWriter, shard_key
from videogen.data.snapshots.clip_table import table_of
from videogen.data.snapshots.snapshot import add_clips
from videogen.evaluation.online import online_evaluation
from videogen.execution.ray_session import Cluster, ClusterSpec
from videogen.progress import ProgressEvent
from videogen.runs.handle import RunHandle
from videogen.runs.pointer import best_checkpoint, committed_checkpoints
from videogen.runs.stages import StageTask, run_stage
from videogen.storage.local import LocalStore
from videogen.tracking import start_run
from videogen.training.stage import train

pytestmark = [
    pytest.mark.machine,
    # Ray leaves its log files to the garbage collector.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    # Ray Train copies Ray Data's context, which warns of its own deprecated fields.
    pytest.mark.filterwarnings("ignore::DeprecationWarning:ray"),
]

CONFIG = RunConfig(
    name="tiny",
    execution=ExecutionConfig(num_workers=1),
    ingest=IngestConfig(min_clip_frames=9),
    train=TrainConfig(
        model=R3ganVConfig(generator_channels=(16,), discriminator_channels=(16,), tube_frames=2),
        global_batch_size=3,
        total_clips=24,
        num_frames=4,
        penalty_interval=2,
        log_interval_clips=6,
        sample_interval_clips=10_000,
        checkpoint_interval_clips=12,
        keep_checkpoints=1,
        online_evaluation=OnlineEvaluationConfig(interval_clips=12, num_clips=3),
        best_metric="fvd",
    ),
    evaluate=EvaluateConfig(num_clips=4, num_frames=9, batch_size=2),
)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    environment = {
        "PYTHONPATH": os.pathsep.join(map(str, Path(__file__).parents[:2])),
        "OMP_NUM_THREADS": "1",
    }
    with Cluster(ClusterSpec(environment=environment, num_cpus=1)) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> LocalStore:
    return LocalStore(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def dataset(store, tmp_path_factory) -> DatasetRef:
    """Six clips of noise that drifts, 12 frames at 32 px."""
    rng = np.random.default_rng(0)
    with ShardWriter(tmp_path_factory.mktemp("packed"), max_bytes=1 << 20) as writer:
        for index in range(6):
            still = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
            clip = np.stack([np.roll(still, step, axis=0) for step in range(12)])
            clip_id = hashlib.sha256(str(index).encode()).hexdigest()
            writer.add(clip_id, {}, encode_clip(clip, "raw"))
        shard = writer.finish()
    store.upload(shard_key("tiny", shard.sha256), shard.path)
    rows = [
        clip_row(placed, shard.sha256, frames=12, size_px=32, source=f"{index}.mp4")
        for index, placed in enumerate(shard.clips)
    ]
    snapshot = add_clips(store, "tiny", "0" * 64, table_of(rows))
    return DatasetRef(
        dataset="tiny", snapshot=snapshot.digest, ingest_digest="0" * 64, sources=6, clips=6,
        frames=72, height=32, width=32, fps=8.0,
    )  # fmt: skip


def _train(handle, config, dataset, cluster, progress, tracker=None) -> CheckpointRef:
    store = handle.store
    judge = online_evaluation(config, dataset, store)
    task = StageTask(
        "train",
        {"snapshot": dataset.snapshot},
        CheckpointRef,
        lambda run: train(config, dataset, store, run, tracker, cluster, progress, judge),
        lambda _: True,
    )
    return run_stage(handle, config, task, force=True).artifact


def test_checkpoints_are_judged_beside_the_training_and_as_any_evaluation_would_judge_them(
    store, dataset, cluster, tmp_path
):
    tracker = start_run(f"sqlite:///{tmp_path}/mlflow.db", "tiny", None, "first")
    events: list[ProgressEvent] = []
    last = _train(RunHandle(store, "first"), CONFIG, dataset, cluster, events.append, tracker)

    committed = {one.prefix: one for one in committed_checkpoints(store, "first")}
    report = EvaluationReport.model_validate_json(store.get(f"{last.prefix}/evaluation.json").data)
    protocol = report.protocol
    assert (protocol.name, protocol.num_fake, protocol.num_training) == ("fvd3_9f", 3, 0)
    assert set(report.yardsticks) == {"floor", "shuffled", "frozen", "blank"}
    assert report.seconds > 0
    assert committed[last.prefix].score == report.metrics["fvd"]
    best = best_checkpoint(store, "first")
    assert best.metric == "fvd"
    assert best.checkpoint.score == min(one.score for one in committed.values())
    assert list(store.list(f"features/{protocol.extractor_sha256[:16]}/{dataset.snapshot}/"))

    here = _judged_here(online_evaluation(CONFIG, dataset, store), last)
    assert here.model_dump(exclude={"seconds"}) == report.model_dump(exclude={"seconds"})

    client = MlflowClient(tracker.tracking_uri)
    logged = client.get_metric_history(tracker.run_id, "online/fvd")
    assert logged[-1].value == pytest.approx(report.metrics["fvd"])
    assert logged[-1].step == 24
    lines = [event.message for event in events]
    assert any(line.startswith("checkpoint at 24 clips: fvd3_9f ") for line in lines)
    assert _idle_processes() == []


def test_an_interrupt_ends_what_judges_with_the_training(store, dataset, cluster):
    longer = {"total_clips": 30_000, "log_interval_clips": 3, "checkpoint_interval_clips": 3}
    config = CONFIG.model_copy(update={"train": CONFIG.train.model_copy(update=longer)})

    def interrupt(event: ProgressEvent) -> None:
        if _idle_processes():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _train(RunHandle(store, "second"), config, dataset, cluster, interrupt)
    deadline = time.monotonic() + 20
    while _idle_processes() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert _idle_processes() == []
    assert 0 < committed_checkpoints(store, "second")[-1].clips_seen < 30_000


def _judged_here(judge, checkpoint: CheckpointRef) -> EvaluationReport:
    threads = torch.get_num_threads()
    try:
        return judge(checkpoint.generator)
    finally:
        torch.set_num_threads(threads)


def _idle_processes() -> list[int]:
    """Those of this Ray that have taken the way of `Aside`."""
    return [
        process.pid
        for process in psutil.Process().children(recursive=True)
        if _is_idle(process.pid)
    ]


def _is_idle(pid: int) -> bool:
    try:
        return os.sched_getscheduler(pid) == os.SCHED_IDLE
    except ProcessLookupError:
        return False
