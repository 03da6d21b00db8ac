"""Training on a real Ray with two workers, from a real snapshot."""

import functools
import hashlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from clip_rows import clip_row
from mlflow import MlflowClient

from videogen.artifacts import CheckpointRef, DatasetRef
from videogen.config.models import R3ganVConfig
from videogen.config.run import RunConfig
from videogen.config.sections import ExecutionConfig
from videogen.config.train import TrainConfig
from videogen.data.shards.frame_codec import encode_clip
from videogen.data.shards.tar_shard import ShardWriter, shard_key
from videogen.data.snapshots.clip_table import table_of
from videogen.data.snapshots.snapshot import add_clips
from videogen.errors import ConfigError, DatasetError, TrainingError
from videogen.execution.ray_session import Cluster, ClusterSpec
from videogen.models.export import load_generator
from videogen.models.sampling import generate
from videogen.progress import ProgressEvent
from videogen.runs import manifest
from videogen.runs.handle import RunHandle
from videogen.runs.pointer import best_checkpoint, committed_checkpoints
from videogen.runs.stages import StageTask, run_stage
from videogen.storage.local import LocalStore
from videogen.tracking import start_run
from videogen.tracking_spec import TrackerSpec
from videogen.training.launcher import launch
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
    train=TrainConfig(
        model=R3ganVConfig(generator_channels=(16,), discriminator_channels=(16,), tube_frames=2),
        global_batch_size=3,
        total_clips=24,
        num_frames=4,
        penalty_interval=2,
        log_interval_clips=6,
        sample_interval_clips=24,
        checkpoint_interval_clips=12,
    ),
)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory) -> Iterator[Cluster]:
    environment = {
        # Workers import this module's functions.
        "PYTHONPATH": os.pathsep.join(map(str, Path(__file__).parents[:2])),
        "XDG_CACHE_HOME": str(tmp_path_factory.mktemp("cache")),
        "OMP_NUM_THREADS": "1",
    }
    with Cluster(ClusterSpec(environment=environment, num_cpus=2)) as cluster:
        yield cluster


@pytest.fixture
def store(tmp_path) -> LocalStore:
    return LocalStore(tmp_path / "store")


def _dataset(store: LocalStore, directory: Path) -> DatasetRef:
    rng = np.random.default_rng(0)
    facts = {}
    directory.mkdir()
    with ShardWriter(directory, max_bytes=1 << 20) as writer:
        for index in range(5):
            clip_id = hashlib.sha256(str(index).encode()).hexdigest()
            colour = rng.integers(0, 256, (1, 1, 1, 3), dtype=np.uint8)
            frames = np.broadcast_to(colour, (8, 32, 32, 3))
            facts[clip_id] = index
            writer.add(clip_id, {}, encode_clip(frames, "raw"))
        shard = writer.finish()
    store.upload(shard_key("tiny", shard.sha256), shard.path)
    rows = [
        clip_row(placed, shard.sha256, frames=8, size_px=32, source=f"{facts[placed.clip_id]}.mp4")
        for placed in shard.clips
    ]
    snapshot = add_clips(store, "tiny", "0" * 64, table_of(rows))
    return DatasetRef(
        dataset="tiny",
        snapshot=snapshot.digest,
        ingest_digest="0" * 64,
        sources=5,
        clips=5,
        frames=40,
        height=32,
        width=32,
        fps=8.0,
    )


def _train(
    config: RunConfig,
    store: LocalStore,
    dataset: DatasetRef,
    cluster: Cluster,
    run_id: str,
    tracker: TrackerSpec | None = None,
) -> tuple[CheckpointRef, list[ProgressEvent]]:
    events: list[ProgressEvent] = []
    task = StageTask(
        "train",
        {"snapshot": dataset.snapshot},
        CheckpointRef,
        lambda run: train(config, dataset, store, run, tracker, cluster, events.append),
        lambda _: True,
    )
    return run_stage(RunHandle(store, run_id), config, task).artifact, events


def test_two_workers_train_from_a_snapshot_to_a_checkpoint_that_generates(store, cluster, tmp_path):
    dataset = _dataset(store, tmp_path / "packed")
    tracker = start_run(f"sqlite:///{tmp_path}/mlflow.db", "tiny", None, "first")
    reference, events = _train(CONFIG, store, dataset, cluster, "first", tracker)
    assert reference.clips_seen == 24
    assert [one.clips_seen for one in committed_checkpoints(store, "first")] == [12, 24]
    decided = events[0].message
    assert "2 workers by gloo on cpu (1 thread each), 2+1 clips a step" in decided
    reports = [event for event in events if event.values]
    assert [event.done for event in reports] == [6, 12, 18, 24]
    timings = {"clips_per_s", "data_wait_fraction", "checkpoint_stall_fraction"}
    assert timings < set(reports[0].values)
    assert reference.final_metrics == reports[-1].values
    assert {key.key.rsplit("/", 1)[1] for key in store.list("runs/first/samples/")} == {
        "sheet.png",
        "preview.gif",
        "preview.mp4",
    }
    client = MlflowClient(tracker.tracking_uri)
    logged = client.get_metric_history(tracker.run_id, "generator_loss")
    assert [metric.step for metric in logged] == [6, 12, 18, 24]
    shown = client.list_artifacts(tracker.run_id, "samples/000000000024")
    assert {Path(one.path).name for one in shown} == {"sheet.png", "preview.gif", "preview.mp4"}
    assert reference.mlflow_run_id == tracker.run_id
    manifest.fetch(
        store, reference.prefix, reference.manifest_sha256, tmp_path / "got", below="generator/"
    )
    generator, spec = load_generator(tmp_path / "got" / "generator")
    assert (spec.height, spec.num_frames, spec.fps) == (32, 4, 8.0)
    assert generate(generator, [0, 1], 6).shape == (2, 6, 32, 32, 3)


def test_an_unfinished_run_of_the_same_key_is_gone_on_from_and_another_config_refused(
    store, cluster, tmp_path
):
    dataset = _dataset(store, tmp_path / "packed")
    longer = {"total_clips": 600, "log_interval_clips": 30, "sample_interval_clips": 600}
    config = CONFIG.model_copy(update={"train": CONFIG.train.model_copy(update=longer)})
    stop_at_30 = _StopAfter(30)
    task = StageTask(
        "train",
        {"snapshot": dataset.snapshot},
        CheckpointRef,
        lambda run: train(config, dataset, store, run, None, cluster, stop_at_30),
        lambda _: True,
    )
    with pytest.raises(KeyboardInterrupt):
        run_stage(RunHandle(store, "stopped"), config, task)
    stopped_at = committed_checkpoints(store, "stopped")[-1].clips_seen
    assert 30 <= stopped_at < 600
    assert stopped_at % 30 == 0

    changed = config.model_copy(update={"train": config.train.model_copy(update={"beta1": 0.5})})
    handle = RunHandle(store, "stopped")
    with pytest.raises(ConfigError, match=r"train\.beta1 is 0\.5.*with 0\.0"):
        _train_again(changed, handle, dataset, cluster)

    reference, events = _train(config, store, dataset, cluster, "second")
    assert f"from {stopped_at:,} to 600 clips" in events[0].message
    assert (reference.run_id, reference.clips_seen) == ("second", 600)
    assert len(committed_checkpoints(store, "second")) == 3


def test_a_run_that_its_hours_end_says_so_and_the_same_command_completes_it(
    store, cluster, tmp_path
):
    dataset = _dataset(store, tmp_path / "packed")
    short = CONFIG.model_copy(update={"train": CONFIG.train.model_copy(update={"max_hours": 1e-6})})
    said = r"stopped after train\.max_hours \(1e-06\) at 6 of 24 clips; the same command goes on"
    with pytest.raises(TrainingError, match=said):
        _train(short, store, dataset, cluster, "short")
    best = CONFIG.train.model_copy(update={"best_metric": "generator_loss", "keep_checkpoints": 1})
    config = CONFIG.model_copy(update={"train": best})
    reference, events = _train(config, store, dataset, cluster, "short")
    assert "from 6 to 24 clips" in events[0].message
    assert reference.clips_seen == 24
    kept = best_checkpoint(store, "short").checkpoint
    assert kept.score == min(one.score for one in committed_checkpoints(store, "short"))
    assert f"generator_loss was lowest at {kept.clips_seen} clips" in events[-1].message


class _StopAfter:
    """Progress that ends in Ctrl-C once so many clips were seen."""

    def __init__(self, clips: int) -> None:
        self._clips = clips

    def __call__(self, event: ProgressEvent) -> None:
        if event.done >= self._clips:
            raise KeyboardInterrupt


def _train_again(config, handle, dataset, cluster):
    task = StageTask(
        "train",
        {"snapshot": dataset.snapshot},
        CheckpointRef,
        lambda run: train(config, dataset, handle.store, run, None, cluster, lambda _: None),
        lambda _: True,
    )
    return run_stage(handle, config, task)


def _fail(parallel, channel) -> None:
    if parallel.rank == 1:
        raise DatasetError("clip 7 is bad")
    parallel.all_reduce(torch.ones(1))


def _die_once(marker, parallel, channel) -> None:
    if parallel.rank == 0 and not Path(marker).exists():
        Path(marker).touch()
        time.sleep(2)
        os._exit(1)
    channel.tell(ProgressEvent("train", message=f"rank {parallel.rank}"))


def test_a_workers_own_error_reaches_the_driver_as_it_is_and_is_not_met_again(cluster):
    with pytest.raises(DatasetError, match="clip 7 is bad"):
        launch(_fail, cluster, ExecutionConfig(), "fails").wait(lambda _: None)


def test_workers_that_die_are_started_again(cluster, tmp_path):
    events: list[ProgressEvent] = []
    work = functools.partial(_die_once, str(tmp_path / "died"))
    launch(work, cluster, ExecutionConfig(), "dies").wait(events.append)
    assert {event.message for event in events} == {"rank 0", "rank 1"}


def test_more_workers_than_the_machine_has_room_for_is_one_error(cluster):
    with pytest.raises(TrainingError, match=r"lower execution\.num_workers"):
        launch(_fail, cluster, ExecutionConfig(num_workers=9), "large")
