"""Where raw videos are: from what the config names to a list of files, in one fixed order."""

import glob
import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import unquote_to_bytes

from videogen.config.sections import StorageConfig
from videogen.data.unusable import UnusableSourceError, shown
from videogen.data.video_io import VIDEO_EXTENSIONS
from videogen.errors import ConfigError, ObjectMissingError, SourceError
from videogen.storage.base import ObjectStore
from videogen.storage.connect import open_store

_FILE = "file://"
_S3 = "s3://"
_GONE = "gone"


@dataclass(frozen=True)
class Source:
    """One raw video."""

    uri: str
    """`file:///…`, percent-encoded, or `s3://bucket/key`."""
    label: str | None
    """Name of the first folder below the directory or prefix that the config names."""
    size_bytes: int
    fingerprint: str
    """Changes when the content may have: size and modification time, or ETag."""

    @property
    def shown(self) -> str:
        """The path or URI, for people, on one line."""
        return shown(_path(self.uri) if self.uri.startswith(_FILE) else self.uri)


def list_sources(asked: Sequence[str], storage: StorageConfig) -> tuple[Source, ...]:
    """All videos below files, directories, globs and `s3://` prefixes, each once, sorted by URI.

    Directories are searched through, symbolic links too; hidden entries and files that are not
    video by their extension are left out, unless the config names the file itself. Raises
    `ConfigError` where nothing is asked for, and `SourceError` naming what is not there or holds no
    video.
    """
    if not asked:
        raise ConfigError(
            "ingest.sources is empty: give files, directories, globs or s3:// prefixes, "
            "as in --set ingest.sources=[DIR]"
        )
    found: dict[str, Source] = {}
    for name in asked:
        below = _list_s3(name, storage) if name.startswith(_S3) else _list_local(name)
        for source in below:
            found.setdefault(source.uri, source)
    return tuple(found[uri] for uri in sorted(found))


@contextmanager
def local_copy(source: Source, storage: StorageConfig, directory: Path) -> Iterator[Path]:
    """The source as a local file; one from S3 is fetched to `directory` and removed again.

    Raises `UnusableSourceError` where it is gone, `StorageError` where S3 cannot be reached.
    """
    if source.uri.startswith(_FILE):
        yield _path(source.uri)
        return
    bucket, _, key = source.uri.removeprefix(_S3).partition("/")
    path = directory / f"source{PurePosixPath(key).suffix.lower()}"
    try:
        _bucket(bucket, storage).download(key, path)
    except ObjectMissingError as error:
        raise UnusableSourceError("vanished", source.uri, "it was listed and is gone") from error
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


def hash_file(path: Path) -> str:
    """sha256, as hex. Raises `UnusableSourceError` for what is not a readable, non-empty file."""
    name = str(path)
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise UnusableSourceError("unreadable", name, "not a regular file")
        if status.st_size == 0:
            raise UnusableSourceError("zero-byte", name, "the file has no content")
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError as error:
        raise UnusableSourceError("vanished", name, "it was listed and is gone") from error
    except OSError as error:
        raise UnusableSourceError("unreadable", name, error.strerror or str(error)) from error


def _list_local(name: str) -> list[Source]:
    path = Path(os.path.abspath(os.path.expanduser(name)))  # noqa: PTH100, PTH111 - takes `..` out
    if path.is_dir():
        found = list(_walk(path))
        if not found:
            raise SourceError(
                f"source {shown(name)!r}: no video in this directory or below (known are "
                f"{', '.join(sorted(VIDEO_EXTENSIONS))}); check ingest.sources"
            )
        return found
    if os.path.lexists(path):
        return [_local(path, None)]
    if not glob.has_magic(name):
        raise SourceError(f"source {shown(name)!r} does not exist: check ingest.sources")
    return _list_glob(name, str(path))


def _list_glob(name: str, pattern: str) -> list[Source]:
    matches = sorted(map(Path, glob.glob(pattern, recursive=True)))  # noqa: PTH207 - it is absolute
    found: list[Source] = []
    for match in matches:
        if match.is_dir():
            found += _walk(match)
        elif _is_video(match):
            found.append(_local(match, None))
    if not found:
        raise SourceError(
            f"source {shown(name)!r} matches {len(matches)} files, none of them video: "
            "check ingest.sources"
        )
    return found


def _walk(root: Path) -> Iterator[Source]:
    """Videos below a directory; one that is reached again through a link is not entered again."""
    entered: set[tuple[int, int]] = set()
    for parent, directories, files in os.walk(root, followlinks=True, onerror=_refuse):
        status = os.stat(parent)  # noqa: PTH116 - a name with surrogates is fine here
        identity = (status.st_dev, status.st_ino)
        if identity in entered:
            directories.clear()
            continue
        entered.add(identity)
        directories[:] = sorted(name for name in directories if not name.startswith("."))
        for name in sorted(files):
            path = Path(parent, name)
            if not name.startswith(".") and _is_video(path):
                inner = path.relative_to(root).parts[:-1]
                yield _local(path, shown(inner[0]) if inner else None)


def _refuse(error: OSError) -> None:
    raise SourceError(
        f"directory {shown(str(error.filename))} cannot be listed: {error.strerror}: "
        "give this user the right to read it, or leave it out of ingest.sources"
    ) from error


def _is_video(path: Path) -> bool:
    if path.suffix.lower() not in VIDEO_EXTENSIONS:
        return False
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except OSError:
        return True  # a dangling link is a source that cannot be used, and is reported as such


def _local(path: Path, label: str | None) -> Source:
    uri = path.as_uri()
    try:
        status = path.stat()
    except OSError:
        return Source(uri, label, 0, _GONE)
    return Source(uri, label, status.st_size, f"{status.st_size}-{status.st_mtime_ns}")


def _path(uri: str) -> Path:
    return Path(os.fsdecode(unquote_to_bytes(uri.removeprefix(_FILE))))


def _list_s3(name: str, storage: StorageConfig) -> list[Source]:
    bucket, _, prefix = name.removeprefix(_S3).partition("/")
    found = []
    for entry in _bucket(bucket, storage).list(prefix):
        if PurePosixPath(entry.key).suffix.lower() not in VIDEO_EXTENSIONS:
            continue
        base = f"{prefix}/" if entry.key.startswith(f"{prefix}/") else prefix
        inner = entry.key[base.rfind("/") + 1 :].split("/")[:-1]
        found.append(
            Source(
                uri=f"{_S3}{bucket}/{entry.key}",
                label=inner[0] if inner else None,
                size_bytes=entry.size_bytes,
                fingerprint=f"{entry.size_bytes}-{entry.etag}",
            )
        )
    if not found:
        raise SourceError(f"source {shown(name)!r} holds no video: check ingest.sources")
    return found


def _bucket(bucket: str, storage: StorageConfig) -> ObjectStore:
    return open_store(StorageConfig(root=f"{_S3}{bucket}", endpoint_url=storage.endpoint_url))
