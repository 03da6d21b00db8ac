"""Clips to look at: a few frames of each, side by side, as small JPEGs inside a page."""

import base64
import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from PIL import Image

from videogen.data.shards.frame_codec import Frames, read_frames
from videogen.data.shards.tar_shard import read_clip_bytes
from videogen.data.snapshots.clip_table import ClipRow, rows_of
from videogen.data.snapshots.snapshot import Snapshot
from videogen.data.video.unusable import shown
from videogen.progress import Progress, ProgressEvent
from videogen.storage.base import ObjectStore

_FRAMES = 4
_HEIGHT = 72
"""Pixels; smaller frames are shown with whole pixels repeated."""
_GAP = 2
_BETWEEN = (128, 128, 128)
_JPEG_QUALITY = 85
_SAMPLES = 32
_EXTREMES = 8


@dataclass(frozen=True)
class Still:
    """One clip: its frames as a data URI, and what to say of it."""

    image: str
    width: int
    height: int
    caption: str
    detail: str


@dataclass(frozen=True)
class Sheet:
    """Clips that were chosen for one reason."""

    title: str
    stills: tuple[Still, ...]


def contact_sheets(store: ObjectStore, snapshot: Snapshot, progress: Progress) -> tuple[Sheet, ...]:
    """A sample, one clip a source first, and the clips at either end of motion and brightness.

    Which clips is a function of the snapshot. Raises `CorruptObjectError`, `StorageError`.
    """
    clips = snapshot.clips
    chosen = {"a sample": clips.take(pa.array(_spread(clips, _SAMPLES)))}
    if len(clips) > _SAMPLES:
        for column, least, most in (
            ("motion", "least motion", "most motion"),
            ("brightness", "darkest", "brightest"),
        ):
            ordered = clips.sort_by([(column, "ascending"), ("clip_id", "ascending")])
            chosen[least] = ordered.slice(0, _EXTREMES)
            chosen[most] = ordered.slice(len(ordered) - _EXTREMES)
    total = sum(len(rows) for rows in chosen.values())
    sheets, done = [], 0
    for title, table in chosen.items():
        stills = []
        for row in rows_of(table):
            stills.append(_still(store, snapshot.dataset, row))
            done += 1
            progress(ProgressEvent("stats", done, total, "clips to look at"))
        sheets.append(Sheet(title, tuple(stills)))
    return tuple(sheets)


def _spread(clips: pa.Table, number: int) -> list[int]:
    """Rows of as many sources as can be; clip ids are random, so within a source the order is."""
    seen: Counter[bytes] = Counter()
    ranked = []
    for index, source in enumerate(clips.column("source_sha256").to_pylist()):
        ranked.append((seen[source], index))
        seen[source] += 1
    return [index for _, index in sorted(ranked)[:number]]


def _still(store: ObjectStore, dataset: str, row: ClipRow) -> Still:
    places = np.unique(np.linspace(0, row.frames - 1, _FRAMES).round().astype(int))
    member = read_clip_bytes(store, dataset, row)
    strip = _strip([read_frames(member, int(place), 1, 1)[0] for place in places])
    file = io.BytesIO()
    strip.save(file, format="JPEG", quality=_JPEG_QUALITY, subsampling=0)
    name = shown(row.source.rpartition("/")[2] or row.source)
    return Still(
        image="data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode(),
        width=strip.width,
        height=strip.height,
        caption=f"{name} · {row.label}" if row.label else name,
        detail=(
            f"{shown(row.source)}, {row.start_s:.2f} s to {row.end_s:.2f} s, {row.split}, "
            f"motion {row.motion:.1f}, brightness {row.brightness:.0f}, clip {row.clip_id[:12]}"
        ),
    )


def _strip(frames: Sequence[Frames]) -> Image.Image:
    """Frames (h w c) side by side, at most `_HEIGHT` high."""
    height, width = frames[0].shape[:2]
    factor = max(1, _HEIGHT // height)
    size = (width * factor, height * factor)
    if height > _HEIGHT:
        size = (max(1, round(width * _HEIGHT / height)), _HEIGHT)
    how = Image.Resampling.LANCZOS if height > _HEIGHT else Image.Resampling.NEAREST
    strip = Image.new("RGB", (len(frames) * (size[0] + _GAP) - _GAP, size[1]), _BETWEEN)
    for index, frame in enumerate(frames):
        picture = Image.fromarray(np.ascontiguousarray(frame)).resize(size, how)
        strip.paste(picture, (index * (size[0] + _GAP), 0))
    return strip
