"""What the generator makes of the same few latents as training goes on, as pictures."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from videogen.data.video.writer import write_grid, write_sheet

SAMPLE_SEEDS = range(16)
_SHEET_COLUMNS = 8


@dataclass(frozen=True)
class SampleFiles:
    """Writes clips as a sheet of frames and as an animation, titled with the clips seen."""

    fps: float

    def write(self, clips: NDArray[np.uint8], clips_seen: int, directory: Path) -> tuple[Path, ...]:
        """Write `sheet.png`, `preview.gif` and `preview.mp4` of clips uint8 `n t h w c`.

        The sheet shows at most 8 frames a clip, evenly spaced. Raises `VideoWriteError`.
        """
        title = f"{clips_seen:,} clips seen"
        columns = np.linspace(0, clips.shape[1] - 1, min(_SHEET_COLUMNS, clips.shape[1]))
        sheet, gif, mp4 = (directory / name for name in ("sheet.png", "preview.gif", "preview.mp4"))
        write_sheet(sheet, clips[:, columns.round().astype(int)], title=title)
        write_grid(gif, clips, self.fps, "gif", title=title)
        write_grid(mp4, clips, self.fps, "mp4", title=title)
        return sheet, gif, mp4
