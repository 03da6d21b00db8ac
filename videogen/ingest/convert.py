"""What a worker does with sources: look at them, and turn groups of them into shards.

Both functions run in other processes: they open the store anew, and answer with small documents.
What is wrong with a source is part of the answer; only storage errors are raised.
"""

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from videogen.config.sections import IngestConfig, StorageConfig
from videogen.data.clip_table import ClipRow
from videogen.data.frame_codec import Frame, choose_codec
from videogen.data.picture import Decisions
from videogen.data.resample import nearest_in_time
from videogen.data.shards import ShardWriter, Written, shard_key
from videogen.data.unusable import Reason, UnusableSourceError
from videogen.data.video_io import ReadRule, VideoReader
from videogen.ingest.clips import Cut, CutCounts, CutRule, clip_id, cut, split_of
from videogen.ingest.scratch import working_directory
from videogen.ingest.sources import Source, hash_file, local_copy
from videogen.storage.base import ObjectStore
from videogen.storage.connect import open_store

_IN_SHARDS = frozenset(
    (
        *("clip_id", "source_sha256", "start_s", "end_s", "frames", "fps"),
        *("height", "width", "codec", "colour", "split"),
    )
)
"""What of a row a shard repeats: nothing of where the source or the clip lies."""


@dataclass(frozen=True)
class Target:
    """Which dataset clips go to, and how they are made."""

    storage: StorageConfig
    dataset: str
    ingest: IngestConfig
    ingest_digest: str


@dataclass(frozen=True)
class Inspection:
    """A source by its content and headers; `sha256` None or `reason` not None: unusable."""

    source: Source
    sha256: str | None = None
    duration_s: float = 0.0
    """What the headers say; 0 where they do not."""
    reason: Reason | None = None
    detail: str = ""


@dataclass(frozen=True)
class InspectTask:
    """Sources to look at."""

    target: Target
    sources: tuple[Source, ...]

    def __repr__(self) -> str:
        """For errors about the task."""
        return _named(self.sources)


@dataclass(frozen=True)
class ConvertTask:
    """Sources whose clips are packed together, in this order."""

    target: Target
    sources: tuple[Inspection, ...]

    def __repr__(self) -> str:
        """For errors about the task."""
        return _named([inspection.source for inspection in self.sources])


@dataclass(frozen=True)
class Conversion:
    """What became of one source."""

    inspection: Inspection
    reason: Reason | None = None
    detail: str = ""
    clips: tuple[ClipRow, ...] = ()
    frames: int = 0
    dropped_frames: int = 0
    corrupt_frames: int = 0
    decisions: dict[str, str | int | float] = field(default_factory=dict)


def inspect_sources(task: InspectTask) -> tuple[Inspection, ...]:
    """Hash sources and read their headers."""
    with working_directory() as directory:
        return tuple(_inspect(task.target, source, directory) for source in task.sources)


def convert_sources(task: ConvertTask) -> tuple[Conversion, ...]:
    """Write the shards of a group to the store; a source counts whole or not at all."""
    store = open_store(task.target.storage)
    with working_directory() as directory:
        return _GroupWriter(task.target, store, directory).convert(task.sources)


def _inspect(target: Target, source: Source, directory: Path) -> Inspection:
    sha256: str | None = None
    try:
        with local_copy(source, target.storage, directory) as path:
            sha256 = hash_file(path)
            with VideoReader(path) as reader:
                return Inspection(source, sha256, reader.duration_s)
    except UnusableSourceError as error:
        return Inspection(source, sha256, reason=error.reason, detail=error.detail)


class _GroupWriter:
    """Packs the clips of a group; rows are complete once their shard is finished."""

    def __init__(self, target: Target, store: ObjectStore, directory: Path) -> None:
        self._target = target
        self._store = store
        self._directory = directory
        self._placed: dict[str, ClipRow] = {}
        height, width = target.ingest.resolution
        self._rule = CutRule(
            min_frames=target.ingest.min_clip_frames,
            max_frames=target.ingest.max_clip_frames,
            stride=target.ingest.clip_stride,
            fps=target.ingest.fps,
            height=height,
            width=width,
            codec=choose_codec(target.ingest.codec, height, width),
            filters=target.ingest.filters,
        )

    def convert(self, sources: tuple[Inspection, ...]) -> tuple[Conversion, ...]:
        """The conversions in the order of the sources."""
        conversions = []
        with ShardWriter(self._directory, self._target.ingest.shard_size_bytes) as writer:
            for inspection in sources:
                try:
                    conversions.append(self._convert(inspection, writer))
                except UnusableSourceError as error:
                    conversions.append(
                        Conversion(inspection, reason=error.reason, detail=error.detail)
                    )
            self._upload(writer.finish())
        return tuple(
            replace(one, clips=tuple(self._placed[row.clip_id] for row in one.clips))
            for one in conversions
        )

    def _convert(self, inspection: Inspection, writer: ShardWriter) -> Conversion:
        """Spool a source's clips, and pack them once all of it was read."""
        counts = CutCounts()
        spooled: list[tuple[Cut, int]] = []
        storage = self._target.storage
        with tempfile.TemporaryFile(dir=self._directory) as spool:
            with local_copy(inspection.source, storage, self._directory) as path:
                if hash_file(path) != inspection.sha256:
                    raise UnusableSourceError("vanished", str(path), "it changed meanwhile")
                rule = ReadRule(size=(self._rule.height, self._rule.width))
                with VideoReader(path, rule) as reader:
                    for one in cut(_pictures(reader, self._rule.fps), self._rule, counts):
                        spool.write(one.data)
                        spooled.append((replace(one, data=b""), len(one.data)))
            if not spooled or reader.decisions is None:
                raise UnusableSourceError(
                    "too short",
                    inspection.source.uri,
                    f"{counts.frames} frames at {self._rule.fps:g} frames/s, "
                    f"a clip needs {self._rule.min_frames}",
                )
            spool.seek(0)
            rows = tuple(
                self._pack(
                    writer, inspection, replace(one, data=spool.read(size)), reader.decisions
                )
                for one, size in spooled
            )
        return Conversion(
            inspection=inspection,
            clips=rows,
            frames=counts.frames,
            dropped_frames=counts.dropped,
            corrupt_frames=reader.counts.corrupt,
            decisions=reader.decisions.as_document(),
        )

    def _pack(
        self, writer: ShardWriter, inspection: Inspection, one: Cut, decisions: Decisions
    ) -> ClipRow:
        """Append a clip to the shard; the row's shard and offset are filled in by `_upload`."""
        target, rule = self._target, self._rule
        source_sha256 = inspection.sha256 or ""
        row = ClipRow(
            clip_id=clip_id(source_sha256, one, target.ingest_digest),
            source=inspection.source.uri,
            source_sha256=source_sha256,
            start_s=one.start_s,
            end_s=one.end_s,
            shard="",
            offset=0,
            length=len(one.data),
            sha256="",
            frames=one.frames,
            fps=rule.fps,
            height=rule.height,
            width=rule.width,
            codec=rule.codec,
            colour=decisions.colour,
            split=split_of(source_sha256, target.ingest.holdout_fraction),
            label=inspection.source.label,
            brightness=one.look.brightness,
            contrast=one.look.contrast,
            motion=one.look.motion,
            perceptual_hash=one.look.perceptual_hash,
        )
        facts = {name: value for name, value in asdict(row).items() if name in _IN_SHARDS}
        facts |= {"ingest_digest": target.ingest_digest, "decisions": decisions.as_document()}
        self._placed[row.clip_id] = row
        self._upload(writer.add(row.clip_id, facts, one.data))
        return row

    def _upload(self, written: Written | None) -> None:
        if written is None:
            return
        self._store.upload(shard_key(self._target.dataset, written.sha256), written.path)
        written.path.unlink()
        for clip in written.clips:
            self._placed[clip.clip_id] = replace(
                self._placed[clip.clip_id],
                shard=written.sha256,
                offset=clip.offset,
                sha256=clip.sha256,
            )


def _named(sources: Sequence[Source]) -> str:
    more = f" and {len(sources) - 1} more" if len(sources) > 1 else ""
    return f"{sources[0].shown}{more}"


def _pictures(reader: VideoReader, fps: float) -> Iterator[tuple[int, Frame]]:
    timed = ((one.time_s, (0, one.picture)) for one in reader.frames())
    return (picture for _, picture in nearest_in_time(timed, fps, reader.period_s))
