"""Prefixes of a million keys, versions that a bucket keeps, and uploads that nobody finished."""

import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from paging_server import PagingServer

from videogen.storage.credentials import Credentials
from videogen.storage.local import LocalStore
from videogen.storage.s3 import S3Store

pytestmark = pytest.mark.integration


@pytest.fixture
def server() -> Iterator[PagingServer]:
    one = PagingServer(1_000_000)
    yield one
    one.close()


def test_a_listing_of_a_million_keys_is_read_as_far_as_it_is_asked_for(
    server: PagingServer,
) -> None:
    store = S3Store(
        "s3://bucket/prefix", endpoint_url=server.endpoint_url, credentials=Credentials("a", "b")
    )
    listing = store.list("videos/")
    first = next(listing)
    assert (first.key, server.pages) == ("videos/00000000.mp4", 1)

    tracemalloc.start()
    for _, info in zip(range(19_999), listing, strict=False):
        last = info
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert (last.key, last.size_bytes) == ("videos/00019999.mp4", 19_999)
    assert server.pages == 20
    # 20,000 entries would take 10 MB, parsed as boto3 holds them 40 MB; a page takes 3 MB.
    assert peak_bytes < 6e6


def test_pages_of_any_size_make_the_same_listing(s3_service, s3_store: S3Store) -> None:
    keys = [f"p/{name}" for name in ("a", "a-b", "a.b", "ab/c", "ab/d/e", "ab-x", "b", "é", "日")]
    for key in keys:
        s3_store.put(key, b"")
    for page_size in (1, 2, 4, 9, 1000):
        paged = S3Store(
            s3_store.root,
            endpoint_url=s3_service.endpoint_url,
            credentials=s3_service.credentials,
            page_size=page_size,
        )
        assert sorted(info.key for info in paged.list("p/")) == sorted(keys)


def test_purging_leaves_no_version_of_an_object_and_all_of_its_neighbours(s3_service) -> None:
    bucket = f"versioned-{uuid4().hex[:8]}"
    store = S3Store(
        f"s3://{bucket}/root",
        endpoint_url=s3_service.endpoint_url,
        credentials=s3_service.credentials,
        page_size=2,
    )
    store.create_bucket()
    store._client.put_bucket_versioning(
        Bucket=bucket, VersioningConfiguration={"Status": "Enabled"}
    )
    for content in (b"face", b"face again", b"and again"):
        store.put("shards/a", content)
        store.put("shards/ab", content)
    store.delete("shards/a")
    store.delete("shards/ab")
    assert _versions(store, bucket) == {"root/shards/a": 4, "root/shards/ab": 4}, "delete keeps"

    store.purge("shards/a")

    assert _versions(store, bucket) == {"root/shards/ab": 4}
    assert store.head("shards/a") is None


def _versions(store: S3Store, bucket: str) -> dict[str, int]:
    answer = store._client.list_object_versions(Bucket=bucket)
    found: dict[str, int] = {}
    for item in (*answer.get("Versions", ()), *answer.get("DeleteMarkers", ())):
        found[item["Key"]] = found.get(item["Key"], 0) + 1
    return found


def test_unfinished_uploads_below_the_prefix_go_once_they_are_old(s3_store: S3Store) -> None:
    prefix = s3_store.root.split("/", maxsplit=3)[3]
    for name in ("shards/a", "shards/b", "other/c"):
        upload = s3_store._client.create_multipart_upload(
            Bucket=s3_store._bucket, Key=f"{prefix}/{name}"
        )
        s3_store._client.upload_part(
            Bucket=s3_store._bucket,
            Key=f"{prefix}/{name}",
            UploadId=upload["UploadId"],
            PartNumber=1,
            Body=bytes(6 << 20),
        )

    assert s3_store.abort_uploads("", 3600) == 0
    assert s3_store.abort_uploads("shards/", 0) == 2
    assert s3_store.abort_uploads("shards/", 0) == 0
    assert s3_store.abort_uploads("", 0) == 1
    assert list(s3_store.list("")) == []


def test_files_that_a_killed_writer_staged_go_once_they_are_old(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    assert store.abort_uploads("", 0) == 0
    store.put("key", b"x")
    (tmp_path / ".store" / ".staged-0123").write_bytes(b"half")

    assert store.abort_uploads("", 3600) == 0
    assert store.abort_uploads("", 0) == 1
    assert [path.name for path in (tmp_path / ".store").iterdir()] == ["lock"]
    assert store.get("key").data == b"x"
