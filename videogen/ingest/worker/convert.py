"""What a worker does with sources: tell their contents apart, and turn groups of them into shards.

Both functions run in other processes: they open the store anew, and yield small documents. What is
wrong with a source is part of what they yield; only storage errors are raised.
"""

import resource
import sys
import tempfile
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path

from videogen.data.video.unusable import UnusableSourceError
from videogen.ingest.known.records import SourceRecord, write_record, write_records
from videogen.ingest.sources.fetching import hash_file, local_copy
from videogen.ingest.worker.packing import Packer
from videogen.ingest.worker.reading import Spooled, spool_clips
from videogen.ingest.worker.scratch import working_directory
from videogen.ingest.worker.tasks import (
    Converted,
    ConvertTask,
    Fresh,
    Hashed,
    HashTask,
    Reading,
    Target,
    forgotten,
    quarantined,
)
from videogen.storage.base import ObjectStore
from videogen.storage.connect import open_store

_RSS_UNIT_BYTES = 1 if sys.platform == "darwin" else 1024


def hash_sources(task: HashTask) -> Iterator[Hashed]:
    """The sha256 of each source."""
    with working_directory() as directory:
        for source in task.sources:
            try:
                with local_copy(source, task.target.storage, directory) as local:
                    sha256 = hash_file(local)
            except UnusableSourceError:
                yield Hashed(source, None)
            else:
                yield Hashed(source, sha256)


def convert_sources(task: ConvertTask) -> Iterator[Reading | Converted]:
    """Write the shards of a group to the store; a source counts whole or not at all.

    Tells about a source while it is read. When all shards are in the store, the records are
    written, and told: whatever happens to this process then, no source is decoded again.
    """
    store = open_store(task.target.storage)
    made: list[_Made] = []
    with (
        working_directory() as directory,
        Packer(task.target, store, directory) as packer,
    ):
        worker = _Worker(task.target, store, directory, packer)
        for fresh in task.sources:
            one = yield from worker.convert(fresh)
            made.append(one)
        packer.finish()
        records = [
            one.record.model_copy(update={"clips": packer.placed(one.clip_ids)}) for one in made
        ]
        write_records(store, task.target.dataset, records)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _RSS_UNIT_BYTES
    for one, record in zip(made, records, strict=True):
        yield Converted(record, one.decoded, peak)


@dataclass(frozen=True)
class _Made:
    """What became of a source, before its shards are in the store."""

    record: SourceRecord
    clip_ids: tuple[str, ...] = ()
    decoded: int = 0


@dataclass(frozen=True)
class _Worker:
    """Converts the sources of a group."""

    target: Target
    store: ObjectStore
    directory: Path
    packer: Packer

    def convert(self, fresh: Fresh) -> Generator[Reading, None, _Made]:
        """Spool a source's clips, and pack them once all of it was read."""
        source, target = fresh.source, self.target
        sha256: str | None = None
        with tempfile.TemporaryFile(dir=self.directory) as spool:

            def give_up() -> None:
                detail = f"no frame came for {target.ingest.stall_timeout_s:g} s"
                record = quarantined(target, fresh, sha256, "stalls the decoder", detail)
                write_record(self.store, target.dataset, record)

            try:
                with local_copy(source, target.storage, self.directory) as local:
                    sha256 = hash_file(local)
                    _check_same(fresh, sha256)
                    if sha256 in target.forgotten:
                        return _Made(forgotten(target, fresh, sha256))
                    spooled = yield from spool_clips(source, local, target.ingest, spool, give_up)
            except UnusableSourceError as error:
                return _Made(quarantined(target, fresh, sha256, error.reason, error.detail))
            spool.seek(0)
            clip_ids = self.packer.add(source, sha256, spooled, spool)
        record = _record(target, fresh, sha256, spooled)
        return _Made(record, tuple(clip_ids), spooled.decoded)


def _check_same(fresh: Fresh, sha256: str) -> None:
    if fresh.sha256 not in (None, sha256):
        raise UnusableSourceError("vanished", fresh.source.shown, "it changed while it was read")


def _record(target: Target, fresh: Fresh, sha256: str, spooled: Spooled) -> SourceRecord:
    return SourceRecord(
        uri=fresh.source.uri,
        ingest_digest=target.ingest_digest,
        fingerprint=fresh.source.fingerprint,
        size_bytes=fresh.source.size_bytes,
        status="ingested" if spooled.clips else "filtered",
        sha256=sha256,
        duration_s=spooled.duration_s,
        frames=spooled.counts.frames,
        dropped_frames=spooled.counts.dropped,
        corrupt_frames=spooled.corrupt,
        filtered=spooled.counts.filtered,
        decisions=spooled.decisions.as_document(),
    )
