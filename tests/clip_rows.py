"""Rows of clips that a test packed itself."""

from typing import Any

from videogen.data.shards.tar_shard import Placed
from videogen.data.snapshots.clip_table import ClipRow


def clip_row(placed: Placed, shard: str, *, frames: int, size_px: int, **facts: Any) -> ClipRow:
    """The row of a clip in the shard of that sha256; 8 frames/s, to train on, unless said."""
    usual: dict[str, Any] = {
        "source": "a.mp4", "source_sha256": placed.clip_id, "start_s": 0.0, "end_s": frames / 8,
        "fps": 8.0, "codec": "raw", "colour": "bt709", "split": "train",
    }  # fmt: skip
    return ClipRow(
        clip_id=placed.clip_id,
        shard=shard,
        offset=placed.offset,
        length=placed.length,
        sha256=placed.sha256,
        frames=frames,
        height=size_px,
        width=size_px,
        **{**usual, **facts},
    )
