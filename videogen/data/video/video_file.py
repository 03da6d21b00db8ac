"""Video files by way of FFmpeg: opening, decoding frame by frame, and what is wrong with them."""

import re
from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av
import av.container
import av.logging

from videogen.data.video.containers import claimed_duration_s, is_cut_short
from videogen.data.video.footage import LONGEST_S, MAX_PIXELS, Counts
from videogen.data.video.unusable import Reason, UnusableSourceError

_DEFAULT_RATE = Fraction(25)
_SILENT_CUT_SHARE = 0.05
_SILENT_CUT_S = 1.0
_OVERSIZED = re.compile(r"Picture size (\d+)x(\d+) exceeds specified max pixel count")
_LIMITS = {"max_pixels": str(MAX_PIXELS)}


class VideoFile:
    """One open video file, decoded on one thread. Raises `UnusableSourceError`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.counts = Counts()
        self._container = _open(path)
        try:
            if is_cut_short(path):
                raise self._unusable("truncated", "its data ends before its headers say")
            self._stream = video_stream(str(path), self._container)
            context = self._stream.codec_context
            if context.width <= 0 or context.height <= 0:
                raise _without_size(path)
            check_budget(str(path), context.width, context.height)
            claim_s = max(self.duration_s, claimed_duration_s(path))
            if claim_s > LONGEST_S:
                hours = claim_s / 3600
                detail = f"its header claims {hours:.0f} hours, more than {LONGEST_S / 3600:.0f}"
                raise self._unusable("corrupt", detail)
        except UnusableSourceError:
            self._container.close()
            raise
        limit(self._stream)
        self._end_s = 0.0
        self._is_avi = self._container.format.name == "avi"

    @property
    def name(self) -> str:
        """Its path."""
        return str(self._path)

    @property
    def codec(self) -> str:
        """FFmpeg's name of the codec."""
        return self._stream.codec_context.name

    @property
    def size(self) -> tuple[int, int]:
        """Width and height, by the headers."""
        return self._stream.codec_context.width, self._stream.codec_context.height

    @property
    def rate(self) -> Fraction:
        """Frames a second on average, by the headers."""
        return self._stream.average_rate or self._stream.guessed_rate or _DEFAULT_RATE

    @property
    def pixel_aspect(self) -> Fraction | None:
        """Width of a pixel by its height, of the container or else of the codec."""
        return self._stream.sample_aspect_ratio

    @property
    def duration_s(self) -> float:
        """What the headers say, 0 where they do not."""
        if self._stream.duration is not None and self._stream.time_base is not None:
            return float(self._stream.duration * self._stream.time_base)
        return (self._container.duration or 0) / av.time_base

    def count_packets(self) -> int:
        """Packets of the video stream; leaves no frame to be read."""
        try:
            return sum(packet.size > 0 for packet in self._packets())
        except av.error.FFmpegError as error:
            raise self._unusable("corrupt", f"{error.strerror or error}") from error

    def decoded(self) -> Iterator[tuple[float | None, av.VideoFrame]]:
        """Presentation time in the file's clock and frame; corrupt ones are counted, not given.

        A packet that cannot be decoded counts as a corrupt frame.
        """
        counts = self.counts
        try:
            for packet in self._packets():
                try:
                    frames = self._stream.decode(packet)
                except av.error.FFmpegError:
                    counts.decoded += 1
                    counts.corrupt += 1
                    continue
                for frame in frames:
                    counts.decoded += 1
                    time_s = self._time_s(frame)
                    self._note_end(frame, time_s)
                    if frame.is_corrupt:
                        counts.corrupt += 1
                    else:
                        yield time_s, frame
        except av.error.FFmpegError as error:
            detail = f"{error.strerror or error} after {counts.decoded} frames"
            raise self._unusable("truncated" if counts.decoded else "corrupt", detail) from error

    def check_whole(self) -> None:
        """Refuse a file whose frames end well before its headers say.

        An edit list may well hide frames of MP4 and QuickTime files, whose boxes were looked at.
        """
        if "mov" in self._container.format.name:
            return
        missing_s = self.duration_s - self._end_s
        if missing_s > max(_SILENT_CUT_S, _SILENT_CUT_SHARE * self.duration_s):
            detail = f"ends {missing_s:.1f} s before its {self.duration_s:.1f} s"
            raise self._unusable("truncated", detail)

    def glimpses(self, places: int, run: int) -> Iterator[list[av.VideoFrame]]:
        """Frames from up to `places` key frames on, which are spread over the file."""
        try:
            with _open(self._path) as container:
                stream = video_stream(self.name, container)
                limit(stream)
                yield from self._seek_through(container, stream, places, run)
        except (av.error.FFmpegError, IndexError):  # see `_packets`
            return  # what is wrong with the file is found when it is read

    def skim(self, limit: int, every: int) -> Iterator[av.VideoFrame]:
        """Every so many of the first `limit` frames, from a second look at the file."""
        again = VideoFile(self._path)
        try:
            for _, frame in islice(again.decoded(), 0, limit, every):
                yield frame
        except UnusableSourceError:
            return  # likewise
        finally:
            again.close()

    def close(self) -> None:
        """Let go of the file."""
        self._container.close()

    def _packets(self) -> Iterator["av.Packet[av.VideoStream]"]:
        """Of the video stream, and at the end the one that makes the decoder give what it holds.

        Where a stream appears midway, as in MPEG-TS, PyAV 18 then looks for one it does not know.
        """
        with suppress(IndexError):
            yield from self._container.demux(self._stream)

    def _seek_through(
        self,
        container: av.container.InputContainer,
        stream: av.VideoStream,
        places: int,
        run: int,
    ) -> Iterator[list[av.VideoFrame]]:
        seen: int | None = None
        start = container.start_time or 0
        for place in range(places):
            offset_s = self.duration_s * place / places
            container.seek(start + int(offset_s * av.time_base))
            packet = next(container.demux(stream), None)
            if packet is None or packet.size == 0 or packet.pos == seen:
                continue  # the same key frame as before
            seen = packet.pos
            frames = stream.decode(packet)
            if run == 1:
                frames += stream.decode(None)  # else it comes only with the next ones
            elif len(frames) < run:
                frames += islice(container.decode(stream), run - len(frames))
            yield [frame for frame in frames[:run] if not frame.is_corrupt]

    def _time_s(self, frame: av.VideoFrame) -> float | None:
        """Presentation time; in AVI, which stores none, FFmpeg's guess from decoding order fails.

        Frames leave the decoder in the order of presentation, and its clock ticks as they do.
        """
        if not self._is_avi:
            return frame.time
        if frame.dts is None or frame.time_base is None:
            return None
        return float(frame.dts * frame.time_base)

    def _note_end(self, frame: av.VideoFrame, time_s: float | None) -> None:
        if time_s is not None and time_s >= self._end_s:
            self._end_s = time_s + float((frame.duration or 0) * (frame.time_base or 0))

    def _unusable(self, reason: Reason, detail: str) -> UnusableSourceError:
        return UnusableSourceError(reason, self.name, detail)


def check_budget(name: str, width: int, height: int) -> None:
    """Refuse frames without a size, or of more pixels than are decoded here.

    Raises:
        UnusableSourceError: with the numbers.
    """
    if width <= 0 or height <= 0:
        detail = f"its headers give no frame size, or one of more than {MAX_PIXELS} pixels"
        raise UnusableSourceError("corrupt", name, detail)
    if width * height > MAX_PIXELS:
        detail = f"{width} x {height} pixels, the limit is {MAX_PIXELS} a frame"
        raise UnusableSourceError("too large", name, detail)


def _without_size(path: Path) -> UnusableSourceError:
    """Why FFmpeg gives no frame size on opening: its log tells of one beyond the budget."""
    level = av.logging.get_level()
    av.logging.set_level(av.logging.ERROR)
    av.logging.set_skip_repeated(False)
    try:
        with av.logging.Capture() as told, _open(path):
            pass
    finally:
        av.logging.set_skip_repeated(True)
        av.logging.set_level(level)
    for _, _, message in told:
        size = _OVERSIZED.match(message)
        if size:
            detail = f"{size[1]} x {size[2]} pixels, the limit is {MAX_PIXELS} a frame"
            return UnusableSourceError("too large", str(path), detail)
    return UnusableSourceError("corrupt", str(path), "its headers give no frame size")


def limit(stream: av.VideoStream) -> None:
    """Decode on one thread, and never a frame beyond the budget: workers run in parallel."""
    stream.thread_type = "NONE"
    stream.codec_context.thread_count = 1
    stream.codec_context.options = {**stream.codec_context.options, **_LIMITS}


def video_stream(name: str, container: av.container.InputContainer) -> av.VideoStream:
    """The first stream of video that is no cover picture.

    Raises:
        UnusableSourceError: there is none.
    """
    cover = av.stream.Disposition.attached_pic
    for stream in container.streams.video:
        if not stream.disposition & cover:
            if stream.codec_context is None:  # PyAV's types do not know
                raise UnusableSourceError("corrupt", name, "no decoder here knows its codec")
            return stream
    detail = f"it has {len(container.streams)} streams, none of video"
    raise UnusableSourceError("no video stream", name, detail)


def _open(path: Path) -> av.container.InputContainer:
    name = str(path)
    try:
        with path.open("rb") as file:
            if not file.read(1):
                raise UnusableSourceError("zero-byte", name, "the file has no content")
        return av.open(
            str(path.absolute()),
            options={"protocol_whitelist": "file", **_LIMITS},
            metadata_errors="replace",  # titles are in any encoding, or damaged
        )
    except av.error.FFmpegError as error:
        if is_cut_short(path):
            raise UnusableSourceError("truncated", name, "ends before its index") from error
        detail = f"not a video, or its headers are damaged ({error.strerror or error})"
        raise UnusableSourceError("corrupt", name, detail) from error
    except FileNotFoundError as error:
        raise UnusableSourceError("missing", name, "there is no such file") from error
    except OSError as error:
        raise UnusableSourceError("unreadable", name, error.strerror or str(error)) from error
