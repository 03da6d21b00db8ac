"""The JSON documents of a dataset, and the keys that they lie under.

A document begins with the sha256 of the rest of it, so that any byte that changes is noticed.
"""

import hashlib
import json
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from videogen.data.snapshots.clip_table import check_version
from videogen.errors import CorruptObjectError

FORMAT_VERSION = 2
_SEALED_SINCE = 2
_SEAL = b'{"checksum":"'
_SEAL_END = b'",'
_HEX_DIGITS = 64


class Document(BaseModel):
    """Written by `seal`, read by `parse`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format_version: int = FORMAT_VERSION


_Parsed = TypeVar("_Parsed", bound=Document)


class Part(BaseModel):
    """One Parquet file of rows."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sha256: str
    clips: int


class SnapshotDocument(Document):
    """What `snapshots/DIGEST.json` holds."""

    dataset: str
    digest: str
    ingest_digest: str
    parts: tuple[Part, ...]
    clips: int
    frames: int
    sources: int
    height: int
    width: int
    fps: float
    parent: str | None = None


class Head(Document):
    """What `HEAD` holds."""

    snapshot: str
    ingest_digest: str
    lineages: dict[str, str]
    """The newest snapshot of each ingest digest."""
    nonce: str
    """Tells a writer whose write this was."""


def head_key(dataset: str) -> str:
    """Key of the pointer."""
    return f"datasets/{dataset}/HEAD"


def snapshot_key(dataset: str, digest: str) -> str:
    """Key of a snapshot."""
    return f"{snapshots_prefix(dataset)}{digest}.json"


def snapshots_prefix(dataset: str) -> str:
    """Where a dataset's snapshots lie."""
    return f"datasets/{dataset}/snapshots/"


def part_key(dataset: str, sha256: str) -> str:
    """Key of a part."""
    return f"datasets/{dataset}/parts/{sha256}.parquet"


def forgotten_key(dataset: str, source_sha256: str) -> str:
    """Key of what is known of a source that was forgotten."""
    return f"{forgotten_prefix(dataset)}{source_sha256}.json"


def forgotten_prefix(dataset: str) -> str:
    """Where a dataset's tombstones lie."""
    return f"datasets/{dataset}/forgotten/"


def mend(dataset: str) -> str:
    """What to do about a damaged part, snapshot or pointer: what became of each source is known."""
    return (
        f"restore it, or delete {head_key(dataset)} and ingest again, which decodes nothing that "
        "is decoded already"
    )


def seal(document: Document) -> bytes:
    """The document as JSON, with its checksum."""
    body = document.model_dump_json().encode()
    checksum = hashlib.sha256(body).hexdigest().encode()
    return _SEAL + checksum + _SEAL_END + body[1:]


def parse(kind: type[_Parsed], data: bytes, key: str) -> _Parsed:
    """A document of this kind; `key` is for errors.

    Raises `CorruptObjectError`, and `DatasetError` for a newer format.
    """
    try:
        return kind.model_validate(_opened(data, key))
    except (ValueError, AttributeError, ValidationError) as error:
        raise CorruptObjectError(f"{key} is damaged: {error}: {mend(key.split('/')[1])}") from error


def _opened(data: bytes, key: str) -> dict[str, Any]:
    """The JSON without its checksum, which it is checked against; the first format had none."""
    start = len(_SEAL) + _HEX_DIGITS
    end = start + len(_SEAL_END)
    is_sealed = data.startswith(_SEAL) and data[start:end] == _SEAL_END
    body = b"{" + data[end:] if is_sealed else data
    found = hashlib.sha256(body).hexdigest()
    if is_sealed and found.encode() != data[len(_SEAL) : start]:
        raise ValueError(f"its checksum is {found[:12]}…, not the one that it begins with")
    document: dict[str, Any] = json.loads(body)
    version = int(document.get("format_version", 0))
    if version < 1:
        raise ValueError("it has no format version")
    check_version(version, FORMAT_VERSION, key)
    if version >= _SEALED_SINCE and not is_sealed:
        raise ValueError("it has no checksum")
    return document
