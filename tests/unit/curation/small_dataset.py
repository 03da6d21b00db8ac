"""A dataset of a few clips with known pixels, written as an ingest writes it."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from videogen.data.shards.frame_codec import encode_clip
from videogen.data.shards.tar_shard import ShardWriter, shard_key
from videogen.data.snapshots.clip_table import ClipRow, table_of
from videogen.data.snapshots.snapshot import Snapshot, add_clips
from videogen.storage.local import LocalStore

INGEST_DIGEST = "1" * 64
FPS = 8.0


def sha(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def frames_of(index: int, num: int = 6, size: tuple[int, int] = (16, 24)) -> NDArray[np.uint8]:
    """Smooth pictures that move, uint8 (t h w c); JPEG keeps them within a few levels."""
    y, x = np.mgrid[: size[0], : size[1]]
    frames = [
        np.stack([60 + 5 * x + 9 * time, 40 + 6 * y + 20 * index, 200 - 4 * x - 3 * y], axis=-1)
        for time in range(num)
    ]
    return np.clip(np.stack(frames), 0, 255).astype(np.uint8)


def row_of(index: int, label: str | None, codec: str = "raw", num: int = 6) -> ClipRow:
    decisions = {"codec": "h264", "width": 1280, "height": 720, "rotation": 0}
    return ClipRow(
        clip_id=sha(f"clip {index}"),
        source=f"file:///films/{index % 3}.mp4",
        source_sha256=sha(f"source {index % 3}"),
        start_s=float(index),
        end_s=index + num / FPS,
        shard="",
        offset=0,
        length=0,
        sha256="",
        frames=num,
        fps=FPS,
        height=16,
        width=24,
        codec=codec,
        colour="bt709 by tag, tv by tag",
        split="holdout" if index % 3 == 2 else "train",
        label=label,
        licence="CC0",
        source_bytes=1000 + index % 3,
        decisions=json.dumps(decisions),
        brightness=20.0 * index,
        contrast=10.0,
        motion=1.5 * index,
        perceptual_hash=index,
    )


def build(
    root: Path,
    labels: Sequence[str | None],
    codec: Literal["raw", "jpeg"] = "raw",
    *,
    dataset: str = "d",
) -> tuple[LocalStore, Snapshot]:
    """One clip a label; two shards."""
    store = LocalStore(root / "store")
    rows: dict[str, ClipRow] = {}
    done: list[ClipRow] = []
    with ShardWriter(root, 1 << 14) as writer:

        def place(written: object) -> None:
            if written is None:
                return
            store.upload(shard_key(dataset, written.sha256), written.path)
            for clip in written.clips:
                facts = {"shard": written.sha256, "offset": clip.offset}
                facts |= {"length": clip.length, "sha256": clip.sha256}
                done.append(ClipRow(**{**vars(rows[clip.clip_id]), **facts}))

        for index, label in enumerate(labels):
            row = row_of(index, label, codec)
            rows[row.clip_id] = row
            member = encode_clip(frames_of(index), codec)
            place(writer.add(row.clip_id, {"clip_id": row.clip_id, "fps": row.fps}, member))
        place(writer.finish())
    return store, add_clips(store, dataset, INGEST_DIGEST, table_of(done))
