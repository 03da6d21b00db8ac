"""What a version looks like: a few videos of fixed seeds, as files for a browser."""

from pathlib import Path

from videogen.data.video.writer import Provenance, write_grid, write_sheet
from videogen.models.export import GeneratorSpec
from videogen.models.generator import VideoGenerator
from videogen.models.sampling import generate
from videogen.registry.request import ONE_AT_A_TIME

_SEEDS = tuple(range(16))
_SHEET_ROWS = 8
_SHEET_COLUMNS = 16


def write_previews(
    directory: Path,
    generator: VideoGenerator,
    spec: GeneratorSpec,
    title: str,
    provenance: Provenance,
) -> None:
    """Write `preview.mp4`, `preview.gif` (16 videos side by side) and `sheet.png` (8 of them)."""
    frames = generate(generator, _SEEDS, spec.num_frames, batch_size=ONE_AT_A_TIME)
    for format_ in ("mp4", "gif"):
        path = directory / f"preview.{format_}"
        write_grid(path, frames, spec.fps, format_, title=title, provenance=provenance)
    shown = frames[:_SHEET_ROWS, :_SHEET_COLUMNS]
    write_sheet(directory / "sheet.png", shown, title=title, provenance=provenance)
