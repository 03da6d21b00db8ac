"""Objects in an S3 bucket: the only user of boto3, which also owns every retry of a request."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import boto3
from boto3.exceptions import RetriesExceededError, S3UploadFailedError
from boto3.s3.transfer import TransferConfig
from botocore import exceptions as aws
from botocore.config import Config

from videogen.errors import (
    ConfigError,
    ObjectMissingError,
    PreconditionFailedError,
    StorageError,
)
from videogen.storage.base import ObjectInfo, Stored
from videogen.storage.credentials import Credentials
from videogen.storage.keys import check_key, check_prefix
from videogen.storage.s3_errors import (
    UNANSWERED,
    Place,
    code_of,
    missing_bucket,
    translated,
    was_retried,
)
from videogen.storage.s3_pages import PAGE_SIZE, Pages

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_TIMEOUT_S = 60.0
_BODY_ATTEMPTS = 3
_CONFLICT_ATTEMPTS = 5
_CONFIG = Config(
    # 6 s on average, 13 at most, without a server: long enough for one that is restarted
    retries={"mode": "adaptive", "total_max_attempts": 9},
    connect_timeout=5,
    signature_version="s3v4",
    max_pool_connections=16,
)
_TRANSFER = TransferConfig(
    multipart_threshold=32 << 20,
    multipart_chunksize=16 << 20,
    max_concurrency=4,
    preferred_transfer_client="classic",  # the CRT client fails on local host:port endpoints
)
_DEFAULT_REGION = "us-east-1"
_ABSENT = ("404", "NoSuchKey", "NotFound")


class S3Store:
    """An `ObjectStore` below `s3://bucket/prefix`.

    Credentials, region and endpoint are those boto3 finds (AWS_… variables, profiles) unless given.
    A conditional write that boto3 had to repeat may have won before its answer was lost, so a
    refusal is then checked by reading back: the same bytes count as ours. Writers that race must
    therefore write bytes that differ (a nonce).
    """

    def __init__(
        self,
        root: str,
        *,
        endpoint_url: str | None = None,
        credentials: Credentials | None = None,
        timeout_s: float = _TIMEOUT_S,
        page_size: int = PAGE_SIZE,
    ) -> None:
        bucket, _, prefix = root.removeprefix("s3://").partition("/")
        prefix = prefix.rstrip("/")
        if not _BUCKET.fullmatch(bucket):
            raise ConfigError(
                f"{root!r} names no S3 bucket: give s3://bucket/prefix, the bucket "
                "with 3 to 63 lower-case letters, digits, dots and hyphens"
            )
        self._root = f"s3://{bucket}/{prefix}" if prefix else f"s3://{bucket}"
        if prefix:
            check_key(f"s3://{bucket}", prefix)
        self._bucket = bucket
        self._prefix = f"{prefix}/" if prefix else ""
        self._place = Place(self._root, bucket, endpoint_url or "the AWS endpoint")
        self._client = self._connect(endpoint_url, credentials, timeout_s)
        self._place = Place(self._root, bucket, str(self._client.meta.endpoint_url))
        self._pages = Pages(self._client, bucket, self._place, page_size)
        self._bucket_is_there = False

    @property
    def root(self) -> str:
        """`s3://bucket/prefix`, without a slash at the end."""
        return self._root

    def get(self, key: str) -> Stored:
        """See `ObjectStore.get`."""
        data, etag = self._read(key)
        return Stored(data, etag)

    def get_range(self, key: str, offset: int, length: int) -> bytes:
        """See `ObjectStore.get_range`."""
        if length == 0:
            return b""
        data, _ = self._read(key, Range=f"bytes={offset}-{offset + length - 1}")
        if len(data) != length:
            raise StorageError(
                f"{key!r} in {self.root} ended after {len(data)} of {length} bytes from offset "
                f"{offset}: it is shorter than what refers to it; run `videogen dataset verify`"
            )
        return data

    def head(self, key: str) -> ObjectInfo | None:
        """See `ObjectStore.head`."""
        name = self._name(key)
        with translated(self._place, key):
            try:
                answer = self._client.head_object(Bucket=self._bucket, Key=name)
            except aws.ClientError as error:
                if code_of(error) not in _ABSENT:
                    raise
                self.check_bucket()
                return None
        return ObjectInfo(
            key,
            int(answer["ContentLength"]),
            str(answer["ETag"]),
            answer["LastModified"].timestamp(),
        )

    def put(self, key: str, data: bytes) -> str:
        """See `ObjectStore.put`."""
        name = self._name(key)
        with translated(self._place, key):
            answer = self._client.put_object(Bucket=self._bucket, Key=name, Body=data)
        return str(answer["ETag"])

    def put_if_absent(self, key: str, data: bytes) -> str:
        """See `ObjectStore.put_if_absent`."""
        return self._put_conditionally(key, data, IfNoneMatch="*")

    def put_if_match(self, key: str, data: bytes, etag: str) -> str:
        """See `ObjectStore.put_if_match`."""
        return self._put_conditionally(key, data, IfMatch=etag)

    def upload(self, key: str, path: Path) -> None:
        """See `ObjectStore.upload`. Large files go in parts, each with its checksum."""
        name = self._name(key)
        with translated(self._place, key):
            try:
                self._client.upload_file(str(path), self._bucket, name, Config=_TRANSFER)
            except S3UploadFailedError as error:
                if isinstance(error.__context__, aws.ClientError):
                    raise error.__context__ from error
                raise StorageError(
                    f"S3 at {self._place.endpoint} did not take {path} as {key!r} in {self.root}: "
                    "try again"
                ) from error
            except (FileNotFoundError, PermissionError, IsADirectoryError) as error:
                raise StorageError(f"cannot read {path} to upload it: {error.strerror}") from error

    def download(self, key: str, path: Path) -> None:
        """See `ObjectStore.download`."""
        name = self._name(key)
        staged = path.with_name(f".staged-{uuid4().hex}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with translated(self._place, key):
                try:
                    self._client.download_file(self._bucket, name, str(staged), Config=_TRANSFER)
                except RetriesExceededError as error:
                    raise error.last_exception from error
            staged.replace(path)
        except ObjectMissingError:
            self.check_bucket()
            raise
        except OSError as error:
            raise StorageError(f"cannot write {path}: {error.strerror or error}") from error
        finally:
            staged.unlink(missing_ok=True)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """See `ObjectStore.list`."""
        check_prefix(self.root, prefix)
        yield from self._pages.objects(self._prefix + prefix, self._prefix)

    def children(self, prefix: str) -> Iterator[str]:
        """See `ObjectStore.children`."""
        check_prefix(self.root, prefix)
        yield from self._pages.children(self._prefix + prefix)

    def delete(self, key: str) -> None:
        """See `ObjectStore.delete`."""
        name = self._name(key)
        with translated(self._place, key):
            self._client.delete_object(Bucket=self._bucket, Key=name)

    def purge(self, key: str) -> None:
        """See `ObjectStore.purge`. Needs the rights ListBucketVersions and DeleteObjectVersion."""
        self._pages.purge(self._name(key))

    def abort_uploads(self, prefix: str, older_than_s: float) -> int:
        """See `ObjectStore.abort_uploads`."""
        check_prefix(self.root, prefix)
        return self._pages.abort_uploads(self._prefix + prefix, older_than_s)

    def check_bucket(self) -> None:
        """Ask for the bucket. Raises `StorageError` where it is missing, closed or out of reach."""
        if self._bucket_is_there:
            return
        with translated(self._place, ""):
            try:
                self._client.head_bucket(Bucket=self._bucket)
            except aws.ClientError as error:
                if code_of(error) in _ABSENT:
                    raise missing_bucket(self._place) from error
                raise
        self._bucket_is_there = True

    def create_bucket(self) -> None:
        """Make the bucket unless it is there."""
        with translated(self._place, ""):
            try:
                self._client.create_bucket(Bucket=self._bucket)
            except aws.ClientError as error:
                if code_of(error) not in ("BucketAlreadyOwnedByYou", "BucketAlreadyExists"):
                    raise

    def _connect(
        self, endpoint_url: str | None, credentials: Credentials | None, timeout_s: float
    ) -> Any:  # noqa: ANN401 - boto3 makes its clients at run time
        with translated(self._place, ""):
            try:
                session = boto3.session.Session(
                    aws_access_key_id=credentials.access_key_id if credentials else None,
                    aws_secret_access_key=credentials.secret_access_key if credentials else None,
                )
                return session.client(
                    "s3",
                    endpoint_url=endpoint_url,
                    region_name=session.region_name or _DEFAULT_REGION,
                    config=_CONFIG.merge(Config(read_timeout=timeout_s)),
                )
            except ValueError as error:
                raise ConfigError(
                    "storage.endpoint_url (or AWS_ENDPOINT_URL) is no valid address: "
                    "give http://host:port"
                ) from error

    def _name(self, key: str) -> str:
        return self._prefix + check_key(self.root, key)

    def _read(self, key: str, **options: str) -> tuple[bytes, str]:
        """Body and etag; a body that breaks off is asked for again, which boto3 does not do."""
        name = self._name(key)
        with translated(self._place, key):
            for _ in range(_BODY_ATTEMPTS - 1):
                answer = self._client.get_object(Bucket=self._bucket, Key=name, **options)
                try:
                    return bytes(answer["Body"].read()), str(answer["ETag"])
                except UNANSWERED:
                    continue
            answer = self._client.get_object(Bucket=self._bucket, Key=name, **options)
            return bytes(answer["Body"].read()), str(answer["ETag"])

    def _put_conditionally(self, key: str, data: bytes, **condition: str) -> str:
        name = self._name(key)
        with translated(self._place, key):
            for _ in range(_CONFLICT_ATTEMPTS):
                try:
                    answer = self._client.put_object(
                        Bucket=self._bucket, Key=name, Body=data, **condition
                    )
                    return str(answer["ETag"])
                except aws.ClientError as error:
                    if code_of(error) != "ConditionalRequestConflict":
                        return self._settle(key, data, error)
                except UNANSWERED as error:
                    return self._settle(key, data, error)
        raise PreconditionFailedError(
            f"other writers kept changing {key!r} in {self.root}: read it again and decide anew"
        )

    def _settle(self, key: str, data: bytes, error: Exception) -> str:
        """The etag where a conditional write won although `error` came back; else raises."""
        if isinstance(error, aws.ClientError):
            if code_of(error) in _ABSENT:
                raise PreconditionFailedError(
                    f"{key!r} in {self.root} was removed meanwhile: read it again and decide anew"
                ) from error
            if not was_retried(error):
                raise error
        try:
            stored = self.get(key)
        except ObjectMissingError:
            raise error from None
        if stored.data != data:
            raise error
        return stored.etag
