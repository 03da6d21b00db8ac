"""What the generator makes of the same few latents as training goes on, as pictures."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from videogen.data.video_write import write_grid, write_sheet

SAMPLE_SEEDS = range(16)
_MIN_TILE_PIXELS = 64
_SHEET_COLUMNS = 8


@dataclass(frozen=True)
class SampleFiles:
    """Writes clips as a sheet of frames and as an animation, titled with the clips seen."""

    fps: float

    def write(self, clips: NDArray[np.uint8], clips_seen: int, directory: Path) -> tuple[Path, ...]:
        """Write `sheet.png`, `preview.gif` and `preview.mp4` of clips uint8 `n t h w c`.

        Small frames are shown enlarged, each pixel as a square; the sheet shows at most 8 frames a
        clip, evenly spaced. Raises `VideoWriteError`.
        """
        title = f"{clips_seen:,} clips seen"
        zoom = max(1, _MIN_TILE_PIXELS // clips.shape[2])
        shown = np.repeat(np.repeat(clips, zoom, axis=2), zoom, axis=3)
        columns = np.linspace(0, shown.shape[1] - 1, min(_SHEET_COLUMNS, shown.shape[1]))
        sheet, gif, mp4 = (directory / name for name in ("sheet.png", "preview.gif", "preview.mp4"))
        write_sheet(sheet, shown[:, columns.round().astype(int)], title=title)
        write_grid(gif, shown, self.fps, "gif", title=title)
        write_grid(mp4, shown, self.fps, "mp4", title=title)
        return sheet, gif, mp4
