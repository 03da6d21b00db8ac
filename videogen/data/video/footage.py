"""What a reader of pictures needs of a source, whatever it is made of."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Final, Protocol

import av

MAX_PIXELS: Final = 1 << 26
"""Of one coded frame; FFmpeg is told too, so that nothing of that size is ever allocated."""
LONGEST_S: Final = 7 * 24 * 3600.0
"""A header that claims more is damaged."""


@dataclass
class Counts:
    """Frames that came out of the decoder."""

    decoded: int = 0
    """All, damaged ones and packets that gave none included."""
    corrupt: int = 0
    late: int = 0
    """Good ones left out because their time was not after that of the frame before."""


class Footage(Protocol):
    """An open source. Everything raises `UnusableSourceError`."""

    counts: Counts

    @property
    def name(self) -> str:
        """Its path, for errors."""

    @property
    def codec(self) -> str:
        """FFmpeg's name of the codec."""

    @property
    def rate(self) -> Fraction:
        """Frames a second on average, by the headers."""

    @property
    def duration_s(self) -> float:
        """What the headers say, 0 where they do not."""

    @property
    def pixel_aspect(self) -> Fraction | None:
        """Width of a pixel by its height, where it is told."""

    def decoded(self) -> Iterator[tuple[float | None, av.VideoFrame]]:
        """Presentation time in the source's own clock and frame; corrupt ones are only counted."""

    def check_whole(self) -> None:
        """After the last frame: see whether everything was there."""

    def glimpses(self, places: int, run: int) -> Iterator[list[av.VideoFrame]]:
        """`run` frames in a row at up to `places` places that are cheap to reach."""

    def skim(self, limit: int, every: int) -> Iterator[av.VideoFrame]:
        """Every so many of the first `limit` frames."""

    def close(self) -> None:
        """Let go of files."""
