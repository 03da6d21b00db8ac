"""Files that are none, and files that change: each is told, none stops the others."""

import os
import socket
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from videogen.config.sections import StorageConfig
from videogen.data.video.unusable import UnusableSourceError
from videogen.ingest.sources.fetching import hash_file, local_copy
from videogen.ingest.sources.listing import find_sources, list_sources
from videogen.ingest.sources.source import Source

NOWHERE = StorageConfig()
NOBODY = 65534


def verdicts(*asked: Path) -> dict[str, tuple[str, str] | str]:
    """By name: the sha256, or reason and detail."""
    found: dict[str, tuple[str, str] | str] = {}
    for source in list_sources([str(one) for one in asked], NOWHERE):
        name = source.shown.rpartition("/")[2]
        try:
            with local_copy(source, NOWHERE, Path()) as path:
                found[name] = hash_file(path)
        except UnusableSourceError as error:
            found[name] = (error.reason, error.detail)
    return found


@contextmanager
def as_nobody() -> Iterator[None]:
    """Root may read everything, so what is forbidden is tried as somebody else."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def open_path() -> Iterator[Path]:
    """A directory that anybody can reach, which those of pytest are not."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


def test_what_only_looks_like_a_video_is_told_and_never_waited_for(tmp_path: Path) -> None:
    (tmp_path / "good.mp4").write_bytes(b"x")
    os.mkfifo(tmp_path / "pipe.mp4")
    (tmp_path / "directory.mp4").mkdir()
    (tmp_path / "circle.mp4").symlink_to("circle.mp4")
    (tmp_path / "dangling.mp4").symlink_to("nowhere.mp4")
    (tmp_path / "zero.mp4").symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.path.relpath(tmp_path / "socket.mp4"))
    (tmp_path / "empty.mp4").touch()

    found = verdicts(tmp_path)

    assert isinstance(found.pop("good.mp4"), str)
    assert found == {
        "pipe.mp4": ("unreadable", "a named pipe, not a file"),
        "directory.mp4": ("unreadable", "a directory, not a file"),
        "circle.mp4": ("unreadable", "a link that leads back to itself"),
        "dangling.mp4": ("vanished", "a link to what is not there"),
        "zero.mp4": ("unreadable", "a device, not a file"),
        "socket.mp4": ("unreadable", "a socket, not a file"),
        "empty.mp4": ("zero-byte", "the file has no content"),
    }
    assert set(verdicts(tmp_path / "*.mp4")) == {*found, "good.mp4"} - {"directory.mp4"}


def test_a_directory_called_like_a_video_is_searched_through(tmp_path: Path) -> None:
    (tmp_path / "bundle.mov").mkdir()
    (tmp_path / "bundle.mov" / "inner.mp4").write_bytes(b"x")
    assert list(verdicts(tmp_path)) == ["inner.mp4"]


def test_what_may_not_be_read_is_told_and_the_rest_goes_on(open_path: Path) -> None:
    for name in ("open.mp4", "closed.mp4", "locked/inner.mp4", "sub/deep.mp4"):
        path = open_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x")
    (open_path / "closed.mp4").chmod(0)
    (open_path / "locked").chmod(0)
    with as_nobody():
        found = verdicts(open_path)
    (open_path / "locked").chmod(0o755)

    assert found.pop("closed.mp4") == ("unreadable", "Permission denied")
    assert found.pop("locked") == (
        "unreadable",
        "a directory that cannot be listed: Permission denied",
    )
    assert sorted(found) == ["deep.mp4", "open.mp4"]


def reading(path: Path, what_happens: Callable[[], None]) -> None:
    (source,) = _written(path)
    with local_copy(source, NOWHERE, path.parent):
        what_happens()


def refuse(path: Path) -> None:
    path.unlink()
    raise UnusableSourceError("corrupt", str(path), "half of it")


def interrupt(path: Path) -> None:
    path.unlink()
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("what_happens", "detail"),
    [
        (lambda path: path.write_bytes(b"longer"), "it changed while it was read"),
        (lambda path: os.utime(path, ns=(1, 1)), "it changed while it was read"),
        (Path.unlink, "it was listed and is gone"),
        (refuse, "it was listed and is gone"),
    ],
)
def test_a_file_that_changes_while_it_is_read_counts_as_vanished(
    tmp_path: Path, what_happens: Callable[[Path], None], detail: str
) -> None:
    path = tmp_path / "a.mp4"
    with pytest.raises(UnusableSourceError) as caught:
        reading(path, lambda: what_happens(path))
    assert (caught.value.reason, caught.value.detail) == ("vanished", detail)


def test_other_errors_inside_are_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    with pytest.raises(KeyboardInterrupt):
        reading(path, lambda: interrupt(path))


def test_a_file_that_becomes_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    os.mkfifo(path)
    answers: list[str] = []

    def read() -> None:
        try:
            hash_file(path)
        except UnusableSourceError as error:
            answers.append(error.detail)

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    thread.join(timeout=5)
    assert answers == ["a named pipe, not a regular file"]


def test_sources_come_as_they_are_found(tmp_path: Path) -> None:
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.mp4").write_bytes(b"x")
    found = find_sources([str(tmp_path / "first"), str(tmp_path / "second")], NOWHERE)
    assert next(found).label is None
    (tmp_path / "second" / "b.mp4").write_bytes(b"x")
    assert sorted(source.shown[-5:] for source in found) == ["a.mp4", "b.mp4"]


def test_directories_deeper_than_the_stack_are_searched_through(tmp_path: Path) -> None:
    home = Path.cwd()
    try:
        os.chdir(tmp_path)
        for _ in range(1200):
            os.mkdir("d")  # noqa: PTH102 - the whole path is too long for one call at the end
            os.chdir("d")
        Path("deep.mp4").write_bytes(b"x")
        os.chdir(home)
        assert list(verdicts(tmp_path)) == ["deep.mp4"]
    finally:
        os.chdir(home)
        # pytest's own removal is recursive, and would fail in a later session
        subprocess.run(["rm", "-rf", str(tmp_path / "d")], check=True)


def _written(path: Path) -> tuple[Source, ...]:
    path.write_bytes(b"x")
    return list_sources([str(path)], NOWHERE)
