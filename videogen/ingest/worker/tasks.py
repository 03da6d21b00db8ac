"""What driver and workers of an ingest tell each other: small documents."""

from collections.abc import Sequence
from dataclasses import dataclass

from videogen.config.sections import IngestConfig, StorageConfig
from videogen.data.video.unusable import Reason
from videogen.ingest.known.records import SourceRecord, Status
from videogen.ingest.sources.source import Source


@dataclass(frozen=True)
class Target:
    """Which dataset clips go to, and how they are made."""

    storage: StorageConfig
    dataset: str
    ingest: IngestConfig
    ingest_digest: str
    forgotten: frozenset[str] = frozenset()
    """sha256 of sources that the dataset was told to forget."""


@dataclass(frozen=True)
class Fresh:
    """A source to be decoded."""

    source: Source
    sha256: str | None = None
    """Of its content, where a look was needed to tell it from another of the same size."""


@dataclass(frozen=True)
class HashTask:
    """Sources whose content is to be told apart."""

    target: Target
    sources: tuple[Source, ...]

    def __repr__(self) -> str:
        """For errors about the task."""
        return _named(self.sources)


@dataclass(frozen=True)
class ConvertTask:
    """Sources whose clips are packed together, in this order."""

    target: Target
    sources: tuple[Fresh, ...]
    deaths: int = 0
    """How many workers died under it, or under a larger group that it was part of."""

    def __repr__(self) -> str:
        """For errors about the task."""
        return _named([fresh.source for fresh in self.sources])


@dataclass(frozen=True)
class Hashed:
    """A source by its content; `sha256` None: it cannot be read, and is told why later."""

    source: Source
    sha256: str | None


@dataclass(frozen=True)
class Reading:
    """How far a worker is with a source."""

    uri: str
    shown: str
    frames: int
    """Decoded so far."""
    clips: int
    fraction: float
    """Of the source, 0 to 1, by its headers."""


@dataclass(frozen=True)
class Converted:
    """A source that is done: its clips are in the store, and its record is."""

    record: SourceRecord
    frames: int
    """Decoded."""
    peak_rss_bytes: int
    """Of the worker."""


def quarantined(
    target: Target, fresh: Fresh, sha256: str | None, reason: Reason, detail: str
) -> SourceRecord:
    """The record of a source that cannot be used."""
    return _record(target, fresh.source, sha256, "quarantined").model_copy(
        update={"reason": reason, "detail": detail}
    )


def forgotten(target: Target, fresh: Fresh, sha256: str) -> SourceRecord:
    """The record of a source that the dataset was told to forget."""
    return _record(target, fresh.source, sha256, "filtered").model_copy(
        update={"detail": "the dataset was told to forget it"}
    )


def duplicate(target: Target, source: Source, sha256: str) -> SourceRecord:
    """The record of a source with the content of another one."""
    return _record(target, source, sha256, "duplicate")


def _record(target: Target, source: Source, sha256: str | None, status: Status) -> SourceRecord:
    return SourceRecord(
        uri=source.uri,
        ingest_digest=target.ingest_digest,
        fingerprint=source.fingerprint,
        size_bytes=source.size_bytes,
        status=status,
        sha256=sha256,
    )


def _named(sources: Sequence[Source]) -> str:
    more = f" and {len(sources) - 1} more" if len(sources) > 1 else ""
    return f"{sources[0].shown}{more}"
