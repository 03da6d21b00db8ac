"""Directories in the store that are real only with their `MANIFEST.json`, which is written last.

The manifest holds the sha256 and size of each file; whoever refers to such a directory keeps the
sha256 of the manifest, so every byte that is read back is checked against the reference.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from videogen.errors import CorruptObjectError, ObjectMissingError
from videogen.storage.base import ObjectStore

MANIFEST = "MANIFEST.json"
FORMAT_VERSION = 1
_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class FileDigest:
    """What a manifest says of one file."""

    sha256: str
    size_bytes: int

    @classmethod
    def of(cls, path: Path) -> "FileDigest":
        """Of a local file."""
        digest = hashlib.sha256()
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                digest.update(chunk)
        return cls(digest.hexdigest(), path.stat().st_size)

    @classmethod
    def of_bytes(cls, data: bytes) -> "FileDigest":
        """Of what a file holds."""
        return cls(hashlib.sha256(data).hexdigest(), len(data))


def publish(store: ObjectStore, prefix: str, directory: Path) -> str:
    """Upload every file below a local directory, then the manifest; the manifest's sha256."""
    names = sorted(
        path.relative_to(directory).as_posix() for path in directory.rglob("*") if path.is_file()
    )
    files = {}
    for name in names:
        store.upload(f"{prefix}/{name}", directory / name)
        digest = FileDigest.of(directory / name)
        files[name] = {"sha256": digest.sha256, "size_bytes": digest.size_bytes}
    document = {"format_version": FORMAT_VERSION, "files": files}
    data = json.dumps(document, indent=1, sort_keys=True).encode()
    store.put(f"{prefix}/{MANIFEST}", data)
    return hashlib.sha256(data).hexdigest()


def read_manifest(store: ObjectStore, prefix: str, sha256: str) -> dict[str, FileDigest]:
    """The files of a published directory, by name.

    Raises `CorruptObjectError` where the manifest is missing, is not the one that `sha256` names,
    or is of a newer format.
    """
    key = f"{prefix}/{MANIFEST}"
    try:
        data = store.get(key).data
    except ObjectMissingError as error:
        raise CorruptObjectError(f"{store.root}/{key}: the manifest is missing") from error
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise CorruptObjectError(f"{store.root}/{key}: sha256 is {found}, expected {sha256}")
    document = json.loads(data)
    if document["format_version"] > FORMAT_VERSION:
        raise CorruptObjectError(
            f"{store.root}/{key}: format {document['format_version']} is newer than this videogen "
            f"reads ({FORMAT_VERSION}); update videogen"
        )
    return {_checked(name, key): FileDigest(**entry) for name, entry in document["files"].items()}


def fetch(
    store: ObjectStore, prefix: str, sha256: str, directory: Path, *, below: str = ""
) -> None:
    """Download the files whose names start with `below` into a directory, each verified.

    Raises `CorruptObjectError`, which names the object, where one is missing or differs from the
    manifest, or the manifest from its sha256.
    """
    for name, expected in read_manifest(store, prefix, sha256).items():
        if not name.startswith(below):
            continue
        key, path = f"{prefix}/{name}", directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            store.download(key, path)
        except ObjectMissingError as error:
            raise CorruptObjectError(f"{store.root}/{key}: missing, but in the manifest") from error
        found = FileDigest.of(path)
        if found != expected:
            raise CorruptObjectError(
                f"{store.root}/{key}: {found.size_bytes} bytes with sha256 {found.sha256}, but the "
                f"manifest says {expected.size_bytes} with {expected.sha256}"
            )


def _checked(name: str, key: str) -> str:
    parts = PurePosixPath(name).parts
    if not parts or parts[0] == "/" or ".." in parts:
        raise CorruptObjectError(f"{key}: {name!r} is not a name of a file below it")
    return name
