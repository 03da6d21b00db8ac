"""A small dataset and a generator of its size, as an evaluation finds them in a store."""

import tempfile
from pathlib import Path

import numpy as np
from clip_rows import clip_row

from videogen.artifacts import DatasetRef, GeneratorRef
from videogen.config.evaluate import EvaluateConfig
from videogen.config.models import DcganConfig
from videogen.config.sections import StorageConfig
from videogen.config.settings import Settings
from videogen.data.shards.frame_codec import encode_clip
from videogen.data.shards.tar_shard import ShardWriter, shard_key
from videogen.data.snapshots.clip_table import table_of
from videogen.data.snapshots.snapshot import add_clips
from videogen.evaluation.features.taking import Means
from videogen.evaluation.features.workers import Workers
from videogen.models.build import build_networks
from videogen.models.export import GeneratorSpec, save_weights
from videogen.progress import Progress, silent
from videogen.runs import manifest
from videogen.storage.base import ObjectStore

MODEL = DcganConfig(base_channels=8, latent_dim=8)
SIZE_PX = 32
DATASET = "toy"


def toy_dataset(
    store: ObjectStore, num_clips: int, *, num_frames: int = 12, holdout: int = 0
) -> DatasetRef:
    """Clips of noise that drifts; the last `holdout` of them are not for training."""
    rng = np.random.default_rng(0)
    ids = [f"{index:064x}" for index in range(num_clips)]
    with tempfile.TemporaryDirectory() as scratch, ShardWriter(Path(scratch), 1 << 28) as writer:
        for clip_id in ids:
            still = rng.integers(0, 256, (SIZE_PX, SIZE_PX, 3)).astype(np.uint8)
            clip = np.stack([np.roll(still, step, axis=0) for step in range(num_frames)])
            writer.add(clip_id, {}, encode_clip(clip, "raw"))
        written = writer.finish()
        store.upload(shard_key(DATASET, written.sha256), written.path)
    rows = [
        clip_row(
            placed, written.sha256, frames=num_frames, size_px=SIZE_PX,
            split="holdout" if placed.clip_id in ids[num_clips - holdout :] else "train",
        )
        for placed in written.clips
    ]  # fmt: skip
    snapshot = add_clips(store, DATASET, "d" * 64, table_of(rows))
    return DatasetRef(
        dataset=DATASET, snapshot=snapshot.digest, ingest_digest="d" * 64, sources=num_clips,
        clips=num_clips, frames=num_clips * num_frames, height=SIZE_PX, width=SIZE_PX, fps=8,
    )  # fmt: skip


def toy_generator(store: ObjectStore, seed: int = 0) -> GeneratorRef:
    """Freshly initialised, and committed."""
    networks = build_networks(MODEL, (SIZE_PX, SIZE_PX), 9, seed=seed)
    spec = GeneratorSpec(model=MODEL, height=SIZE_PX, width=SIZE_PX, num_frames=9, fps=8)
    prefix = f"runs/r{seed}/checkpoints/00000064"
    with tempfile.TemporaryDirectory() as scratch:
        save_weights(networks.generator.state_dict(), Path(scratch) / "generator", spec)
        sha256 = manifest.publish(store, prefix, Path(scratch))
    return GeneratorRef(
        run_id=f"r{seed}", prefix=prefix, manifest_sha256=sha256, clips_seen=64, num_frames=9,
        height=SIZE_PX, width=SIZE_PX, fps=8,
    )  # fmt: skip


def toy_config(num_clips: int = 3, **changes: object) -> EvaluateConfig:
    return EvaluateConfig.model_validate({"num_clips": num_clips, "num_frames": 9, **changes})


def toy_means(store: ObjectStore, workers: Workers, progress: Progress = silent) -> Means:
    storage = StorageConfig(root=store.root)
    return Means(store, storage, workers, progress, Settings.from_environment())
