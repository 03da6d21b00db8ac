"""What became of each source: one document per source and ingest digest."""

import hashlib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from videogen.data.clip_table import ClipRow, check_version
from videogen.data.unusable import Reason
from videogen.errors import CorruptObjectError
from videogen.ingest.sources import Source
from videogen.storage.base import ObjectStore

FORMAT_VERSION = 1
_THREADS = 16
_PASSING: tuple[Reason, ...] = ("missing", "unreadable", "vanished")


class SourceRecord(BaseModel):
    """What `sources/KEY.json` holds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format_version: int = FORMAT_VERSION
    uri: str
    ingest_digest: str
    fingerprint: str
    status: Literal["ingested", "quarantined"]
    sha256: str | None = None
    duration_s: float = 0.0
    """What the headers say."""
    reason: Reason | None = None
    detail: str = ""
    frames: int = 0
    dropped_frames: int = 0
    """At the source's end, too few for a clip."""
    corrupt_frames: int = 0
    """Damaged in the file; their neighbours stand in for them."""
    decisions: dict[str, str | int | float] = {}
    clips: tuple[ClipRow, ...] = ()
    """Empty too where another source has the same content."""

    @property
    def may_pass(self) -> bool:
        """Whether the reason may go away without the file changing."""
        return self.reason in _PASSING


def record_key(dataset: str, uri: str, ingest_digest: str) -> str:
    """The key of a source's record."""
    name = hashlib.sha256(f"{uri}\n{ingest_digest}".encode()).hexdigest()
    return f"datasets/{dataset}/sources/{name}.json"


def load_records(
    store: ObjectStore, dataset: str, ingest_digest: str, sources: Iterable[Source]
) -> dict[str, SourceRecord]:
    """The records of those sources that have one, by URI."""
    there = {info.key for info in store.list(f"datasets/{dataset}/sources/")}
    keys = {source.uri: record_key(dataset, source.uri, ingest_digest) for source in sources}
    wanted = {uri: key for uri, key in keys.items() if key in there}
    with ThreadPoolExecutor(_THREADS) as threads:
        documents = threads.map(lambda key: _parse(store.get(key).data, key), wanted.values())
        return dict(zip(wanted, documents, strict=True))


def write_record(
    store: ObjectStore, dataset: str, record: SourceRecord, before: SourceRecord | None
) -> None:
    """Write a record, unless it says what the one before it said."""
    if record != before:
        key = record_key(dataset, record.uri, record.ingest_digest)
        store.put(key, record.model_dump_json().encode())


def _parse(data: bytes, key: str) -> SourceRecord:
    try:
        record = SourceRecord.model_validate_json(data)
    except ValidationError as error:
        raise CorruptObjectError(
            f"{key} is damaged or of a newer videogen: delete it, and its source is ingested again"
        ) from error
    check_version(record.format_version, FORMAT_VERSION, key)
    return record
