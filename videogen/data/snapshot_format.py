"""The JSON documents of a dataset, and the keys that they lie under."""

import json
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from videogen.data.clip_table import check_version
from videogen.errors import CorruptObjectError

FORMAT_VERSION = 1


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    format_version: int = FORMAT_VERSION


_Parsed = TypeVar("_Parsed", bound=_Document)


class Part(BaseModel):
    """One Parquet file of rows."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sha256: str
    clips: int


class SnapshotDocument(_Document):
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


class Head(_Document):
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
    return f"datasets/{dataset}/snapshots/{digest}.json"


def part_key(dataset: str, sha256: str) -> str:
    """Key of a part."""
    return f"datasets/{dataset}/parts/{sha256}.parquet"


def mend(dataset: str) -> str:
    """What to do about a damaged part, snapshot or pointer: what became of each source is known."""
    return (
        f"restore it, or delete {head_key(dataset)} and ingest again, which decodes nothing that "
        "is decoded already"
    )


def parse(kind: type[_Parsed], data: bytes, key: str) -> _Parsed:
    """A document of this kind; `key` is for errors.

    Raises `CorruptObjectError`, and `DatasetError` for a newer format.
    """
    try:
        document: dict[str, Any] = json.loads(data)
        check_version(int(document.get("format_version", 0)), FORMAT_VERSION, key)
        return kind.model_validate(document)
    except (ValueError, AttributeError, ValidationError) as error:
        raise CorruptObjectError(f"{key} is damaged: {error}: {mend(key.split('/')[1])}") from error
