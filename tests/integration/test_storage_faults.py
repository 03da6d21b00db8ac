"""A store that is having a bad day: each request is tried again, spread out, and counts once."""

import random
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from faulty_proxy import Fault, FaultyProxy

from videogen.errors import PreconditionFailedError, StorageError
from videogen.storage.s3 import S3Store

pytestmark = pytest.mark.integration
_TIMEOUT_S = 0.5
_LARGE = 33 << 20
_KINDS = {
    *("GET", "PUT", "HEAD", "DELETE", "GET list", "GET versions", "DELETE version"),
    *("POST uploads", "PUT part", "POST upload", "GET uploads", "DELETE upload"),
}


@pytest.fixture
def proxy(s3_service) -> Iterator[FaultyProxy]:
    one = FaultyProxy(int(s3_service.endpoint_url.rpartition(":")[2]))
    yield one
    one.close()


@pytest.fixture
def through(s3_service, s3_store: S3Store, proxy: FaultyProxy) -> S3Store:
    return _client(s3_service, s3_store, proxy)


def _client(s3_service, s3_store: S3Store, proxy: FaultyProxy) -> S3Store:
    return S3Store(
        s3_store.root,
        endpoint_url=f"http://127.0.0.1:{proxy.port}",
        credentials=s3_service.credentials,
        timeout_s=_TIMEOUT_S,
        page_size=2,
    )


@pytest.mark.parametrize("fault", ["500", "503", "lost answer"])
def test_every_kind_of_request_is_tried_again(
    fault: Fault, through: S3Store, s3_store: S3Store, proxy: FaultyProxy, tmp_path: Path
) -> None:
    proxy.fault_of = lambda request, number: fault if number == 1 else None
    large = random.Random(0).randbytes(_LARGE)  # noqa: S311 - any bytes do
    (tmp_path / "large").write_bytes(large)

    etag = through.put_if_absent("pointer", b"1")
    through.put_if_match("pointer", b"2", etag)
    for number in range(4):
        through.put(f"many/{number}", bytes([number]))
    through.upload("large", tmp_path / "large")
    through.download("large", tmp_path / "again")
    listed = {info.key: info.size_bytes for info in through.list("many/")}
    through.delete("many/2")
    through.purge("many/3")
    _leave_an_upload(s3_store)
    aborted = through.abort_uploads("left/", 0)

    assert through.get("pointer").data == b"2"
    assert (tmp_path / "again").read_bytes() == large
    assert through.get_range("large", 5, 1000) == large[5:1005]
    assert listed == {f"many/{number}": 1 for number in range(4)}
    assert sorted(info.key for info in s3_store.list("many/")) == ["many/0", "many/1"]
    assert aborted == 1
    head = through.head("large")
    assert head is not None
    assert head.size_bytes == _LARGE
    assert {request for request, _ in proxy.faults} >= _KINDS


def _leave_an_upload(store: S3Store) -> None:
    """What a writer that was killed leaves: parts without an object."""
    name = "/".join([*store.root.split("/")[3:], "left/big"])
    upload = store._client.create_multipart_upload(Bucket=store._bucket, Key=name)
    store._client.upload_part(
        Bucket=store._bucket, Key=name, UploadId=upload["UploadId"], PartNumber=1, Body=b"x" * 6000
    )


def test_clients_that_are_told_to_slow_down_come_back_at_different_times(
    s3_service, s3_store: S3Store, proxy: FaultyProxy
) -> None:
    proxy.fault_of = lambda request, number: "slow down" if number == 1 else None
    clients = [_client(s3_service, s3_store, proxy) for _ in range(8)]
    threads = [
        threading.Thread(target=client.put, args=(f"client-{number}", b"x"))
        for number, client in enumerate(clients)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)

    waits_s = sorted(second - first for first, second in proxy.seen.values())
    assert len(waits_s) == 8
    # A wait is a random part of 1 s, beside what the server takes; a fixed one is the same for all.
    assert waits_s[-1] - waits_s[0] > 0.1


def test_work_goes_on_where_a_quarter_of_all_requests_fail(
    through: S3Store, s3_store: S3Store, proxy: FaultyProxy
) -> None:
    draw = random.Random(0)  # noqa: S311 - repeatable faults
    faults: tuple[Fault, ...] = ("500", "503", "500", "503", "lost request", "lost answer")
    proxy.fault_of = lambda request, number: draw.choice(faults) if draw.random() < 0.25 else None

    for number in range(60):
        through.put_if_absent(f"many/{number}", str(number).encode())

    assert len(proxy.faults) > 8
    for number in range(60):
        assert s3_store.get(f"many/{number}").data == str(number).encode()


def test_a_store_that_only_fails_is_an_error_that_names_answer_and_key(
    through: S3Store, s3_store: S3Store, proxy: FaultyProxy
) -> None:
    proxy.fault_of = lambda request, number: "503"

    with pytest.raises(StorageError, match=r"answered 503 ServiceUnavailable for 'key'") as caught:
        through.put("key", b"x")

    assert not isinstance(caught.value, PreconditionFailedError)
    (attempts,) = proxy.seen.values()
    assert len(attempts) == 9
    assert s3_store.head("key") is None
