"""Keys, listings and removal: one contract for every store, over a directory and a real S3."""

import time
from pathlib import Path

import pytest

from videogen.errors import StorageError
from videogen.storage.base import ObjectStore
from videogen.storage.local import LocalStore

pytestmark = pytest.mark.integration


@pytest.fixture(params=["local", "s3"])
def store(request: pytest.FixtureRequest) -> ObjectStore:
    if request.param == "s3":
        return request.getfixturevalue("s3_store")
    return LocalStore(Path(request.getfixturevalue("local_root")))


def keys_below(store: ObjectStore, prefix: str) -> list[str]:
    return sorted(info.key for info in store.list(prefix))


def test_a_listing_is_whole_and_below_the_prefix(store: ObjectStore) -> None:
    keys = ["a", "a-b", "a.b", "b/1", "b/10", "b/2/x", "b/2-x", "ba", "c/é", "c/z"]
    for key in (*keys, "other/x"):
        store.put(key, b"x")

    assert keys_below(store, "") == sorted([*keys, "other/x"])
    assert keys_below(store, "b") == ["b/1", "b/10", "b/2-x", "b/2/x", "ba"]
    assert keys_below(store, "b/") == ["b/1", "b/10", "b/2-x", "b/2/x"]
    assert keys_below(store, "b/1") == ["b/1", "b/10"]
    assert keys_below(store, "nothing/") == []


def test_a_listing_may_be_left_and_deleted_from_while_it_is_read(store: ObjectStore) -> None:
    for number in range(5):
        store.put(f"d{number}/key", b"x")

    assert next(store.list("")).size_bytes == 1
    for info in store.list(""):
        store.delete(info.key)

    assert keys_below(store, "") == []


def test_children_are_the_next_segments_each_once(store: ObjectStore) -> None:
    for key in ("a/1/x", "a/1/y/z", "a/2", "a/é b/x", "b", "ab/1"):
        store.put(key, b"x")

    assert sorted(store.children("a/")) == ["1", "2", "é b"]
    assert sorted(store.children("")) == ["a", "ab", "b"]
    assert list(store.children("nothing/")) == []


def test_an_object_says_when_it_was_written(store: ObjectStore) -> None:
    before = int(time.time())
    store.put("key", b"x")
    after = time.time()

    info = store.head("key")
    assert info is not None
    assert before <= info.modified_at <= after
    assert next(store.list("key")).modified_at == info.modified_at


def test_purging_removes_that_object_alone_and_twice_is_no_error(store: ObjectStore) -> None:
    for key in ("a/key", "a/key2", "a/keys/x"):
        store.put(key, b"x")

    store.purge("a/key")
    store.purge("a/key")
    store.purge("never/was")

    assert keys_below(store, "") == ["a/key2", "a/keys/x"]


def test_deleting_twice_is_no_error(store: ObjectStore) -> None:
    store.put("dir/key", b"x")

    store.delete("dir/key")
    store.delete("dir/key")
    store.delete("never/was")

    assert list(store.list("")) == []
    store.put("dir", b"now an object")


@pytest.mark.parametrize(
    "key",
    [
        "with space",
        "quote'\"`",
        "semi;colon&amp",
        "percent%20+plus",
        "日本語/видео/🎬",
        "#?=@:",
        "x" * 200,
    ],
)
def test_any_name_is_a_key(store: ObjectStore, key: str) -> None:
    store.put(key, key.encode())

    assert store.get(key).data == key.encode()
    assert [info.key for info in store.list("")] == [key]
    assert [info.key for info in store.list(key)] == [key]


@pytest.mark.parametrize(
    "key",
    [
        "",
        "/",
        "/a",
        "a/",
        "a//b",
        ".",
        "..",
        "a/../b",
        "../a",
        "a/./b",
        "nul\0",
        "new\nline",
        "\udc80",
        "x" * 1025,
    ],
)
def test_keys_that_name_no_object_are_refused(store: ObjectStore, key: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    for use in (
        lambda: store.get(key),
        lambda: store.get_range(key, 0, 1),
        lambda: store.head(key),
        lambda: store.put(key, b"x"),
        lambda: store.put_if_absent(key, b"x"),
        lambda: store.put_if_match(key, b"x", "etag"),
        lambda: store.upload(key, tmp_path / "file"),
        lambda: store.download(key, tmp_path / "target"),
        lambda: store.delete(key),
        lambda: store.purge(key),
    ):
        with pytest.raises(StorageError, match="key"):
            use()
    assert list(store.list("")) == []


@pytest.mark.parametrize("prefix", ["../", "a//b", "a/../", "nul\0", "/"])
def test_prefixes_that_lead_out_are_refused(store: ObjectStore, prefix: str) -> None:
    with pytest.raises(StorageError):
        list(store.list(prefix))
    with pytest.raises(StorageError):
        store.abort_uploads(prefix, 0)
