"""One pass through a source: its frames, labelled by shot, cut into clips that wait on disk."""

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from time import monotonic
from typing import IO

from videogen.config.sections import IngestConfig
from videogen.data.shards.frame_codec import Frame, choose_codec
from videogen.data.video.picture import Decisions
from videogen.data.video.reader import ReadRule, TimedFrame, VideoReader
from videogen.data.video.resample import nearest_in_time
from videogen.data.video.unusable import UnusableSourceError
from videogen.ingest.clips.cutter import Cut, CutCounts, CutRule, Cutter
from videogen.ingest.shots.labels import label_shots
from videogen.ingest.sources.fetching import Local
from videogen.ingest.sources.source import Source
from videogen.ingest.worker.tasks import Reading
from videogen.ingest.worker.watchdog import Watchdog

_TOLD_EVERY_S = 0.5
_TOLD_EVERY_CLIPS = 16
_AT_ONCE = 32
_AT_ONCE_BYTES = 2 << 20


@dataclass
class Spooled:
    """What was made of one source; the bytes of its clips are in a file, one after the other."""

    decisions: Decisions
    duration_s: float
    """What the headers say."""
    decoded: int
    corrupt: int
    counts: CutCounts
    clips: list[tuple[Cut, int]] = field(default_factory=list)
    """Without their bytes, and how many those are."""


def spool_clips(
    source: Source,
    local: Local,
    ingest: IngestConfig,
    spool: IO[bytes],
    on_stall: Callable[[], None],
) -> Generator[Reading, None, Spooled]:
    """Decode a source; yields how far it is, and answers with what is in `spool` then.

    Where the decoder gives no frame for `ingest.stall_timeout_s`, `on_stall` is called and this
    process ends. Raises `UnusableSourceError`.
    """
    yield Reading(source.uri, source.shown, 0, 0, 0.0)
    told, told_clips = monotonic(), 0
    counts = CutCounts()
    clips: list[tuple[Cut, int]] = []
    with (
        Watchdog(ingest.stall_timeout_s, on_stall) as watchdog,
        VideoReader(local, read_rule(ingest)) as reader,
    ):
        clock = _Clock(reader, watchdog)
        cutter = Cutter(cut_rule(ingest), counts)
        for shot, frame in clock.ticks(ingest):
            _spool(cutter.add(shot, frame), spool, clips)
            now = monotonic()
            if now - told > _TOLD_EVERY_S or len(clips) - told_clips >= _TOLD_EVERY_CLIPS:
                told, told_clips = now, len(clips)
                decoded = reader.counts.decoded
                yield Reading(source.uri, source.shown, decoded, len(clips), clock.fraction)
        _spool(cutter.close(), spool, clips)
        if counts.frames < ingest.min_clip_frames or reader.decisions is None:
            raise UnusableSourceError(
                "too short",
                source.shown,
                f"{counts.frames} frames at {ingest.fps:g} frames/s, "
                f"a clip needs {ingest.min_clip_frames}",
            )
        return Spooled(
            decisions=reader.decisions,
            duration_s=reader.duration_s,
            decoded=reader.counts.decoded,
            corrupt=reader.counts.corrupt,
            counts=counts,
            clips=clips,
        )


def _spool(cuts: Iterable[Cut], spool: IO[bytes], clips: list[tuple[Cut, int]]) -> None:
    for one in cuts:
        spool.write(one.data)
        clips.append((replace(one, data=b""), len(one.data)))


def cut_rule(ingest: IngestConfig) -> CutRule:
    """How clips are cut under a config."""
    height, width = ingest.resolution
    return CutRule(
        min_frames=ingest.min_clip_frames,
        max_frames=ingest.max_clip_frames,
        stride=ingest.clip_stride,
        fps=ingest.fps,
        height=height,
        width=width,
        codec=choose_codec(ingest.codec, height, width),
        filters=ingest.filters,
    )


def read_rule(ingest: IngestConfig) -> ReadRule:
    """How sources are read under a config."""
    return ReadRule(
        size=ingest.resolution,
        crop=ingest.crop,
        crop_bars=ingest.crop_bars,
        hdr=ingest.hdr,
        sequence_fps=ingest.sequence_fps,
        max_corrupt_fraction=ingest.max_corrupt_fraction,
    )


class _Clock:
    """A reader's frames at the ticks of the output's clock, and how far it is."""

    def __init__(self, reader: VideoReader, watchdog: Watchdog) -> None:
        self._reader = reader
        self._watchdog = watchdog
        self._time_s = 0.0

    @property
    def fraction(self) -> float:
        """How much of the source went by, by its headers; 0 where they do not say."""
        duration_s = self._reader.duration_s
        return min(1.0, self._time_s / duration_s) if duration_s > 0 else 0.0

    def ticks(self, ingest: IngestConfig) -> Iterator[tuple[int, Frame]]:
        """Shot number and frame for each tick."""
        shots = label_shots(self._frames(), ingest.shots)
        timed = ((one.time_s, (shot, one.picture)) for shot, one in shots)
        ticks = nearest_in_time(timed, ingest.fps, self._reader.period_s)
        return (shot_and_frame for _, shot_and_frame in ticks)

    def _frames(self) -> Iterator[TimedFrame]:
        """The reader's frames, decoded some at a time.

        What is done to small frames costs a fifth less where it follows on itself: a decoded frame
        in between turns all of the processor's cache over.
        """
        some: list[TimedFrame] = []
        held_bytes = 0
        for frame in self._reader.frames():
            self._watchdog.beat()
            some.append(frame)
            held_bytes += frame.picture.nbytes
            if len(some) == _AT_ONCE or held_bytes >= _AT_ONCE_BYTES:
                yield from self._noted(some)
                some, held_bytes = [], 0
        yield from self._noted(some)

    def _noted(self, frames: Sequence[TimedFrame]) -> Iterator[TimedFrame]:
        for frame in frames:
            self._time_s = frame.time_s
            yield frame
