"""FFmpeg filters as a function of frames."""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Final, cast

import av
import av.filter
import numpy as np
from numpy.typing import NDArray

_NEVER: Final = ("scdet", "threshold=100")
"""Measures changes; the threshold only decides what it logs."""
_CHANGE: Final = "lavfi.scd.mafd"
_SCORE: Final = "lavfi.scd.score"


class FilterGraph:
    """A chain of filters for frames like one. Raises `av.error.FFmpegError` where it cannot be."""

    def __init__(self, like: av.VideoFrame, chain: Sequence[tuple[str, str]]) -> None:
        """A frame's time is a whole number that the caller gives it: see `feed`."""
        self._graph = av.filter.Graph()
        self._graph.threads = 1
        size = f"video_size={like.width}x{like.height}:pix_fmt={like.format.name}"
        steps = [("buffer", f"{size}:time_base=1/1"), *chain, ("buffersink", "")]
        nodes = [self._graph.add(name, arguments or None) for name, arguments in steps]
        self._source, self._sink = nodes[0], nodes[-1]
        self._graph.link_nodes(*nodes)
        self._graph.configure()
        self._delays = any(name == "bwdif" for name, _ in chain)

    def feed(self, frame: av.VideoFrame, number: int) -> Iterator[tuple[int, av.VideoFrame]]:
        """Put a frame in; what comes out, with the numbers that were given to it."""
        frame.pts = number
        frame.time_base = Fraction(1)
        self._source.push(frame)
        if self._delays:
            yield from self._ready()
        else:
            yield number, self._pull()

    def flush(self) -> Iterator[tuple[int, av.VideoFrame]]:
        """What was held back; nothing can be put in afterwards."""
        if self._delays:
            self._source.push(None)
            yield from self._ready()

    def _ready(self) -> Iterator[tuple[int, av.VideoFrame]]:
        while True:
            try:
                frame = self._pull()
            except (av.error.BlockingIOError, av.error.EOFError):
                return
            # deinterlacing halves the time base
            yield int((frame.pts or 0) * (frame.time_base or 1)), frame

    def _pull(self) -> av.VideoFrame:
        return cast("av.VideoFrame", self._sink.pull())


def measured(chain: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """The chain, with changes between the frames that come out measured: see `change_of`."""
    return [*chain, _NEVER]


def change_of(frame: av.VideoFrame) -> tuple[float, float]:
    """Mean absolute difference and scene change score of scdet, in percent of the range."""
    told = frame.metadata
    return float(told.get(_CHANGE, 0.0)), float(told.get(_SCORE, 0.0))


class ChangeMeter:
    """scdet on frames that were made outside of a filter graph."""

    def __init__(self) -> None:
        self._graph: FilterGraph | None = None

    def measure(self, picture: NDArray[np.uint8]) -> tuple[float, float]:
        """Change and score of a frame, (h w c) RGB, against the one before."""
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
        if self._graph is None:
            self._graph = FilterGraph(frame, measured([]))
        ((_, out),) = self._graph.feed(frame, 0)
        return change_of(out)
