"""Datasets for tests of what looks after them: real shards, rows and records of made-up footage."""

import hashlib
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from videogen.data.shards.frame_codec import Frames, encode_clip
from videogen.data.shards.tar_shard import ShardWriter, Written, shard_key
from videogen.data.snapshots.clip_table import ClipRow, table_of
from videogen.data.snapshots.snapshot import Snapshot, add_clips
from videogen.ingest.known.ledger import Entry, Ledger, update_ledger
from videogen.ingest.known.records import SourceRecord, write_record
from videogen.storage.base import ObjectStore

INGEST = "1" * 64
OTHER_INGEST = "2" * 64
FRAMES, SIZE = 4, 16
ROOMY = 1 << 30


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def uri(source: str) -> str:
    return f"file:///footage/{source}.mp4"


def pictures(source: str, clip: int) -> Frames:
    """Noise that no other clip has: any 32 bytes of it tell where it is kept."""
    random = np.random.default_rng([clip, *source.encode()])
    return random.integers(0, 256, (FRAMES, SIZE, SIZE, 3), dtype=np.uint8)


@dataclass(frozen=True)
class Keeper:
    """A store, and every byte that is kept below it, of any version."""

    store: ObjectStore
    blobs: Callable[[], dict[str, list[bytes]]]
    """The bytes of all versions of all objects, by key."""


@dataclass
class Footage:
    """Sources that become shards of one dataset; every call of `ingest` is one increment."""

    store: ObjectStore
    dataset: str = "d"
    ingest_digest: str = INGEST
    clips: int = 2
    """Of each source."""
    rows: dict[str, list[ClipRow]] = field(default_factory=dict)
    """By source."""

    def shoot(self, *sources: str, max_bytes: int = ROOMY) -> list[ClipRow]:
        """Write shards of these sources and their records; no snapshot has them yet."""
        packed: dict[str, ClipRow] = {}
        with (
            tempfile.TemporaryDirectory() as scratch,
            ShardWriter(Path(scratch), max_bytes) as writer,
        ):
            for source in sources:
                for number in range(self.clips):
                    row = self._row(source, number)
                    data = encode_clip(pictures(source, number), "raw")
                    packed[row.clip_id] = replace(row, length=len(data))
                    facts = {"clip_id": row.clip_id, "source_sha256": row.source_sha256}
                    self._upload(writer.add(row.clip_id, facts, data), packed)
            self._upload(writer.finish(), packed)
        rows = list(packed.values())
        for source in sources:
            self.rows[source] = [row for row in rows if row.source == uri(source)]
            write_record(self.store, self.dataset, self.record(source))
        return rows

    def publish(self, rows: Iterable[ClipRow]) -> Snapshot:
        """Make a snapshot with these rows, and a ledger with all sources of so far."""
        snapshot = add_clips(self.store, self.dataset, self.ingest_digest, table_of(rows))
        there = {row.clip_id for row in snapshot.rows()}
        held_back = {
            uri(source): sum(row.clip_id not in there for row in rows)
            for source, rows in self.rows.items()
        }
        entries = (Entry.of(self.record(source)) for source in self.rows)
        ledger = Ledger.of(entries, held_back)
        update_ledger(self.store, self.dataset, self.ingest_digest, ledger)
        return snapshot

    def ingest(self, *sources: str, max_bytes: int = ROOMY) -> Snapshot:
        """Both: the sources are in the next snapshot."""
        return self.publish(self.shoot(*sources, max_bytes=max_bytes))

    def record(self, source: str) -> SourceRecord:
        """What became of a source."""
        return SourceRecord(
            uri=uri(source),
            ingest_digest=self.ingest_digest,
            fingerprint="f",
            size_bytes=1,
            status="ingested",
            sha256=sha(source),
            clips=tuple(self.rows[source]),
        )

    def _row(self, source: str, number: int) -> ClipRow:
        return ClipRow(
            clip_id=sha(f"{self.ingest_digest} {source} {number}"),
            source=uri(source),
            source_sha256=sha(source),
            start_s=float(number),
            end_s=number + 0.5,
            shard="",
            offset=0,
            length=0,
            sha256="",
            frames=FRAMES,
            fps=8.0,
            height=SIZE,
            width=SIZE,
            codec="raw",
            colour="bt709",
            split="train",
        )

    def _upload(self, written: Written | None, rows: dict[str, ClipRow]) -> None:
        if written is None:
            return
        self.store.upload(shard_key(self.dataset, written.sha256), written.path)
        for clip in written.clips:
            place = {"shard": written.sha256, "offset": clip.offset, "sha256": clip.sha256}
            rows[clip.clip_id] = replace(rows[clip.clip_id], **place)


def keys(store: ObjectStore, prefix: str = "") -> set[str]:
    return {info.key for info in store.list(prefix)}


def holds_any(blob: bytes, source: str, clips: int) -> bool:
    """Whether bytes hold a piece of any frame of the source."""
    frames = [frame.tobytes() for number in range(clips) for frame in pictures(source, number)]
    return any(frame[start : start + 32] in blob for frame in frames for start in range(0, 768, 96))


class Untracked:
    """A tracking system that knows of no snapshot."""

    def __init__(self, versions: Sequence[str] = (), sheets: int = 0) -> None:
        self.versions = tuple(versions)
        self.sheets = sheets
        self.asked: list[frozenset[str]] = []

    def model_versions(self, snapshots: Iterable[str]) -> tuple[str, ...]:
        self.asked.append(frozenset(snapshots))
        return self.versions

    def purge_sheets(self, snapshots: Iterable[str], store: ObjectStore) -> int:
        self.asked.append(frozenset(snapshots))
        return self.sheets
