"""The worker with the real networks, step and loader, in this process."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file

from videogen.artifacts import DatasetRef
from videogen.config.run import RunConfig
from videogen.config.sections import StorageConfig
from videogen.config.train import AugmentConfig, DcganConfig, R3ganVConfig, TrainConfig
from videogen.data.shards.frame_codec import encode_clip
from videogen.data.shards.tar_shard import ShardWriter, shard_key
from videogen.data.snapshots.clip_table import ClipRow, table_of
from videogen.data.snapshots.snapshot import add_clips
from videogen.progress import ProgressEvent
from videogen.runs.pointer import committed_checkpoints, take_pointer
from videogen.storage.local import LocalStore
from videogen.training import worker
from videogen.training.parallel import Parallel
from videogen.training.session import RunIdentity

INGEST = "0" * 64
MODELS = {
    "r3gan-v": TrainConfig(
        model=R3ganVConfig(generator_channels=(16,), discriminator_channels=(16,), tube_frames=2),
        augment=AugmentConfig(probability=0.5),
        penalty_interval=2,
    ),
    "dcgan": TrainConfig(model=DcganConfig(base_channels=2), loss="bce", gamma=0.0),
}


class Listener:
    def __init__(self, stop_at: int | None) -> None:
        self.events: list[ProgressEvent] = []
        self.stop_at = stop_at

    def tell(self, event: ProgressEvent) -> None:
        self.events.append(event)

    def should_stop(self) -> bool:
        return self.stop_at is not None and len(self.events) >= self.stop_at


@pytest.fixture
def store(tmp_path) -> LocalStore:
    return LocalStore(tmp_path / "store")


@pytest.fixture
def dataset(store, tmp_path, monkeypatch) -> DatasetRef:
    """Four moving gradients of ten frames."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    packed = tmp_path / "packed"
    packed.mkdir()
    with ShardWriter(packed, max_bytes=1 << 20) as writer:
        for index in range(4):
            ramp = np.add.outer(np.arange(10), 7 * np.arange(32)).astype(np.uint8)
            frames = np.broadcast_to(ramp[:, None, :, None], (10, 32, 32, 3)) + np.uint8(index)
            writer.add(_digest(index), {}, encode_clip(frames, "raw"))
        shard = writer.finish()
    store.upload(shard_key("tiny", shard.sha256), shard.path)
    rows = [
        ClipRow(
            clip_id=placed.clip_id,
            source="a.mp4",
            source_sha256=placed.clip_id,
            start_s=0.0,
            end_s=1.25,
            shard=shard.sha256,
            offset=placed.offset,
            length=placed.length,
            sha256=placed.sha256,
            frames=10,
            fps=8.0,
            height=32,
            width=32,
            codec="raw",
            colour="bt601",
            split="train",
        )
        for placed in shard.clips
    ]
    snapshot = add_clips(store, "tiny", INGEST, table_of(rows))
    return DatasetRef(
        dataset="tiny",
        snapshot=snapshot.digest,
        ingest_digest=INGEST,
        sources=4,
        clips=4,
        frames=40,
        height=32,
        width=32,
        fps=8.0,
    )


def _digest(index: int) -> str:
    return hashlib.sha256(str(index).encode()).hexdigest()


def _run(
    store: LocalStore, dataset: DatasetRef, kind: str, run_id: str, stop_at: int | None = None
) -> list[ProgressEvent]:
    intervals = {
        "global_batch_size": 3,
        "total_clips": 18,
        "num_frames": 4,
        "frame_stride": 2,
        "log_interval_clips": 3,
        "sample_interval_clips": 18,
        "checkpoint_interval_clips": 9,
        "precision": "fp32",
    }
    config = RunConfig(name="tiny", train=MODELS[kind].model_copy(update=intervals))
    identity = RunIdentity(
        run_id=run_id,
        lease_token="mine",  # noqa: S106 - names an owner, opens nothing
        document=config.stage_document("train"),
        total_clips=18,
        keep_checkpoints=3,
    )
    listener = Listener(stop_at)
    task = worker.TrainTask(config, StorageConfig(root=store.root), dataset, identity, None)
    take_pointer(store, run_id, identity.lease_token)
    worker.run(task, Parallel(), listener)
    return listener.events


@pytest.mark.parametrize("kind", list(MODELS))
def test_a_stopped_run_that_goes_on_ends_with_the_very_weights_of_an_undisturbed_one(
    store, dataset, kind
):
    _run(store, dataset, kind, "whole")
    _run(store, dataset, kind, "parts", stop_at=3)
    stopped = committed_checkpoints(store, "parts")[-1]
    events = _run(store, dataset, kind, "parts")
    assert 0 < stopped.clips_seen < 18
    assert f"from {stopped.clips_seen} to 18 clips" in events[0].message

    whole, parts = (committed_checkpoints(store, run_id)[-1] for run_id in ("whole", "parts"))
    assert whole.clips_seen == parts.clips_seen == 18
    for name in ("state.safetensors", "rng.safetensors", "generator/generator.safetensors"):
        assert _file(store, whole.prefix, name) == _file(store, parts.prefix, name), name
    assert _file(store, stopped.prefix, "state.safetensors") != _file(
        store, parts.prefix, "state.safetensors"
    )


def test_the_ema_is_what_is_exported(store, dataset):
    _run(store, dataset, "r3gan-v", "run")
    directory = Path(store.root) / committed_checkpoints(store, "run")[-1].prefix
    state = load_file(directory / "state.safetensors")
    exported = load_file(directory / "generator" / "generator.safetensors")
    assert all(value.equal(state[f"ema.{name}"]) for name, value in exported.items())
    assert any(not value.equal(state[f"generator.{name}"]) for name, value in exported.items())


def _file(store: LocalStore, prefix: str, name: str) -> bytes:
    return store.get(f"{prefix}/{name}").data
