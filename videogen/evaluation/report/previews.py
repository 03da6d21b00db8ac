"""What people look at beside the numbers: real clips beside generated ones, and animations."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import UInt8

from videogen.data.video.writer import write_grid, write_sheet
from videogen.storage.base import ObjectStore
from videogen.tracking import Tracker

SHEET_ROWS: Final = 8
GRID_CLIPS: Final = 16
_SHEET_FRAMES: Final = 8
_WHITE: Final = 255

Clips = UInt8[np.ndarray, "n t h w c"]


@dataclass(frozen=True)
class Preview:
    """What is shown, and under what title."""

    reals: Clips
    """Up to `SHEET_ROWS`."""
    fakes: Clips
    """Up to `GRID_CLIPS`."""
    fps: float
    title: str


def write_previews(
    preview: Preview, store: ObjectStore, prefix: str, tracker: Tracker
) -> dict[str, str]:
    """Make the files, keep them below `prefix` in the store and with the run; name to key.

    Raises:
        VideogenError: a file cannot be written or kept.
    """
    keys = {}
    with tempfile.TemporaryDirectory(prefix="videogen-previews-") as scratch:
        directory = Path(scratch)
        sheet = _side_by_side(preview.reals, preview.fakes)
        write_sheet(
            directory / "sheet.png", sheet, title=f"left real, right generated: {preview.title}"
        )
        write_grid(
            directory / "preview.mp4", preview.fakes, preview.fps, "mp4", title=preview.title
        )
        write_grid(
            directory / "preview.gif", preview.fakes, preview.fps, "gif", title=preview.title
        )
        for path in sorted(directory.iterdir()):
            keys[path.name] = f"{prefix}/{path.name}"
            store.upload(keys[path.name], path)
            tracker.log_artifact(path, "evaluation")
    return keys


def _side_by_side(reals: Clips, fakes: Clips) -> Clips:
    """A row per pair: frames of the real clip, a white one, frames of the generated clip."""
    rows = min(len(reals), len(fakes), SHEET_ROWS)
    num_frames = reals.shape[1]
    shown = np.linspace(0, num_frames - 1, min(num_frames, _SHEET_FRAMES)).round().astype(int)
    left, right = reals[:rows, shown], fakes[:rows, shown]
    gap = np.full_like(left[:, :1], _WHITE)
    return np.concatenate([left, gap, right], axis=1)
