"""Animated WebP, which FFmpeg does not decode, by way of Pillow."""

from collections.abc import Iterator
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av
import numpy as np
from PIL import Image

from videogen.data.video.containers import is_cut_short, webp_canvas
from videogen.data.video.footage import Counts
from videogen.data.video.unusable import UnusableSourceError
from videogen.data.video.video_file import check_budget

_DAMAGE = (OSError, EOFError, SyntaxError, ValueError)
"""What Pillow raises for files that are not as they should be."""
_SHORTEST_MS = 10
"""Shown for no time at all means shown briefly."""


class Animation:
    """One animated WebP, each frame whole, with its alpha. Raises `UnusableSourceError`."""

    def __init__(self, path: Path) -> None:
        canvas = webp_canvas(path)
        if canvas is None:
            raise UnusableSourceError("corrupt", str(path), "not an animated WebP")
        check_budget(str(path), *canvas)
        if is_cut_short(path):
            raise UnusableSourceError(
                "truncated", str(path), "its data ends before its header says"
            )
        self._path = path
        self.counts = Counts()
        with self._opened() as image:
            self._frames = int(getattr(image, "n_frames", 1))
            self._duration_s = self._total_s(image)

    @property
    def name(self) -> str:
        """Its path."""
        return str(self._path)

    @property
    def codec(self) -> str:
        """Always `webp`."""
        return "webp"

    @property
    def rate(self) -> Fraction:
        """Frames a second on average."""
        return Fraction(self._frames / self._duration_s).limit_denominator(1001)

    @property
    def duration_s(self) -> float:
        """The sum of what each frame says."""
        return self._duration_s

    @property
    def pixel_aspect(self) -> Fraction | None:
        """Pixels are square."""
        return None

    def decoded(self) -> Iterator[tuple[float | None, av.VideoFrame]]:
        """Time from the start and frame."""
        time_ms = 0
        with self._opened() as image:
            for index in range(self._frames):
                self.counts.decoded += 1
                frame = self._frame(image, index)
                duration_ms = int(image.info.get("duration", 0))
                if frame is None:
                    self.counts.corrupt += 1
                else:
                    yield time_ms / 1000, frame
                time_ms += max(_SHORTEST_MS, duration_ms)

    def check_whole(self) -> None:
        """Each frame was counted as it was read."""

    def glimpses(self, places: int, run: int) -> Iterator[list[av.VideoFrame]]:
        """Frames in a row from the start on: there is no way to reach later ones directly."""
        frames = [frame for _, frame in islice(self._again(), places * run)]
        for start in range(0, len(frames), run):
            yield frames[start : start + run]

    def skim(self, limit: int, every: int) -> Iterator[av.VideoFrame]:
        """Every so many of the first `limit` frames."""
        for _, frame in islice(self._again(), 0, limit, every):
            yield frame

    def close(self) -> None:
        """The file is open only while it is read."""

    def _again(self) -> Iterator[tuple[float | None, av.VideoFrame]]:
        return Animation(self._path).decoded()

    def _opened(self) -> Image.Image:
        try:
            return Image.open(self._path, formats=["WEBP"])
        except _DAMAGE as error:
            raise UnusableSourceError("corrupt", self.name, f"not a WebP: {error}") from error

    def _frame(self, image: Image.Image, index: int) -> av.VideoFrame | None:
        try:
            image.seek(index)
            pixels = np.asarray(image.convert("RGBA"))
        except _DAMAGE:
            return None
        return av.VideoFrame.from_ndarray(pixels, format="rgba")

    def _total_s(self, image: Image.Image) -> float:
        """Durations stand in the chunks of the frames, so they are decoded for it."""
        total_ms = 0
        for index in range(self._frames):
            self._frame(image, index)
            total_ms += max(_SHORTEST_MS, int(image.info.get("duration", 0)))
        return total_ms / 1000
