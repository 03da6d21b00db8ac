"""Videos and image sequences on disk: below directories, by globs, by name.

Nothing that looks like a video by its name is passed over: what is no readable file comes out as a
source with its problem. Hidden entries, and files that are neither videos nor numbered images, are
left out, as are images in a folder that holds videos: those are its thumbnails.
"""

import errno
import glob
import os
import stat
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from videogen.data.video.reader import VIDEO_EXTENSIONS
from videogen.data.video.unusable import shown
from videogen.errors import SourceError
from videogen.ingest.sources.sequences import (
    HEADER_BYTES,
    IMAGE_EXTENSIONS,
    Numbered,
    extension,
    is_animated_webp,
    split,
)
from videogen.ingest.sources.source import (
    GONE,
    Source,
    fingerprint_of_members,
    local_fingerprint,
    sequence_uri,
    what_it_is,
)


def list_local(name: str) -> Iterator[Source]:
    """What a file, directory or glob stands for. Raises `SourceError` where nothing is there."""
    path = Path(os.path.abspath(os.path.expanduser(name)))  # noqa: PTH100, PTH111 - takes `..` out
    if os.path.isdir(path):  # noqa: PTH112 - Path's raises where a parent cannot be entered
        yield from _Walk(path).sources()
    elif os.path.lexists(path):
        yield _file(path, None)
    elif glob.has_magic(name):
        yield from _matches(str(path))
    else:
        raise SourceError(f"source {shown(name)!r} does not exist: check ingest.sources")


def _matches(pattern: str) -> Iterator[Source]:
    images: dict[Path, list[str]] = {}
    for match in map(Path, glob.iglob(pattern, recursive=True)):  # noqa: PTH207 - it is absolute
        if os.path.isdir(match):  # noqa: PTH112 - as above
            yield from _Walk(match).sources()
        elif _is_video(match.name):
            yield _file(match, None)
        elif extension(match.name) in IMAGE_EXTENSIONS:
            images.setdefault(match.parent, []).append(match.name)
    for folder, names in images.items():
        numbered, alone = split(names, (), lambda name: _is_animated(folder / name))  # noqa: B023 - used at once
        yield from (_sequence(folder, one, None) for one in numbered)
        yield from (_file(folder / name, None) for name in alone)


class _Walk:
    """One directory and what is below; each directory is entered once, however it is linked to."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._entered: set[tuple[int, int]] = set()
        self._directories = deque([root])
        self._links: deque[Path] = deque()  # after all others, so that names do not hang on links

    def sources(self) -> Iterator[Source]:
        """As they are found."""
        while self._directories or self._links:
            yield from self._enter((self._directories or self._links).popleft())

    def _enter(self, folder: Path) -> Iterator[Source]:
        below = folder.relative_to(self._root).parts
        label = shown(below[0]) if below else None
        names: list[str] = []
        try:
            if self._was_entered(folder):
                return
            with os.scandir(folder) as entries:
                names = [entry.name for entry in entries if not self._queue(entry)]
        except OSError as error:
            yield _problem(folder, label, f"a directory that cannot be listed: {error.strerror}")
        videos = [name for name in names if _is_video(name)]
        for name in videos:
            yield _file(folder / name, label)
        images = [name for name in names if extension(name) in IMAGE_EXTENSIONS]
        stems = {Path(name).stem for name in videos} if images else set()
        numbered, alone = split(images, stems, lambda name: _is_animated(folder / name))
        for one in numbered:
            # The folder of a sequence stands for a file, and so gives no label.
            yield _sequence(folder, one, label if len(below) > 1 else None)
        for name in alone:
            yield _file(folder / name, label)

    def _was_entered(self, folder: Path) -> bool:
        status = os.stat(folder)  # noqa: PTH116 - raises OSError alone
        identity = (status.st_dev, status.st_ino)
        if identity in self._entered:
            return True
        self._entered.add(identity)
        return False

    def _queue(self, entry: os.DirEntry[str]) -> bool:
        """Whether this is hidden, or a directory that is entered later and not itself a source."""
        if entry.name.startswith("."):
            return True
        try:
            is_directory = entry.is_dir()
        except OSError:  # a link in a circle
            return False
        if is_directory:
            (self._links if entry.is_symlink() else self._directories).append(Path(entry))
        return is_directory and not (_is_video(entry.name) and _is_empty(entry))


def _is_empty(directory: os.DirEntry[str]) -> bool:
    try:
        with os.scandir(directory) as entries:
            return next(entries, None) is None
    except OSError:
        return False


def _is_video(name: str) -> bool:
    return extension(name) in VIDEO_EXTENSIONS and extension(name) not in IMAGE_EXTENSIONS


def _is_animated(path: Path) -> bool:
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # noqa: PTH116 - raises OSError alone
            return False
        with path.open("rb") as file:
            return is_animated_webp(file.read(HEADER_BYTES))
    except OSError:
        return False  # told when it is read


def _file(path: Path, label: str | None) -> Source:
    try:
        status = os.stat(path)  # noqa: PTH116 - raises OSError alone
    except FileNotFoundError:
        return Source(path.as_uri(), label, 0, GONE)
    except OSError as error:
        is_circle = error.errno == errno.ELOOP
        said = "a link that leads back to itself" if is_circle else error.strerror or str(error)
        return _problem(path, label, said)
    if not stat.S_ISREG(status.st_mode):
        return _problem(path, label, f"{what_it_is(status.st_mode)}, not a file")
    return Source(path.as_uri(), label, status.st_size, local_fingerprint(status))


def _sequence(folder: Path, numbered: Numbered, label: str | None) -> Source:
    images = [_file(folder / name, None) for name in numbered.members]
    named = list(zip(numbered.members, images, strict=True))
    problems = (f"{shown(name)}: {image.problem}" for name, image in named if image.problem)
    return Source(
        uri=sequence_uri(f"{folder.as_uri()}/", numbered.members[0], numbered.prefix),
        label=label,
        size_bytes=sum(image.size_bytes for image in images),
        fingerprint=fingerprint_of_members((name, image.fingerprint) for name, image in named),
        members=numbered.members,
        problem=next(problems, None),
    )


def _problem(path: Path, label: str | None, said: str) -> Source:
    return Source(path.as_uri(), label, 0, GONE, problem=said)
