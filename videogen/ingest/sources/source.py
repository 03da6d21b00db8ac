"""One raw video: its name, its size, and what tells that it changed."""

import hashlib
import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote_to_bytes

from videogen.data.video.unusable import shown

FILE = "file://"
S3 = "s3://"
GONE = "gone"
"""Fingerprint of what cannot be looked at."""


@dataclass(frozen=True, slots=True)
class Source:
    """A video file, or a sequence of numbered images."""

    uri: str
    """`file:///…`, percent-encoded, or `s3://bucket/key`; `…/shot_*.png` for a sequence."""
    label: str | None
    """Name of the first folder below the directory or prefix that the config names."""
    size_bytes: int
    fingerprint: str
    """Changes when the content may have: size and modification time, or ETag."""
    members: tuple[str, ...] = ()
    """Names of a sequence's images in its folder, in order; empty for a file."""
    problem: str | None = None
    """Why it cannot be read, where listing it told."""

    @property
    def shown(self) -> str:
        """The path or URI, for people, on one line."""
        return shown(path_of(self.uri) if self.uri.startswith(FILE) else self.uri)

    @property
    def member_uris(self) -> tuple[str, ...]:
        """URIs of what is to be read, in order: of the file, or of a sequence's images."""
        if not self.members:
            return (self.uri,)
        folder = self.uri[: self.uri.rfind("/") + 1]
        if folder.startswith(FILE):
            return tuple(path_of(folder).joinpath(name).as_uri() for name in self.members)
        return tuple(folder + name for name in self.members)


def path_of(uri: str) -> Path:
    """The path of a `file://` URI, whatever bytes its name has."""
    return Path(os.fsdecode(unquote_to_bytes(uri.removeprefix(FILE))))


def sequence_uri(folder: str, first: str, prefix: str) -> str:
    """What a sequence is called: its folder's URI, and its names with a star for the number.

    In a `file://` URI a star of a real name is percent-encoded, so no file is called the same.
    """
    ending = first.rpartition(".")[2]
    if folder.startswith(FILE):
        start = Path("/", prefix + "x").as_uri().removeprefix(f"{FILE}/").removesuffix("x")
        ending = Path("/", ending).as_uri().removeprefix(f"{FILE}/")
    else:
        start = prefix
    return f"{folder}{start}*.{ending}"


def local_fingerprint(status: os.stat_result) -> str:
    """Of a file by its size and modification time."""
    return f"{status.st_size}-{status.st_mtime_ns}"


def fingerprint_of_members(fingerprints: Iterable[tuple[str, str]]) -> str:
    """Of a sequence, from the names and fingerprints of its images."""
    told = hashlib.sha256()
    for name, fingerprint in fingerprints:
        told.update(os.fsencode(f"{name}\0{fingerprint}\n"))
    return f"sequence-{told.hexdigest()[:32]}"


def what_it_is(mode: int) -> str:
    """A word for what is not a regular file."""
    kinds = {
        stat.S_IFDIR: "a directory",
        stat.S_IFIFO: "a named pipe",
        stat.S_IFSOCK: "a socket",
        stat.S_IFBLK: "a device",
        stat.S_IFCHR: "a device",
    }
    return kinds.get(stat.S_IFMT(mode), "no regular file")
