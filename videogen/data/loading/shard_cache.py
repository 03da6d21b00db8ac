"""A directory of shards on this machine, shared by the processes that read them.

Shards are immutable and named by content, so a file that is there is right. One process at a time
fetches a shard, in a directory of its own that it holds locked; the shard is moved into place
whole, after the least recently used have made room. A reader's descriptor stays good whatever
becomes of the name. Nothing here is needed: where the directory is full, read-only or gone, that
is one warning, and clips are read from the store.
"""

import errno
import fcntl
import logging
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from videogen.storage.base import ObjectStore

Warn = Callable[[str], None]

_FETCHING = ".fetching-"
_EVICTION_LOCK = ".evict.lock"
_CHUNK_BYTES = 8 << 20
_FULL = (errno.ENOSPC, errno.EDQUOT)
_log = logging.getLogger(__name__)


class ShardCache:
    """Local copies of objects of a store, at most `max_bytes` of them; 0 keeps none."""

    def __init__(
        self,
        store: ObjectStore,
        directory: Path,
        *,
        max_bytes: int,
        warn: Warn = _log.warning,
    ) -> None:
        self._store = store
        self._directory = directory
        self._directory_name = str(directory)
        self._limit = self._max_bytes = max_bytes
        self._warn = warn
        self._warned: set[str] = set()
        self._is_made = False
        if max_bytes > 0:
            self._prepare()

    @property
    def store(self) -> ObjectStore:
        """What copies are of."""
        return self._store

    @property
    def directory(self) -> Path:
        """Where the copies lie."""
        return self._directory

    @property
    def limit_bytes(self) -> int:
        """How much is kept: `max_bytes`, or less where the disk turned out to hold less."""
        return self._limit

    @property
    def lacks_room(self) -> bool:
        """Whether the disk holds less than `max_bytes`, of which there was a warning."""
        return self._limit < self._max_bytes

    def has(self, key: str) -> bool:
        """Whether there is a copy now."""
        return Path(self._path(key)).exists()

    @contextmanager
    def opened(self, key: str) -> Iterator[int | None]:
        """A descriptor of the copy, which counts as used now; None where there is none."""
        try:
            descriptor = os.open(self._path(key), os.O_RDONLY)
        except OSError:
            yield None
            return
        try:
            with suppress(OSError):  # a directory that others own is as good to read from
                os.utime(descriptor)
            yield descriptor
        finally:
            os.close(descriptor)

    def fetch(self, key: str, stopping: threading.Event) -> None:
        """Make a copy, unless there is one, or a process is at it, or there is no room for it.

        Gives up between two requests once `stopping` is set. Raises as the store does.
        """
        if self._limit == 0:
            return
        try:
            self._notice_deletion()
            self._fetch(key, stopping)
        except OSError as error:
            self._give_up(error)

    def drop(self, key: str) -> None:
        """Forget the copy."""
        with suppress(OSError), self._eviction():
            Path(self._path(key)).unlink(missing_ok=True)

    def _path(self, key: str) -> str:
        """A string, because making a `Path` takes as long as reading a window's bytes."""
        return f"{self._directory_name}/{key.rpartition('/')[2]}"

    def _prepare(self) -> None:
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            self._is_made = True
            for left in self._directory.glob(f"{_FETCHING}*"):
                with self._claimed(left):
                    """Whoever held it is dead: what is claimed goes at the end."""
        except OSError as error:
            self._give_up(error)

    def _fetch(self, key: str, stopping: threading.Event) -> None:
        path = Path(self._path(key))
        with self._claimed(self._directory / f"{_FETCHING}{path.name}") as directory:
            if directory is None or path.exists():
                return
            found = self._store.head(key)
            staged = directory / path.name
            if found is None or not self._reserve(staged, found.size_bytes):
                return
            with staged.open("r+b") as file:
                for offset in range(0, found.size_bytes, _CHUNK_BYTES):
                    if stopping.is_set():
                        return
                    length = min(_CHUNK_BYTES, found.size_bytes - offset)
                    file.write(self._store.get_range(key, offset, length))
            staged.replace(path)

    @contextmanager
    def _claimed(self, directory: Path) -> Iterator[Path | None]:
        """That directory, locked and gone at the end; None where another process has it."""
        directory.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            if not _locked(descriptor):
                yield None
                return
            try:
                yield directory
            finally:
                shutil.rmtree(directory, ignore_errors=True)
        finally:
            os.close(descriptor)

    def _reserve(self, staged: Path, size_bytes: int) -> bool:
        """Make room, and an empty file of that size, so that others count it; or False."""
        if size_bytes > self._limit:
            return False
        with self._eviction():
            files = self._files()
            used = sum(status.st_size for status, _ in files)
            for status, path in sorted(files, key=lambda one: one[0].st_mtime):
                if used + size_bytes <= self._limit:
                    break
                if path.parent == self._directory:
                    path.unlink(missing_ok=True)
                    used -= status.st_size
            with staged.open("wb") as file:
                file.truncate(size_bytes)
        return True

    def _files(self) -> list[tuple[os.stat_result, Path]]:
        """All that takes room, also what is being fetched."""
        found = []
        for path in self._directory.iterdir():
            name = path.name
            if name == _EVICTION_LOCK:
                continue  # evicted, it would lock nobody out
            held = path / name.removeprefix(_FETCHING) if name.startswith(_FETCHING) else path
            with suppress(FileNotFoundError):  # whoever fetched it has just finished
                found.append((held.stat(), held))
        return found

    @contextmanager
    def _eviction(self) -> Iterator[None]:
        """Whoever makes or takes room holds this."""
        descriptor = os.open(self._directory / _EVICTION_LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _notice_deletion(self) -> None:
        if self._is_made and not self._directory.is_dir():
            self._warn_once(
                "deleted",
                f"{self._directory} was deleted while in use: it is made again, and its shards are "
                "fetched again; leave it until training ends, or set execution.cache_bytes to 0",
            )
            self._directory.mkdir(parents=True, exist_ok=True)

    def _give_up(self, error: OSError) -> None:
        """Go on without the copy that could not be made; `error` says why."""
        reason = error.strerror or str(error)
        if error.errno in _FULL:
            with suppress(OSError):
                self._limit = sum(status.st_size for status, _ in self._files())
            self._warn_once(
                "full",
                f"{self._directory} cannot hold more than {self._limit / 1e6:,.0f} MB of shards "
                f"({reason}): the other clips are read from the store, one by one; make room on "
                "that disk, or set XDG_CACHE_HOME to another directory",
            )
        elif isinstance(error, FileNotFoundError) and self._is_made:
            self._notice_deletion()
        else:
            self._limit = 0
            self._warn_once(
                "unusable",
                f"shards cannot be kept in {self._directory} ({reason}): clips are read from the "
                "store, one by one; give this user the right to write there, or set "
                "XDG_CACHE_HOME to another directory",
            )

    def _warn_once(self, kind: str, message: str) -> None:
        if kind not in self._warned:
            self._warned.add(kind)
            self._warn(message)


def _locked(directory: int) -> bool:
    """Lock an open directory, unless another process has it, or removed it meanwhile."""
    try:
        fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return os.fstat(directory).st_nlink > 0
