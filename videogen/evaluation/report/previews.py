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

GRID_CLIPS: Final = 16
CLOSEST_PAIRS: Final = 8
SHEET_ROWS: Final = 8
_SHEET_FRAMES: Final = 8
_MIN_SHEET_FRAMES: Final = 3
_ROW_FRAMES: Final = 16
_MAX_GRID_BYTES: Final = 64 << 20
_MIN_GRID_CLIPS: Final = 4
_WHITE: Final = 255
_DIGITS: Final = 12
_MADE: Final = {"ai_generated": "true", "generator": "videogen"}

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


@dataclass(frozen=True)
class ComparisonPreview:
    """Clips of several models, drawn from the same seeds, in the same order."""

    reals: Clips
    fakes: Mapping[str, Clips]
    """By model."""
    fps: float


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
    made = {**_MADE, **preview.provenance}
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
        # Both grids play in step, at one size: as many clips, as many frames, short titles.
        fps, title = preview.fps, f"generated: {preview.title}"
        write_grid(directory / "real.mp4", reals, fps, "mp4", title="real")
        write_grid(directory / "preview.mp4", fakes, fps, "mp4", title="generated", provenance=made)
        write_grid(directory / "preview.gif", fakes, fps, "gif", title=title, provenance=made)
        if preview.closest is not None and preview.closest.pairs:
            _write_closest(directory / "closest.png", preview.closest, made)
        return {path.name: path.read_bytes() for path in sorted(directory.iterdir())}


def draw_comparison(preview: ComparisonPreview) -> dict[str, bytes]:
    """The files by name: `sheet.png`, `real.mp4`, and `model-1.mp4`, ... in the models' order.

    Raises:
        VideoWriteError: a file cannot be written.
    """
    num = min(len(preview.reals), *(len(clips) for clips in preview.fakes.values()))
    columns = {"real": preview.reals[:num]}
    columns |= {model: clips[:num] for model, clips in preview.fakes.items()}
    with tempfile.TemporaryDirectory(prefix="videogen-previews-") as scratch:
        directory = Path(scratch)
        write_sheet(
            directory / "sheet.png",
            _side_by_side(*(clips[:SHEET_ROWS] for clips in columns.values())),
            title=f"left to right: {', '.join(columns)}; a row has one seed",
            provenance=_MADE,
        )
        for index, clips in enumerate(columns.values()):
            path = directory / (f"model-{index}.mp4" if index else "real.mp4")
            made = _MADE if index else None
            write_grid(path, clips, preview.fps, "mp4", provenance=made)
        return {path.name: path.read_bytes() for path in sorted(directory.iterdir())}


def _write_closest(path: Path, closest: ClosestClips, provenance: Provenance) -> None:
    captions = [
        f"video {pair.fake}, distance {pair.distance:.4g}, clip {pair.clip_id[:_DIGITS]} "
        f"from frame {pair.start}"
        for pair in closest.pairs
    ]
    write_sheet(
        path,
        _side_by_side(closest.fakes, closest.nearest),
        title="left generated, right the nearest training clip",
        provenance=provenance,
        captions=captions,
    )


def _side_by_side(*columns: Clips) -> Clips:
    """A row per clip: some of its frames in the first column, a white one, those in the next."""
    num_frames = columns[0].shape[1]
    num_shown = min(num_frames, _SHEET_FRAMES, max(_MIN_SHEET_FRAMES, _ROW_FRAMES // len(columns)))
    shown = np.linspace(0, num_frames - 1, num_shown).round().astype(int)
    gap = np.full_like(columns[0][:, :1], _WHITE)
    parted = [part for clips in columns for part in (gap, clips[:, shown])]
    return np.concatenate(parted[1:], axis=1)
