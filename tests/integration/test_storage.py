"""One contract for every object store: it runs over a directory and over a real S3 server."""

import threading
from pathlib import Path

import pytest

from videogen.errors import ObjectMissingError, PreconditionFailedError, StorageError
from videogen.storage.base import ObjectStore
from videogen.storage.local import LocalStore

pytestmark = pytest.mark.integration


@pytest.fixture(params=["local", "s3"])
def store(request: pytest.FixtureRequest) -> ObjectStore:
    if request.param == "s3":
        return request.getfixturevalue("s3_store")
    return LocalStore(Path(request.getfixturevalue("local_root")))


def test_what_was_put_is_read_back_with_its_etag(store: ObjectStore) -> None:
    etag = store.put("a/b.bin", b"\x00\xff bytes")

    stored = store.get("a/b.bin")

    assert stored.data == b"\x00\xff bytes"
    assert stored.etag == etag


def test_an_empty_object_is_an_object(store: ObjectStore) -> None:
    etag = store.put("empty", b"")

    assert store.get("empty").data == b""
    info = store.head("empty")
    assert info is not None
    assert (info.size_bytes, info.etag) == (0, etag)


def test_head_get_and_list_agree_on_size_and_etag(store: ObjectStore) -> None:
    for size in (10, 3 << 20):
        store.put(f"sizes/{size}", bytes(size))

    listed = list(store.list("sizes/"))

    assert [store.head(info.key) for info in listed] == listed
    assert [store.get(info.key).etag for info in listed] == [info.etag for info in listed]
    assert {info.key: info.size_bytes for info in listed} == {
        "sizes/10": 10,
        "sizes/3145728": 3 << 20,
    }


def test_a_missing_object_is_named_with_the_root(store: ObjectStore, tmp_path: Path) -> None:
    assert store.head("no/such") is None
    for read in (
        lambda: store.get("no/such"),
        lambda: store.get_range("no/such", 0, 1),
        lambda: store.download("no/such", tmp_path / "x" / "file"),
    ):
        with pytest.raises(ObjectMissingError) as caught:
            read()
        assert "'no/such'" in str(caught.value)
        assert store.root in str(caught.value)
    assert not (tmp_path / "x" / "file").exists()


def test_a_prefix_of_keys_is_no_object(store: ObjectStore) -> None:
    store.put("dir/object", b"x")

    assert store.head("dir") is None
    with pytest.raises(ObjectMissingError):
        store.get("dir")
    with pytest.raises(ObjectMissingError):
        store.get("dir/object/below")


def test_put_replaces(store: ObjectStore) -> None:
    first = store.put("key", b"1")
    second = store.put("key", b"2")

    assert first != second
    assert store.get("key").data == b"2"


def test_ranges_are_exact(store: ObjectStore) -> None:
    store.put("digits", b"0123456789")

    assert store.get_range("digits", 3, 4) == b"3456"
    assert store.get_range("digits", 9, 1) == b"9"
    assert store.get_range("digits", 0, 0) == b""


@pytest.mark.parametrize(("offset", "length"), [(8, 4), (10, 1), (99, 1)])
def test_a_range_beyond_the_end_is_an_error(store: ObjectStore, offset: int, length: int) -> None:
    store.put("digits", b"0123456789")

    with pytest.raises(StorageError, match="digits"):
        store.get_range("digits", offset, length)


def test_put_if_absent_wins_once(store: ObjectStore) -> None:
    etag = store.put_if_absent("pointer", b"first")

    with pytest.raises(PreconditionFailedError, match="pointer"):
        store.put_if_absent("pointer", b"second")
    assert store.get("pointer").data == b"first"
    assert store.get("pointer").etag == etag


def test_put_if_absent_loses_against_the_same_bytes_too(store: ObjectStore) -> None:
    store.put("pointer", b"same")

    with pytest.raises(PreconditionFailedError):
        store.put_if_absent("pointer", b"same")


def test_put_if_match_replaces_that_version_alone(store: ObjectStore) -> None:
    first = store.put("pointer", b"1")
    second = store.put_if_match("pointer", b"2", first)

    with pytest.raises(PreconditionFailedError, match="pointer"):
        store.put_if_match("pointer", b"3", first)
    store.put_if_match("pointer", b"4", second)
    assert store.get("pointer").data == b"4"


def test_put_if_match_of_an_object_that_is_gone_loses(store: ObjectStore) -> None:
    etag = store.put("pointer", b"1")
    store.delete("pointer")

    with pytest.raises(PreconditionFailedError):
        store.put_if_match("pointer", b"2", etag)
    assert store.head("pointer") is None


def test_of_racing_writers_exactly_one_creates(store: ObjectStore) -> None:
    winners = _race(8, lambda name: store.put_if_absent("race", name))

    assert len(winners) == 1
    assert store.get("race").data == winners[0]


def test_of_racing_writers_exactly_one_replaces(store: ObjectStore) -> None:
    etag = store.put("race", b"before")

    winners = _race(8, lambda name: store.put_if_match("race", name, etag))

    assert len(winners) == 1
    assert store.get("race").data == winners[0]


def test_increments_by_if_match_lose_none(store: ObjectStore) -> None:
    store.put("counter", b"0")

    def increment(_: bytes) -> str:
        while True:
            current = store.get("counter")
            try:
                value = str(int(current.data) + 1).encode()
                return store.put_if_match("counter", value, current.etag)
            except PreconditionFailedError:
                continue

    _race(6, increment)

    assert store.get("counter").data == b"6"


def _race(num_writers: int, write: object) -> list[bytes]:
    barrier = threading.Barrier(num_writers)
    winners: list[bytes] = []

    def run(name: bytes) -> None:
        barrier.wait()
        try:
            write(name)  # type: ignore[operator]
        except PreconditionFailedError:
            return
        winners.append(name)

    threads = [
        threading.Thread(target=run, args=(f"writer {i}".encode(),)) for i in range(num_writers)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    return winners


@pytest.mark.parametrize("size", [0, 1000, 40 << 20])
def test_a_file_goes_up_and_down_unchanged(store: ObjectStore, tmp_path: Path, size: int) -> None:
    source, target = tmp_path / "source", tmp_path / "new directory" / "target"
    source.write_bytes((bytes(range(256)) * (size // 256 + 1))[:size])

    store.upload("files/big", source)
    store.download("files/big", target)

    assert target.read_bytes() == source.read_bytes()
    assert [path.name for path in target.parent.iterdir()] == ["target"]
    info = store.head("files/big")
    assert info is not None
    assert info.size_bytes == size


def test_a_download_replaces_a_file_whole(store: ObjectStore, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"a longer file that was there")
    store.put("key", b"short")

    store.download("key", tmp_path / "file")

    assert (tmp_path / "file").read_bytes() == b"short"


def test_uploading_a_file_that_is_not_there_names_it(store: ObjectStore, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="no-such-file"):
        store.upload("key", tmp_path / "no-such-file")
    assert store.head("key") is None


def test_readers_never_see_half_an_object(store: ObjectStore) -> None:
    versions = [bytes([number]) * (1 << 20) for number in range(4)]
    store.put("object", versions[0])
    done = threading.Event()

    def rewrite() -> None:
        for number in range(12):
            store.put("object", versions[number % 4])
        done.set()

    writer = threading.Thread(target=rewrite)
    writer.start()
    seen = [store.get("object").data]
    while not done.is_set():
        seen.append(store.get("object").data)
    writer.join()

    assert all(data in versions for data in seen)
