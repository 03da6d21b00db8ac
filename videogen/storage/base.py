"""The contract of an object store; keys are relative to its root and use `/`."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class ObjectInfo:
    """What a listing says of an object."""

    key: str
    size_bytes: int
    etag: str
    modified_at: float
    """Seconds since the epoch by the store's clock; S3 tells whole seconds."""


@dataclass(frozen=True)
class Stored:
    """An object's bytes with the version that they are."""

    data: bytes
    etag: str


class ObjectStore(Protocol):
    """Bytes under keys. A reader never sees half an object; conditional writes are atomic.

    Every method raises `StorageError`, which names root and key, when the store cannot be reached
    or refuses; keys with empty, `.` or `..` segments are refused with `StorageError` too.
    """

    @property
    def root(self) -> str:
        """`s3://bucket/prefix`, or the absolute path of a directory."""

    def get(self, key: str) -> Stored:
        """The object. Raises `ObjectMissingError`."""

    def get_range(self, key: str, offset: int, length: int) -> bytes:
        """`length` bytes from `offset`. Raises `ObjectMissingError`; a short answer is an error."""

    def head(self, key: str) -> ObjectInfo | None:
        """What is there, or None."""

    def put(self, key: str, data: bytes) -> str:
        """Write, replacing what is there; the new etag."""

    def put_if_absent(self, key: str, data: bytes) -> str:
        """Write only where nothing is; the etag. Raises `PreconditionFailedError`."""

    def put_if_match(self, key: str, data: bytes, etag: str) -> str:
        """Replace only that version; the new etag. Raises `PreconditionFailedError`."""

    def upload(self, key: str, path: Path) -> None:
        """Write a local file's bytes without holding them all in memory."""

    def download(self, key: str, path: Path) -> None:
        """Write the object to a local path, whole or not at all. Raises `ObjectMissingError`."""

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Objects whose key starts with `prefix`, in no order, a page of the store at a time.

        A million keys are never held at once. What changes meanwhile may be told or not.
        """

    def children(self, prefix: str) -> Iterator[str]:
        """What follows `prefix` (empty, or ending with `/`) in keys, up to the next `/`; each once.

        In no order, a page at a time, without a look at the keys further below.
        """

    def delete(self, key: str) -> None:
        """Remove; no error where nothing is. A versioned bucket keeps the bytes: see `purge`."""

    def purge(self, key: str) -> None:
        """Remove with every version that the store keeps; no error where nothing is."""

    def abort_uploads(self, prefix: str, older_than_s: float) -> int:
        """Drop what unfinished uploads below `prefix` left; how many there were.

        Those that began, or last grew, less than `older_than_s` ago may be going on and stay.
        """
