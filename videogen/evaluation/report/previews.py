"""What people look at beside the numbers: real clips beside generated ones, and closest pairs.

Everything here but `preview.*` shows real clips: `curation.purge` deletes it with them.
"""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import UInt8

from videogen.artifacts import ClosestPair
from videogen.data.video.writer import Provenance, write_grid, write_sheet
from videogen.storage.base import ObjectStore
from videogen.tracking import Tracker

GRID_CLIPS: Final = 16
CLOSEST_PAIRS: Final = 8
SHEET_ROWS: Final = 8
_SHEET_FRAMES: Final = 8
_MAX_GRID_BYTES: Final = 64 << 20
_MIN_GRID_CLIPS: Final = 4
_WHITE: Final = 255
_DIGITS: Final = 12

Clips = UInt8[np.ndarray, "n t h w c"]


@dataclass(frozen=True)
class ClosestClips:
    """Generated clips, and the training clip nearest to each, the nearest pair first."""

    pairs: tuple[ClosestPair, ...]
    fakes: Clips
    nearest: Clips


@dataclass(frozen=True)
class Preview:
    """What is shown, and under what title; real and generated clips have the same length."""

    reals: Clips
    """Up to `grid_clips`."""
    fakes: Clips
    """Up to `grid_clips`."""
    fps: float
    title: str
    closest: ClosestClips | None = None
    """Up to `CLOSEST_PAIRS`."""
    provenance: Provenance = field(default_factory=dict)
    """Written into the files that show generated clips."""


def grid_clips(num_frames: int, height: int, width: int) -> int:
    """How many clips are shown playing: few enough that a page stays light, 4 to 16."""
    clip_bytes = 3 * num_frames * height * width
    return min(GRID_CLIPS, max(_MIN_GRID_CLIPS, _MAX_GRID_BYTES // clip_bytes))


def draw_previews(preview: Preview) -> dict[str, bytes]:
    """The files by name: `sheet.png`, `real.mp4`, `preview.mp4`, `preview.gif`, `closest.png`.

    The last one only where there are pairs. The same preview makes the same bytes.

    Raises:
        VideoWriteError: a file cannot be written.
    """
    made = {"ai_generated": "true", **preview.provenance}
    num = min(len(preview.reals), len(preview.fakes))
    reals, fakes = preview.reals[:num], preview.fakes[:num]
    with tempfile.TemporaryDirectory(prefix="videogen-previews-") as scratch:
        directory = Path(scratch)
        write_sheet(
            directory / "sheet.png",
            _side_by_side(reals[:SHEET_ROWS], fakes[:SHEET_ROWS]),
            title=f"left real, right generated: {preview.title}",
            provenance=made,
        )
        # Both grids have the same number of frames, so that they stay in step when they loop.
        write_grid(directory / "real.mp4", reals, preview.fps, "mp4", title="real")
        title = f"generated: {preview.title}"
        for suffix in ("mp4", "gif"):
            path = directory / f"preview.{suffix}"
            write_grid(path, preview.fakes, preview.fps, suffix, title=title, provenance=made)
        if preview.closest is not None and preview.closest.pairs:
            _write_closest(directory / "closest.png", preview.closest, made)
        return {path.name: path.read_bytes() for path in sorted(directory.iterdir())}


def _write_closest(path: Path, closest: ClosestClips, provenance: Mapping[str, object]) -> None:
    captions = [
        f"video {pair.fake}, distance {pair.distance:.4g}, clip {pair.clip_id[:_DIGITS]} "
        f"from frame {pair.start}"
        for pair in closest.pairs
    ]
    write_sheet(
        path,
        _side_by_side(closest.fakes, closest.nearest),
        title="left generated, right the nearest training clip",
        provenance=provenance,  # type: ignore[arg-type]  # str values
        captions=captions,
    )


def _side_by_side(left: Clips, right: Clips) -> Clips:
    """A row per pair: some frames of the one clip, a white one, the same frames of the other."""
    num_frames = left.shape[1]
    shown = np.linspace(0, num_frames - 1, min(num_frames, _SHEET_FRAMES)).round().astype(int)
    left, right = left[:, shown], right[:, shown]
    gap = np.full_like(left[:, :1], _WHITE)
    return np.concatenate([left, gap, right], axis=1)


def write_previews(
    preview: Preview, store: ObjectStore, prefix: str, tracker: Tracker
) -> dict[str, str]:
    """Make the files, keep them below `prefix` in the store and with the run; name to key.

    Raises:
        VideogenError: a file cannot be written or kept.
    """
    keys = {}
    with tempfile.TemporaryDirectory(prefix="videogen-previews-") as scratch:
        for name, content in draw_previews(preview).items():
            path = Path(scratch) / name
            path.write_bytes(content)
            keys[name] = f"{prefix}/{name}"
            store.upload(keys[name], path)
            tracker.log_artifact(path, "evaluation")
    return keys
