"""Reads video files: the frames upright, cropped, resized and in RGB, at a constant rate.

Refuses nothing silently: whatever keeps a file from being read whole is an `UnusableSourceError`.
HDR is not tone-mapped and interlaced video is not deinterlaced.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import av
import av.container
import av.filter
import numpy as np
from numpy.typing import NDArray

from videogen.data.containers import is_cut_short
from videogen.data.picture import Decisions, Picture, decide, filters
from videogen.data.resample import nearest_in_time, steady_times
from videogen.data.unusable import Reason, UnusableSourceError

Frame = NDArray[np.uint8]

VIDEO_EXTENSIONS = frozenset(
    f".{name}"
    for name in (
        *("mp4", "m4v", "mov", "3gp", "mkv", "webm", "avi", "wmv", "flv", "gif"),
        *("mpg", "mpeg", "ts", "mts", "m2ts", "mxf", "ogv"),
    )
)
MAX_PIXELS = 1 << 26
"""Of one coded frame; checked before a frame is decoded."""

_DEFAULT_RATE = Fraction(25)
_SILENT_CUT_SHARE = 0.05
_SILENT_CUT_S = 1.0


@dataclass(frozen=True)
class ReadRule:
    """How a source is read."""

    size: tuple[int, int] | None = None
    """Height and width of the frames that come out; None: as they are stored."""
    crop: Literal["centre", "smart", "letterbox", "none"] = "centre"
    crop_bars: bool = False
    hdr: Literal["tone-map", "quarantine"] = "tone-map"
    sequence_fps: float = 24.0
    max_corrupt_fraction: float = 0.01


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


@dataclass
class Counts:
    """Frames that came out of the decoder."""

    decoded: int = 0
    corrupt: int = 0


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
    """One open video file; a context manager.

    `path` is a file, or the images of a sequence in order. Raises `UnusableSourceError` on opening
    and while frames are read.
    """

    def __init__(self, path: Path | Sequence[Path], rule: ReadRule | None = None) -> None:
        path = path if isinstance(path, Path) else path[0]
        self._path = path
        self._rule = rule or ReadRule()
        self._size = self._rule.size
        self.counts = Counts()
        self._container = _open(path)
        try:
            if "mov" in self._container.format.name and is_cut_short(path):
                raise self._unusable("truncated", "its data ends before its index says")
            self._stream = _video_stream(path, self._container)
            self._check_budget(self._stream.codec_context.width, self._stream.codec_context.height)
        except UnusableSourceError:
            self._container.close()
            raise
        self._stream.thread_type = "NONE"
        self._stream.codec_context.thread_count = 1
        self._rate = self._stream.average_rate or self._stream.guessed_rate or _DEFAULT_RATE
        self._graph: av.filter.Graph | None = None
        self._graph_input: Picture | None = None
        self.decisions: Decisions | None = None
        """Known once the first frame is out."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._container.close()

    @property
    def duration_s(self) -> float:
        """What the headers say, 0 where they do not."""
        if self._stream.duration is not None and self._stream.time_base is not None:
            return float(self._stream.duration * self._stream.time_base)
        return (self._container.duration or 0) / av.time_base

    def facts(self) -> VideoFacts:
        """Count the packets; leaves no frame to be read."""
        context = self._stream.codec_context
        try:
            packets = sum(packet.size > 0 for packet in self._container.demux(self._stream))
        except av.error.FFmpegError as error:
            raise self._unusable("corrupt", f"{error.strerror or error}") from error
        return VideoFacts(
            codec=context.name,
            height=context.height,
            width=context.width,
            fps=float(self._rate),
            num_frames=packets,
            duration_s=self.duration_s,
        )

    @property
    def period_s(self) -> float:
        """How long a frame is shown, on average."""
        return float(1 / self._rate)

    def frames(self) -> Iterator[TimedFrame]:
        """Every good frame, at the source's own rate."""
        for time_s, frame in steady_times(self._decoded(), self.period_s):
            picture, change, score = self._picture(frame)
            yield TimedFrame(time_s, picture, change, score)
        self._check_whole()

    def _decoded(self) -> Iterator[tuple[float | None, av.VideoFrame]]:
        """Presentation time in the file's clock and frame; corrupt ones are counted, not given."""
        self._end_s = 0.0
        try:
            for frame in self._container.decode(self._stream):
                self.counts.decoded += 1
                self._end_s = max(self._end_s, _end_s(frame))
                if frame.is_corrupt:
                    self.counts.corrupt += 1
                else:
                    yield _time_s(frame), frame
        except av.error.FFmpegError as error:
            seen = self.counts.decoded
            detail = f"{error.strerror or error} after {seen} frames"
            raise self._unusable("truncated" if seen else "corrupt", detail) from error

    def _check_whole(self) -> None:
        decoded, corrupt = self.counts.decoded, self.counts.corrupt
        if decoded == 0:
            raise self._unusable("empty", "its video stream has no frame")
        if corrupt > self._rule.max_corrupt_fraction * decoded:
            raise self._unusable("corrupt", f"{corrupt} of {decoded} frames are damaged")
        if "mov" in self._container.format.name:
            return  # looked at before; and an edit list may well hide frames
        missing_s = self.duration_s - self._end_s
        if missing_s > max(_SILENT_CUT_S, _SILENT_CUT_SHARE * self.duration_s):
            raise self._unusable(
                "truncated", f"ends {missing_s:.1f} s before its {self.duration_s:.1f} s"
            )

    def _picture(self, frame: av.VideoFrame) -> tuple[Frame, float, float]:
        like = _describe(frame, self._stream)
        try:
            if self._graph is None or like != self._graph_input:
                self._check_budget(frame.width, frame.height)
                decided = decide(like, self._stream.codec_context.name, float(self._rate))
                self.decisions = self.decisions or decided
                self._graph = _build_graph(frame, filters(like, decided, self._size))
                self._graph_input = like
            self._graph.vpush(frame)
            out = self._graph.vpull()
            picture = np.asarray(out.to_ndarray(format="rgb24"), dtype=np.uint8)
            told = out.metadata
            change = float(told.get("lavfi.scd.mafd", 0.0))
            return picture, change, float(told.get("lavfi.scd.score", 0.0))
        except av.error.FFmpegError as error:
            raise self._unusable("corrupt", f"cannot be converted to RGB: {error}") from error

    def _check_budget(self, width: int, height: int) -> None:
        if width <= 0 or height <= 0:
            raise self._unusable("corrupt", "its headers give no frame size")
        if width * height > MAX_PIXELS:
            raise self._unusable(
                "too large", f"{width} x {height} pixels, the limit is {MAX_PIXELS} a frame"
            )

    def _unusable(self, reason: Reason, detail: str) -> UnusableSourceError:
        return UnusableSourceError(reason, str(self._path), detail)


def probe(path: Path) -> VideoFacts:
    """Look at a file without decoding it. Raises `UnusableSourceError`."""
    with VideoReader(path) as reader:
        return reader.facts()


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


def _open(path: Path) -> av.container.InputContainer:
    name = str(path)
    try:
        with path.open("rb") as file:
            if not file.read(1):
                raise UnusableSourceError("zero-byte", name, "the file has no content")
        return av.open(str(path.absolute()), options={"protocol_whitelist": "file"})
    except av.error.FFmpegError as error:
        if is_cut_short(path):
            raise UnusableSourceError("truncated", name, "ends before its index") from error
        detail = f"not a video, or its headers are damaged ({error.strerror or error})"
        raise UnusableSourceError("corrupt", name, detail) from error
    except FileNotFoundError as error:
        raise UnusableSourceError("missing", name, "there is no such file") from error
    except OSError as error:
        raise UnusableSourceError("unreadable", name, error.strerror or str(error)) from error


def _video_stream(path: Path, container: av.container.InputContainer) -> av.VideoStream:
    cover = av.stream.Disposition.attached_pic
    for stream in container.streams.video:
        if not stream.disposition & cover:
            return stream
    raise UnusableSourceError(
        "no video stream", str(path), f"it has {len(container.streams)} streams, none of video"
    )


def _describe(frame: av.VideoFrame, stream: av.VideoStream) -> Picture:
    return Picture(
        width=frame.width,
        height=frame.height,
        format=frame.format.name,
        rotation=frame.rotation,
        matrix=int(frame.colorspace),
        range=int(frame.color_range),
        aspect=stream.sample_aspect_ratio or Fraction(1),
    )


def _build_graph(frame: av.VideoFrame, chain: list[tuple[str, str]]) -> av.filter.Graph:
    graph = av.filter.Graph()
    graph.threads = 1
    base = frame.time_base or Fraction(1, av.time_base)
    source = (
        f"video_size={frame.width}x{frame.height}:pix_fmt={frame.format.name}"
        f":time_base={base.numerator}/{base.denominator}"
    )
    steps = [("buffer", source), *chain, ("scdet", "threshold=100"), ("buffersink", "")]
    graph.link_nodes(*(graph.add(name, arguments or None) for name, arguments in steps))
    graph.configure()
    return graph


def _time_s(frame: av.VideoFrame) -> float | None:
    if frame.pts is None or frame.time_base is None:
        return None
    return float(frame.pts * frame.time_base)


def _end_s(frame: av.VideoFrame) -> float:
    if frame.time_base is None:
        return 0.0
    return float(((frame.pts or 0) + (frame.duration or 0)) * frame.time_base)
