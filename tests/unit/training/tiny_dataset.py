"""A dataset of seven small clips of noise, each frame different, in a directory."""

import hashlib
from pathlib import Path

import numpy as np
from clip_rows import clip_row

from videogen.artifacts import DatasetRef
from videogen.data.shards.frame_codec import encode_clip
from videogen.data.shards.tar_shard import ShardWriter, Written, shard_key
from videogen.data.snapshots.clip_table import ClipRow, table_of
from videogen.data.snapshots.snapshot import add_clips
from videogen.storage.local import LocalStore

INGEST = "0" * 64
SIZE_PX = 32
CLIP_FRAMES = (10, 11, 12, 13, 10, 11, 12)


def make_dataset(store: LocalStore, directory: Path) -> DatasetRef:
    """Put the dataset `tiny` into the store; `directory` is for files on the way."""
    rows = []
    for number, indices in enumerate((range(4), range(4, 7))):
        packed = directory / f"packed{number}"
        packed.mkdir(parents=True)
        shard = _packed(packed, indices)
        store.upload(shard_key("tiny", shard.sha256), shard.path)
        rows += _rows(shard)
    snapshot = add_clips(store, "tiny", INGEST, table_of(rows))
    return DatasetRef(
        dataset="tiny",
        snapshot=snapshot.digest,
        ingest_digest=INGEST,
        sources=len(CLIP_FRAMES),
        clips=len(CLIP_FRAMES),
        frames=sum(CLIP_FRAMES),
        height=SIZE_PX,
        width=SIZE_PX,
        fps=8.0,
    )


def _packed(directory: Path, indices: range) -> Written:
    with ShardWriter(directory, max_bytes=1 << 20) as writer:
        for index in indices:
            rng = np.random.default_rng(index)
            # Coarse noise: the networks see it at their lowest resolutions too.
            coarse = rng.integers(0, 256, (CLIP_FRAMES[index], 4, 4, 3), dtype=np.uint8)
            frames = coarse.repeat(SIZE_PX // 4, axis=1).repeat(SIZE_PX // 4, axis=2)
            writer.add(_digest(index), {}, encode_clip(frames, "raw"))
        return writer.finish()


def _rows(shard: Written) -> list[ClipRow]:
    frames = {_digest(index): number for index, number in enumerate(CLIP_FRAMES)}
    return [
        clip_row(placed, shard.sha256, frames=frames[placed.clip_id], size_px=SIZE_PX)
        for placed in shard.clips
    ]


def _digest(index: int) -> str:
    return hashlib.sha256(str(index).encode()).hexdigest()
