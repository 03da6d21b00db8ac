"""What S3 tells a page at a time, and the removal of what a plain listing does not show."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from videogen.errors import ObjectMissingError
from videogen.storage.base import ObjectInfo
from videogen.storage.s3_errors import Place, translated

PAGE_SIZE = 1000
"""The most that S3 answers with at once."""


class _Version(NamedTuple):
    """A version of an object, or the mark of its deletion; `null` where versions are off."""

    name: str
    version_id: str


class _Upload(NamedTuple):
    """A multipart upload that is not finished."""

    name: str
    upload_id: str
    began: datetime


@dataclass(frozen=True)
class Pages:
    """Listings of a bucket; each is read as it is consumed, one page in memory.

    Names are those in the bucket, with the prefix of the store. Every method raises `StorageError`.
    """

    client: Any
    bucket: str
    place: Place
    page_size: int = PAGE_SIZE

    def objects(self, prefix: str, start: str) -> Iterator[ObjectInfo]:
        """Objects below `prefix` (of the bucket), their keys without `start`."""
        for page in self._pages("list_objects_v2", prefix):
            for item in page.get("Contents", ()):
                yield ObjectInfo(
                    str(item["Key"]).removeprefix(start),
                    int(item["Size"]),
                    str(item["ETag"]),
                    item["LastModified"].timestamp(),
                )

    def children(self, prefix: str) -> Iterator[str]:
        """The next segment of what lies below `prefix`, each once."""
        for page in self._pages("list_objects_v2", prefix, Delimiter="/"):
            for item in page.get("CommonPrefixes", ()):
                yield str(item["Prefix"]).removeprefix(prefix).rstrip("/")
            for item in page.get("Contents", ()):
                yield str(item["Key"]).removeprefix(prefix)

    def purge(self, name: str) -> None:
        """Remove every version of one object, and the marks that deletions left."""
        for version in list(self._versions(name)):
            with translated(self.place, name):
                self.client.delete_object(
                    Bucket=self.bucket, Key=name, VersionId=version.version_id
                )

    def abort_uploads(self, prefix: str, older_than_s: float) -> int:
        """Abort the multipart uploads below `prefix` that began long enough ago; how many."""
        newest = datetime.now(UTC) - timedelta(seconds=older_than_s)
        left = [upload for upload in self._uploads(prefix) if upload.began <= newest]
        for upload in left:
            # One that is missing was finished or aborted by its writer meanwhile.
            with suppress(ObjectMissingError), translated(self.place, upload.name):
                self.client.abort_multipart_upload(
                    Bucket=self.bucket, Key=upload.name, UploadId=upload.upload_id
                )
        return len(left)

    def _versions(self, name: str) -> Iterator[_Version]:
        """All versions of one object, and the marks that deletions left."""
        for page in self._pages("list_object_versions", name):
            for item in (*page.get("Versions", ()), *page.get("DeleteMarkers", ())):
                if item["Key"] == name:
                    yield _Version(name, str(item["VersionId"]))

    def _uploads(self, prefix: str) -> Iterator[_Upload]:
        """Multipart uploads below `prefix` that were neither finished nor aborted."""
        for page in self._pages("list_multipart_uploads", prefix):
            for item in page.get("Uploads", ()):
                yield _Upload(str(item["Key"]), str(item["UploadId"]), item["Initiated"])

    def _pages(self, operation: str, prefix: str, **options: str) -> Iterator[dict[str, Any]]:
        with translated(self.place, prefix):
            yield from self.client.get_paginator(operation).paginate(
                Bucket=self.bucket,
                Prefix=prefix,
                PaginationConfig={"PageSize": self.page_size},
                **options,
            )
