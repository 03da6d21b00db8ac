"""A source's bytes: on this machine for as long as they are read, and told apart by their hash."""

import hashlib
import os
import shutil
import stat
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from io import FileIO
from pathlib import Path, PurePosixPath

from videogen.config.sections import StorageConfig
from videogen.data.video.unusable import UnusableSourceError
from videogen.errors import ObjectMissingError
from videogen.ingest.sources.s3_listing import open_bucket, s3_fingerprint
from videogen.ingest.sources.sequences import gaps
from videogen.ingest.sources.source import (
    FILE,
    GONE,
    S3,
    Source,
    fingerprint_of_members,
    local_fingerprint,
    path_of,
    what_it_is,
)
from videogen.storage.base import ObjectStore

Local = Path | tuple[Path, ...]
"""A file, or a sequence's images in order: what `VideoReader` takes."""

_THREADS = 8
_VANISHED = "it was listed and is gone"
_CHANGED = "it changed while it was read"


@contextmanager
def local_copy(source: Source, storage: StorageConfig, directory: Path) -> Iterator[Local]:
    """The source on this machine; from S3 it is fetched whole to `directory`, and removed again.

    Raises `UnusableSourceError` where the listing told of a problem, where frames of a sequence are
    missing, and where it is not, or no longer, what was listed: on entering, and on leaving too, so
    whatever was made of it inside does not count. Raises `StorageError` where S3 cannot be reached.
    """
    if source.problem is not None:
        raise UnusableSourceError("unreadable", source.shown, source.problem)
    missing = gaps(source.members)
    if missing is not None:
        raise UnusableSourceError("missing frames", source.shown, missing)
    if source.uri.startswith(FILE):
        with _unchanged(source):
            paths = tuple(map(path_of, source.member_uris))
            yield paths if source.members else paths[0]
        return
    inside = directory / f"source-{hashlib.sha256(source.uri.encode()).hexdigest()[:16]}"
    try:
        paths = _fetch(source, storage, inside)
        yield paths if source.members else paths[0]
    finally:
        shutil.rmtree(inside, ignore_errors=True)


def hash_file(local: Local) -> str:
    """sha256 as hex of a file's bytes, or of the digests of a sequence's images in order.

    Raises `UnusableSourceError` for what is not a readable, non-empty file.
    """
    if isinstance(local, Path):
        return _digest_of_file(local).hex()
    told = hashlib.sha256(b"image sequence\n")
    for path in local:
        told.update(_digest_of_file(path))
    return told.hexdigest()


def _digest_of_file(path: Path) -> bytes:
    try:
        with _open(path) as file:
            if os.fstat(file.fileno()).st_size == 0:
                raise UnusableSourceError("zero-byte", str(path), "the file has no content")
            return hashlib.file_digest(file, "sha256").digest()
    except FileNotFoundError as error:
        raise UnusableSourceError("vanished", str(path), _VANISHED) from error
    except OSError as error:
        raise UnusableSourceError("unreadable", str(path), error.strerror or str(error)) from error


def _open(path: Path) -> FileIO:
    """Never waits: a named pipe is refused before, and after where it took a file's place."""
    _check_regular(os.stat(path), path)  # noqa: PTH116 - opening a device may do things
    file = FileIO(path, opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK))
    try:
        _check_regular(os.fstat(file.fileno()), path)
    except UnusableSourceError:
        file.close()
        raise
    return file


def _check_regular(status: os.stat_result, path: Path) -> None:
    if not stat.S_ISREG(status.st_mode):
        detail = f"{what_it_is(status.st_mode)}, not a regular file"
        raise UnusableSourceError("unreadable", str(path), detail)


@contextmanager
def _unchanged(source: Source) -> Iterator[None]:
    """Holds what is made of a file inside to what was listed; so much for what is wrong with it."""
    _check_fingerprint(source)
    try:
        yield
    except UnusableSourceError:
        _check_fingerprint(source)
        raise
    _check_fingerprint(source)


def _check_fingerprint(source: Source) -> None:
    found = [_fingerprint_of_path(path_of(uri)) for uri in source.member_uris]
    if GONE in found:
        is_link = os.path.islink(path_of(source.uri))  # noqa: PTH114 - raises nothing
        detail = "a link to what is not there" if is_link else _VANISHED
        raise UnusableSourceError("vanished", source.shown, detail)
    if _whole(source, found) != source.fingerprint:
        raise UnusableSourceError("vanished", source.shown, _CHANGED)


def _fingerprint_of_path(path: Path) -> str:
    try:
        return local_fingerprint(os.stat(path))  # noqa: PTH116 - raises OSError alone
    except OSError:
        return GONE


def _fetch(source: Source, storage: StorageConfig, inside: Path) -> tuple[Path, ...]:
    bucket, _, key = source.uri.removeprefix(S3).partition("/")
    store = open_bucket(bucket, storage)
    folder = key[: key.rfind("/") + 1]
    keys = [folder + name for name in source.members] if source.members else [key]
    paths = tuple(
        inside / f"{number:08}{PurePosixPath(one).suffix.lower()}"
        for number, one in enumerate(keys)
    )
    try:
        with ThreadPoolExecutor(min(_THREADS, len(keys))) as threads:
            found = tuple(threads.map(lambda key, path: _fetch_one(store, key, path), keys, paths))
    except ObjectMissingError as error:
        raise UnusableSourceError("vanished", source.shown, _VANISHED) from error
    if _whole(source, found) != source.fingerprint:
        raise UnusableSourceError("vanished", source.shown, _CHANGED)
    return paths


def _whole(source: Source, found: Sequence[str]) -> str:
    """The fingerprint of a source from those of what it consists of."""
    if not source.members:
        return found[0]
    return fingerprint_of_members(zip(source.members, found, strict=True))


def _fetch_one(store: ObjectStore, key: str, path: Path) -> str:
    """Download an object; its fingerprint afterwards."""
    store.download(key, path)
    return s3_fingerprint(store.head(key))
