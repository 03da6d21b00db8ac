"""What became of each source: one document per source and ingest digest.

A worker writes it once the shards with the source's clips are in the store, so whoever is killed
later loses nothing. What all records say together is in the ledger (`ledger.py`).
"""

import hashlib
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from videogen.data.snapshots.clip_table import ClipRow, check_version
from videogen.data.video.unusable import Reason
from videogen.errors import CorruptObjectError, ObjectMissingError
from videogen.ingest.sources.source import GONE, Source
from videogen.storage.base import ObjectStore

FORMAT_VERSION = 2
_THREADS = 16
_LIST_ABOVE = 256
PASSING: tuple[Reason, ...] = ("missing", "unreadable", "vanished")

Status = Literal["ingested", "filtered", "duplicate", "quarantined"]


class SourceRecord(BaseModel):
    """What `sources/KEY.json` holds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format_version: int = FORMAT_VERSION
    uri: str
    ingest_digest: str
    fingerprint: str
    size_bytes: int = 0
    status: Status
    """`filtered`: no clip was left; `duplicate`: another source has the same content."""
    sha256: str | None = None
    duration_s: float = 0.0
    """What the headers say."""
    reason: Reason | None = None
    """Why it is quarantined."""
    detail: str = ""
    frames: int = 0
    """Ticks of the clock of `ingest.fps` that it lasts."""
    dropped_frames: int = 0
    """Of those, in remainders too short for a clip."""
    corrupt_frames: int = 0
    """Damaged in the file; their neighbours stand in for them."""
    filtered: dict[str, int] = {}
    """Clips that were left out, by reason."""
    decisions: dict[str, str | int | float] = {}
    clips: tuple[ClipRow, ...] = ()

    def holds_for(self, source: Source) -> bool:
        """Whether this is still what became of the source, by all that the listing tells."""
        return self.fingerprint == source.fingerprint and not may_pass(
            self.reason, self.fingerprint
        )


def may_pass(reason: str | None, fingerprint: str) -> bool:
    """Whether a reason may be gone although the file did not change, as a right that was given."""
    return reason in PASSING and fingerprint != GONE


def record_key(dataset: str, uri: str, ingest_digest: str) -> str:
    """The key of a source's record."""
    name = hashlib.sha256(f"{uri}\n{ingest_digest}".encode()).hexdigest()
    return f"{_prefix(dataset)}{name}.json"


def load_records(
    store: ObjectStore, dataset: str, ingest_digest: str, uris: Iterable[str]
) -> dict[str, SourceRecord]:
    """The records of those sources that have one, by URI.

    Few are asked for one by one; for many, what is there is listed first. Raises
    `CorruptObjectError` and `StorageError`.
    """
    keys = {uri: record_key(dataset, uri, ingest_digest) for uri in uris}
    if len(keys) > _LIST_ABOVE:
        asked = set(keys.values())
        there = {one.key for one in store.list(_prefix(dataset)) if one.key in asked}
        keys = {uri: key for uri, key in keys.items() if key in there}
    with ThreadPoolExecutor(_THREADS) as threads:
        documents = threads.map(lambda key: _read(store, key), keys.values())
        found = zip(keys, documents, strict=True)
        return {uri: record for uri, record in found if record is not None}


def write_records(store: ObjectStore, dataset: str, records: Sequence[SourceRecord]) -> None:
    """Write records, in place of those before."""
    with ThreadPoolExecutor(_THREADS) as threads:
        list(threads.map(lambda record: write_record(store, dataset, record), records))


def write_record(store: ObjectStore, dataset: str, record: SourceRecord) -> None:
    """Write one record, in place of the one before."""
    key = record_key(dataset, record.uri, record.ingest_digest)
    store.put(key, record.model_dump_json().encode())


def _prefix(dataset: str) -> str:
    return f"datasets/{dataset}/sources/"


def _read(store: ObjectStore, key: str) -> SourceRecord | None:
    try:
        record = SourceRecord.model_validate_json(store.get(key).data)
    except ObjectMissingError:
        return None
    except ValidationError as error:
        raise CorruptObjectError(
            f"{key} is damaged or of a newer videogen: delete it, and its source is ingested again"
        ) from error
    check_version(record.format_version, FORMAT_VERSION, key)
    return record
