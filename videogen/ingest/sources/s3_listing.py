"""Videos and image sequences below an `s3://` prefix, read a page of keys at a time."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from videogen.config.sections import StorageConfig
from videogen.data.video.reader import VIDEO_EXTENSIONS
from videogen.errors import StorageError
from videogen.ingest.sources.sequences import (
    HEADER_BYTES,
    IMAGE_EXTENSIONS,
    Numbered,
    extension,
    is_animated_webp,
    split,
)
from videogen.ingest.sources.source import GONE, S3, Source, fingerprint_of_members, sequence_uri
from videogen.storage.base import ObjectInfo, ObjectStore
from videogen.storage.connect import open_store
from videogen.storage.keys import check_key


def open_bucket(bucket: str, storage: StorageConfig) -> ObjectStore:
    """A bucket of sources, at the endpoint where the datasets are too."""
    return open_store(StorageConfig(root=f"{S3}{bucket}", endpoint_url=storage.endpoint_url))


def list_s3(name: str, storage: StorageConfig) -> Iterator[Source]:
    """Videos as they are listed, then the image sequences, of folders without videos.

    Keys that are neither cost no memory. Raises `StorageError`.
    """
    bucket, _, prefix = name.removeprefix(S3).partition("/")
    listing = _Listing(open_bucket(bucket, storage), f"{S3}{bucket}/", prefix)
    yield from listing.sources()


@dataclass
class _Folder:
    videos: set[str] = field(default_factory=set)
    """Names without extension."""
    images: dict[str, ObjectInfo] = field(default_factory=dict)


class _Listing:
    def __init__(self, store: ObjectStore, start: str, prefix: str) -> None:
        self._store = store
        self._start = start
        self._prefix = prefix
        self._folders: dict[str, _Folder] = {}

    def sources(self) -> Iterator[Source]:
        for entry in self._store.list(self._prefix):
            folder, slash, name = entry.key.rpartition("/")
            kind = extension(name)
            if not name or self._is_hidden(entry.key):
                continue
            if kind in IMAGE_EXTENSIONS:
                self._folder(folder + slash).images[name] = entry
            elif kind in VIDEO_EXTENSIONS or entry.key == self._prefix:
                self._folder(folder + slash).videos.add(PurePosixPath(name).stem)
                yield self._file(entry)
        for path, one in self._folders.items():
            yield from self._images(path, one)

    def _folder(self, path: str) -> _Folder:
        return self._folders.setdefault(path, _Folder())

    def _below(self, key: str) -> list[str]:
        """Folders between what the config names and an object."""
        prefix = self._prefix
        base = f"{prefix}/" if key.startswith(f"{prefix}/") else prefix
        return key[base.rfind("/") + 1 :].split("/")[:-1]

    def _is_hidden(self, key: str) -> bool:
        names = (*self._below(key), key.rpartition("/")[2])
        return any(name.startswith(".") and name not in (".", "..") for name in names)

    def _file(self, entry: ObjectInfo) -> Source:
        below = self._below(entry.key)
        return Source(
            uri=self._start + entry.key,
            label=below[0] if below else None,
            size_bytes=entry.size_bytes,
            fingerprint=s3_fingerprint(entry),
            problem=self._problem(entry.key),
        )

    def _images(self, folder: str, one: _Folder) -> Iterator[Source]:
        images = one.images
        numbered, alone = split(
            tuple(images), one.videos, lambda name: self._is_animated(images[name])
        )
        for sequence in numbered:
            yield self._sequence(folder, sequence, images)
        for name in alone:
            yield self._file(images[name])

    def _sequence(self, folder: str, numbered: Numbered, images: dict[str, ObjectInfo]) -> Source:
        members = numbered.members
        below = self._below(folder)
        return Source(
            uri=sequence_uri(self._start + folder, members[0], numbered.prefix),
            label=below[0] if len(below) > 1 else None,
            size_bytes=sum(images[name].size_bytes for name in members),
            fingerprint=fingerprint_of_members(
                (name, s3_fingerprint(images[name])) for name in members
            ),
            members=members,
            problem=self._problem(images[members[0]].key),
        )

    def _is_animated(self, entry: ObjectInfo) -> bool:
        if entry.size_bytes < HEADER_BYTES or self._problem(entry.key):
            return False
        return is_animated_webp(self._store.get_range(entry.key, 0, HEADER_BYTES))

    def _problem(self, key: str) -> str | None:
        """Why a key that another program chose cannot be asked for."""
        try:
            check_key(self._store.root, key)
        except StorageError as error:
            return str(error)
        return None


def s3_fingerprint(entry: ObjectInfo | None) -> str:
    """Of an object by its size and ETag."""
    return f"{entry.size_bytes}-{entry.etag}" if entry else GONE
