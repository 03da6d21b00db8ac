"""A directory of shards on this machine, shared by the processes that read them.

Shards are immutable and named by content, so a file that is there is right. Each is downloaded
once (a lock file per shard holds the others back), moved into place whole, and the least recently
used go when the directory grows beyond its bound.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path, PurePosixPath

from videogen.errors import CorruptObjectError, StorageError
from videogen.storage.base import ObjectStore


class ShardCache:
    """Local copies of objects of a store."""

    def __init__(self, store: ObjectStore, directory: Path, *, max_bytes: int) -> None:
        self._store = store
        self._directory = directory
        self._max_bytes = max_bytes
        try:
            directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(
                f"shards cannot be kept in {directory}: {error.strerror or error}: make room "
                "there, or set XDG_CACHE_HOME to another directory"
            ) from error

    def read(self, key: str, offset: int, length: int) -> bytes:
        """`length` bytes of the object from `offset`.

        Raises `ObjectMissingError` or `StorageError` as the store does, and `CorruptObjectError`
        where the copy ends before.
        """
        with self._open(key) as descriptor:
            data = os.pread(descriptor, length, offset)
        if len(data) != length:
            raise CorruptObjectError(
                f"{self._store.root}/{key}: ends at byte {offset + len(data)}, but the snapshot "
                f"has a clip until {offset + length}; ingest again, or restore the object"
            )
        return data

    def drop(self, key: str) -> None:
        """Forget the local copy: its bytes were found to be wrong."""
        with self._eviction():
            self._path(key).unlink(missing_ok=True)

    @contextmanager
    def _open(self, key: str) -> Iterator[int]:
        path = self._path(key)
        descriptor = _open_if_there(path)
        while descriptor is None:
            self._fetch(key, path)
            descriptor = _open_if_there(path)
        try:
            os.utime(descriptor)
            yield descriptor
        finally:
            os.close(descriptor)

    def _path(self, key: str) -> Path:
        return self._directory / PurePosixPath(key).name

    def _fetch(self, key: str, path: Path) -> None:
        with _locked(self._directory / f".{path.name}.lock"):
            if path.exists():
                return
            self._store.download(key, path)
        self._evict(keep=path)

    def _eviction(self) -> AbstractContextManager[None]:
        """Whoever removes a file holds this, so that nobody looks at one that goes."""
        return _locked(self._directory / ".evict.lock")

    def _evict(self, keep: Path) -> None:
        with self._eviction():
            shards = [
                (path.stat(), path)
                for path in self._directory.iterdir()
                if not path.name.startswith(".")
            ]
            used = sum(status.st_size for status, _ in shards)
            for status, path in sorted(shards, key=lambda one: one[0].st_mtime):
                if used <= self._max_bytes:
                    return
                if path != keep:
                    path.unlink(missing_ok=True)
                    used -= status.st_size


def _open_if_there(path: Path) -> int | None:
    try:
        return os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return None


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold an advisory lock on a file, against other processes and threads of this one."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
