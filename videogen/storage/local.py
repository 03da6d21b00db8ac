"""Objects as files below one directory, for machines without S3.

Writes go to a temporary file, are synced, and then take their name in one step. A lock file makes
conditional writes atomic among all processes of the machine that use the directory.
"""

import errno
import fcntl
import hashlib
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from videogen.errors import ObjectMissingError, PreconditionFailedError, StorageError
from videogen.storage.base import ObjectInfo, Stored
from videogen.storage.keys import check_key, check_prefix

_RESERVED = ".store"
_STAGED = ".staged-"
_HASHED_UP_TO_BYTES = 1 << 20
_ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR)
_MENDS = {
    errno.ENOSPC: "free some room on that disk, or choose another storage.root",
    errno.EDQUOT: "raise the quota, or choose another storage.root",
    errno.EACCES: "give this user the right to write there, or choose another storage.root",
    errno.EPERM: "give this user the right to write there, or choose another storage.root",
    errno.EROFS: "choose a storage.root on a writable disk",
    errno.ENAMETOOLONG: "shorten the key",
    errno.EEXIST: "a part of that path is a file; choose another key or storage.root",
    errno.ENOTDIR: "a part of that path is a file; choose another key or storage.root",
    errno.EISDIR: "other objects lie below that key; choose another key",
    errno.ENOTEMPTY: "other objects lie below that key; choose another key",
}


class LocalStore:
    """An `ObjectStore` in a directory, which is made by the first write.

    An etag is the sha256 of the bytes up to 1 MiB, and size, modification time and inode beyond:
    listings stay cheap, and what is written conditionally is small.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory.expanduser().absolute()

    @property
    def root(self) -> str:
        """The absolute path of the directory."""
        return str(self._directory)

    def get(self, key: str) -> Stored:
        """See `ObjectStore.get`."""
        path = self._path(key)
        with self._reading(key), path.open("rb") as file:
            data = file.read()
            return Stored(data, _etag(os.fstat(file.fileno()), lambda: data))

    def get_range(self, key: str, offset: int, length: int) -> bytes:
        """See `ObjectStore.get_range`."""
        path = self._path(key)
        with self._reading(key), path.open("rb") as file:
            file.seek(offset)
            data = file.read(length)
        if len(data) != length:
            raise StorageError(
                f"{path} ended after {len(data)} of {length} bytes from offset {offset}: "
                "it is shorter than what refers to it; run `videogen dataset verify`"
            )
        return data

    def head(self, key: str) -> ObjectInfo | None:
        """See `ObjectStore.head`."""
        try:
            with self._reading(key):
                return _info(key, self._path(key))
        except ObjectMissingError:
            return None

    def put(self, key: str, data: bytes) -> str:
        """See `ObjectStore.put`."""
        with self._staged(key) as staged:
            _write(staged, data)
            return self._publish(key, staged)

    def put_if_absent(self, key: str, data: bytes) -> str:
        """See `ObjectStore.put_if_absent`."""
        with self._staged(key) as staged:
            _write(staged, data)
            return self._publish(key, staged, expected="")

    def put_if_match(self, key: str, data: bytes, etag: str) -> str:
        """See `ObjectStore.put_if_match`."""
        with self._staged(key) as staged:
            _write(staged, data)
            return self._publish(key, staged, expected=etag)

    def upload(self, key: str, path: Path) -> None:
        """See `ObjectStore.upload`."""
        with _naming(path), path.open("rb") as source, self._staged(key) as staged:
            with staged.open("wb") as target:
                shutil.copyfileobj(source, target)
                _sync(target)
            self._publish(key, staged)

    def download(self, key: str, path: Path) -> None:
        """See `ObjectStore.download`."""
        source = self._path(key)
        with self._reading(key), source.open("rb"):
            pass
        with _naming(path), _staged_beside(path) as staged:
            with self._reading(key), source.open("rb") as file, staged.open("wb") as target:
                shutil.copyfileobj(file, target)
            staged.replace(path)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """See `ObjectStore.list`."""
        check_prefix(self.root, prefix)
        parent, _, _ = prefix.rpartition("/")
        start = f"{parent}/" if parent else ""
        for key in self._walk(start):
            if key.startswith(prefix):
                info = self.head(key)
                if info is not None:
                    yield info

    def children(self, prefix: str) -> Iterator[str]:
        """See `ObjectStore.children`."""
        check_prefix(self.root, prefix)
        directory = self._directory / prefix
        try:
            with os.scandir(directory) as found:
                names = [entry.name for entry in found]
            yield from (name for name in names if prefix or name != _RESERVED)
        except OSError as error:
            if error.errno in _ABSENT and not self._directory.is_file():
                return
            raise StorageError(_message(directory, error)) from error

    def purge(self, key: str) -> None:
        """See `ObjectStore.purge`. A directory keeps no versions."""
        self.delete(key)

    def abort_uploads(self, prefix: str, older_than_s: float) -> int:
        """See `ObjectStore.abort_uploads`. A staged file tells no key: all old ones go."""
        check_prefix(self.root, prefix)
        left = 0
        for staged in (self._directory / _RESERVED).glob(f"{_STAGED}*"):
            with _naming(staged), suppress(FileNotFoundError):
                if time.time() - staged.stat().st_mtime >= older_than_s:
                    staged.unlink()
                    left += 1
        return left

    def delete(self, key: str) -> None:
        """See `ObjectStore.delete`. Directories that become empty go too."""
        path = self._path(key)
        if not self._directory.is_dir():
            return
        with _naming(path), self._locked():
            try:
                path.unlink()
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
                return
            for parent in path.relative_to(self._directory).parents[:-1]:
                try:
                    (self._directory / parent).rmdir()
                except OSError:
                    return

    def _path(self, key: str) -> Path:
        check_key(self.root, key)
        if key.split("/", maxsplit=1)[0] == _RESERVED:
            raise StorageError(
                f"key {key!r} of {self.root} lies in {_RESERVED}/, where the store keeps its lock: "
                "choose another key"
            )
        return self._directory / key

    def _walk(self, start: str) -> Iterator[str]:
        directory = self._directory / start
        below = []
        try:
            with os.scandir(directory) as found:
                for entry in found:
                    if not entry.is_dir():
                        yield start + entry.name
                    elif start or entry.name != _RESERVED:
                        below.append(f"{start}{entry.name}/")
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            raise StorageError(_message(directory, error)) from error
        for inner in below:
            yield from self._walk(inner)

    @contextmanager
    def _reading(self, key: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno in _ABSENT:
                raise ObjectMissingError(
                    f"there is no object {key!r} in {self.root}: check the key and storage.root"
                ) from error
            raise StorageError(_message(self._directory / key, error)) from error

    @contextmanager
    def _staged(self, key: str) -> Iterator[Path]:
        """A temporary file on the disk of the store, gone at the end unless published."""
        path = self._path(key)
        with _naming(path):
            reserved = self._directory / _RESERVED
            reserved.mkdir(parents=True, exist_ok=True)
            with _staged_beside(reserved / "object") as staged:
                yield staged

    def _publish(self, key: str, staged: Path, expected: str | None = None) -> str:
        """Give the staged file its name; `expected` is the etag to replace, "" for none."""
        path = self._path(key)
        with self._locked():
            if expected is not None:
                current = self.head(key)
                if (current.etag if current else "") != expected:
                    raise PreconditionFailedError(
                        f"{key!r} in {self.root} "
                        + ("is there already" if expected == "" else "has changed meanwhile")
                        + ": read it again and decide anew"
                    )
            path.parent.mkdir(parents=True, exist_ok=True)
            etag = _info(key, staged).etag
            staged.replace(path)
            _sync_directory(path.parent)
            return etag

    @contextmanager
    def _locked(self) -> Iterator[None]:
        reserved = self._directory / _RESERVED
        reserved.mkdir(parents=True, exist_ok=True)
        with (reserved / "lock").open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageError(_message(path, error)) from error


def _message(path: Path, error: OSError) -> str:
    mend = _MENDS.get(error.errno or 0, "check that directory")
    return f"cannot use {path}: {error.strerror or error}: {mend}"


@contextmanager
def _staged_beside(path: Path) -> Iterator[Path]:
    path.parent.mkdir(parents=True, exist_ok=True)
    staged = path.with_name(f"{_STAGED}{uuid.uuid4().hex}")
    try:
        yield staged
    finally:
        staged.unlink(missing_ok=True)


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        _sync(file)


def _sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def _sync_directory(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _info(key: str, path: Path) -> ObjectInfo:
    with path.open("rb") as file:
        status = os.fstat(file.fileno())
        return ObjectInfo(key, status.st_size, _etag(status, file.read), status.st_mtime)


def _etag(status: os.stat_result, read: Callable[[], bytes]) -> str:
    if status.st_size <= _HASHED_UP_TO_BYTES:
        return hashlib.sha256(read()).hexdigest()
    return f"{status.st_size:x}-{status.st_mtime_ns:x}-{status.st_ino:x}"
