"""Reads video sources: every frame upright, cut to shape, resized and in RGB, with its time.

Sources are video files of any kind that FFmpeg reads, animated WebP, and sequences of images.
Refuses nothing silently: whatever keeps a source from being read whole is an
`UnusableSourceError`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray

from videogen.data.video.animation import Animation
from videogen.data.video.containers import webp_canvas
from videogen.data.video.footage import Counts, Footage
from videogen.data.video.image_files import ImageFiles
from videogen.data.video.picture import Decisions
from videogen.data.video.render import Renderer
from videogen.data.video.resample import MAX_GAP_S, nearest_in_time, steady_times
from videogen.data.video.survey import survey
from videogen.data.video.unusable import UnusableSourceError
from videogen.data.video.video_file import VideoFile

Frame = NDArray[np.uint8]

VIDEO_EXTENSIONS = frozenset(
    f".{name}"
    for name in (
        *("mp4", "m4v", "mov", "3gp", "3g2", "f4v", "mkv", "webm", "avi", "wmv", "asf", "flv"),
        *("mpg", "mpeg", "m2v", "vob", "ts", "mts", "m2ts", "mxf", "ogv", "dv", "nut", "ivf"),
        *("y4m", "h264", "hevc", "mjpeg", "gif", "webp"),
    )
)


@dataclass(frozen=True)
class ReadRule:
    """How a source is read."""

    size: tuple[int, int] | None = None
    """Height and width of the frames that come out; None: as stored, upright, square pixels."""
    crop: Literal["centre", "smart", "letterbox", "none"] = "centre"
    """To the shape of `size`: cut the centre, cut where it moves, pad with black, or stretch."""
    crop_bars: bool = False
    """Cut off black bars first."""
    hdr: Literal["tone-map", "quarantine"] = "tone-map"
    sequence_fps: float = 24.0
    """Of image sequences."""
    max_corrupt_fraction: float = 0.01
    """Of a source's frames; above it, it is unusable."""


@dataclass(frozen=True, slots=True)
class TimedFrame:
    """A frame and how much it differs from the one before."""

    time_s: float
    """Since the first frame; strictly grows."""
    picture: Frame
    """uint8 (h w c) RGB; an array of its own."""
    change: float
    """Mean absolute difference from the frame before in percent of the range; 0 for the first."""
    score: float
    """How much `change` stands out, 0 to 100; a cut is above 10 or so."""


@dataclass(frozen=True)
class VideoFacts:
    """What a file's headers and packets say of its video."""

    codec: str
    height: int
    width: int
    fps: float
    num_frames: int
    """Packets of the video stream."""
    duration_s: float


class VideoReader:
    """One open source; a context manager.

    `path` is a file, or the images of a sequence in order. Raises `UnusableSourceError` on opening
    and while frames are read.
    """

    def __init__(self, path: Path | Sequence[Path], rule: ReadRule | None = None) -> None:
        self._rule = rule or ReadRule()
        self._footage = _open(path, self._rule.sequence_fps)
        self._renderer: Renderer | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._footage.close()

    @property
    def duration_s(self) -> float:
        """What the headers say, 0 where they do not."""
        return self._footage.duration_s

    @property
    def period_s(self) -> float:
        """How long a frame is shown, on average by the headers; at most `MAX_GAP_S`."""
        rate = float(self._footage.rate)
        return min(MAX_GAP_S, 1 / rate) if rate > 0 else MAX_GAP_S

    @property
    def counts(self) -> Counts:
        """Frames so far."""
        return self._footage.counts

    @property
    def decisions(self) -> Decisions | None:
        """How the frames are read; known once the first is out."""
        first = self._renderer.first if self._renderer else None
        return first.decisions if first else None

    def frames(self) -> Iterator[TimedFrame]:
        """Every good frame, at the source's own rate; they can be had once."""
        rule, footage = self._rule, self._footage
        timed = steady_times(footage.decoded(), self.period_s)
        kept = 0
        for time_s, frame in timed:
            kept += 1
            if self._renderer is None:
                look = survey(footage, frame, bars=rule.crop_bars, motion=rule.crop == "smart")
                want = (rule.size, rule.crop)
                self._renderer = Renderer(footage, want, look, maps_hdr=rule.hdr == "tone-map")
            for rendered in self._renderer.render(time_s, frame):
                yield TimedFrame(*rendered)
        if self._renderer is not None:
            for rendered in self._renderer.flush():
                yield TimedFrame(*rendered)
        footage.counts.late = footage.counts.decoded - footage.counts.corrupt - kept
        self._check()

    def _check(self) -> None:
        counts, name = self.counts, self._footage.name
        if counts.decoded == 0:
            raise UnusableSourceError("empty", name, "its video stream has no frame")
        if counts.corrupt > self._rule.max_corrupt_fraction * counts.decoded:
            detail = f"{counts.corrupt} of {counts.decoded} frames are damaged"
            raise UnusableSourceError("corrupt", name, detail)
        self._footage.check_whole()


def probe(path: Path) -> VideoFacts:
    """Look at a video file without decoding it. Raises `UnusableSourceError`."""
    file = VideoFile(path)
    try:
        width, height = file.size
        return VideoFacts(
            codec=file.codec,
            height=height,
            width=width,
            fps=float(file.rate),
            num_frames=file.count_packets(),
            duration_s=file.duration_s,
        )
    finally:
        file.close()


def read_video(
    path: Path,
    *,
    height: int | None = None,
    width: int | None = None,
    fps: float | None = None,
) -> Iterator[Frame]:
    """The frames of a file, uint8 (h w c) RGB, resampled to `fps` where it is given.

    Raises `UnusableSourceError`.
    """
    size = None if height is None or width is None else (height, width)
    with VideoReader(path, ReadRule(size=size)) as reader:
        timed: Iterator[tuple[float, Frame]] = (
            (one.time_s, one.picture) for one in reader.frames()
        )
        if fps is not None:
            timed = nearest_in_time(timed, fps, reader.period_s)
        for _, picture in timed:
            yield picture


def _open(path: Path | Sequence[Path], sequence_fps: float) -> Footage:
    if not isinstance(path, Path):
        return ImageFiles(path, sequence_fps)
    try:
        is_animated_webp = webp_canvas(path) is not None
    except OSError:
        is_animated_webp = False  # a video file's errors are told in its own words
    return Animation(path) if is_animated_webp else VideoFile(path)
