"""What only the directory adapter has: its files, its lock, and a disk that refuses."""

import os
import resource
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from videogen.errors import StorageError
from videogen.storage.local import LocalStore


def files_in(directory: Path) -> list[str]:
    return sorted(
        str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file()
    )


def test_nothing_is_made_before_the_first_write(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "store")

    assert store.head("key") is None
    assert list(store.list("")) == []
    store.delete("key")

    assert not (tmp_path / "store").exists()


def test_an_object_is_a_plain_file_with_the_usual_rights(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    (tmp_path / "reference").touch()

    store.put("a/b", b"bytes")

    assert (tmp_path / "a" / "b").read_bytes() == b"bytes"
    assert _mode(tmp_path / "a" / "b") == _mode(tmp_path / "reference")


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_files_that_were_there_are_objects(tmp_path: Path) -> None:
    (tmp_path / "dir").mkdir()
    (tmp_path / "dir" / "file").write_bytes(b"x")

    assert LocalStore(tmp_path).get("dir/file").data == b"x"


def test_the_lock_is_no_object(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    store.put("key", b"x")

    assert [info.key for info in store.list("")] == ["key"]
    for key in (".store/lock", ".store/other"):
        with pytest.raises(StorageError, match=r"\.store"):
            store.put(key, b"x")


def test_directories_that_become_empty_go(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    store.put("a/b/c", b"x")
    store.put("a/d", b"x")

    store.delete("a/b/c")

    assert not (tmp_path / "a" / "b").exists()
    assert (tmp_path / "a" / "d").exists()


def test_an_etag_changes_with_the_bytes_even_where_size_and_time_do_not(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    first = store.put("key", b"1")
    before = (tmp_path / "key").stat()
    second = store.put("key", b"2")
    os.utime(tmp_path / "key", ns=(before.st_atime_ns, before.st_mtime_ns))

    assert first != second
    assert store.get("key").etag == second


@contextmanager
def _files_of_at_most(size_bytes: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_write_that_the_disk_refuses_leaves_what_was_there(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "store")
    store.put("key", b"before")
    (tmp_path / "source").write_bytes(bytes(100_000))

    with _files_of_at_most(50_000):
        for write in (
            lambda: store.put("key", bytes(100_000)),
            lambda: store.put_if_absent("new", bytes(100_000)),
            lambda: store.upload("key", tmp_path / "source"),
        ):
            with pytest.raises(StorageError) as caught:
                write()
            assert str(tmp_path / "store") in str(caught.value)
            assert "\n" not in str(caught.value)

    assert store.get("key").data == b"before"
    assert files_in(tmp_path / "store") == [".store/lock", "key"]


def test_a_root_below_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(StorageError, match=r"file/store/key.*is a file; .*storage.root"):
        LocalStore(tmp_path / "file" / "store").put("key", b"x")


@pytest.mark.parametrize(("first", "second"), [("a", "a/b"), ("a/b", "a")])
def test_a_key_below_an_object_is_refused(tmp_path: Path, first: str, second: str) -> None:
    store = LocalStore(tmp_path)
    store.put(first, b"x")

    with pytest.raises(StorageError, match="choose another key"):
        store.put(second, b"y")
    assert store.get(first).data == b"x"
    assert files_in(tmp_path) == sorted([".store/lock", first])


def test_a_name_too_long_for_a_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="shorten the key"):
        LocalStore(tmp_path).put("x" * 300, b"x")
