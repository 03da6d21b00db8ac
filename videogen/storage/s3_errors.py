"""What botocore's errors mean to a person: one line, the object, the mend, and never a secret."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus

from botocore import exceptions as aws

from videogen.config.redaction import without_secrets
from videogen.errors import ObjectMissingError, PreconditionFailedError, StorageError

_ABSENT = ("NoSuchKey", "NoSuchUpload", "404", "NotFound")
_LOST = ("PreconditionFailed", "412", "ConditionalRequestConflict", "409")
_REFUSED = (
    "403",
    "AccessDenied",
    "AuthorizationHeaderMalformed",
    "ExpiredToken",
    "InvalidAccessKeyId",
    "InvalidToken",
    "SignatureDoesNotMatch",
    "TokenRefreshRequired",
)
_NO_CREDENTIALS = (
    aws.NoCredentialsError,
    aws.PartialCredentialsError,
    aws.CredentialRetrievalError,
    aws.ProfileNotFound,
    aws.ConfigParseError,
    aws.ConfigNotFound,
    aws.TokenRetrievalError,
    aws.UnauthorizedSSOTokenError,
)
_CREDENTIALS_MEND = (
    "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE and "
    "AWS_SHARED_CREDENTIALS_FILE"
)
_SERVER_MEND = "(see whether the server's disk is full, and its log; then run the command again)"
_REQUEST_MEND = "(see whether that server knows the request)"
UNANSWERED = (aws.HTTPClientError, aws.ConnectionError, aws.IncompleteReadError)
"""Errors after which nobody knows whether the request was carried out."""


@dataclass(frozen=True)
class Place:
    """Where requests go, for messages."""

    root: str
    bucket: str
    endpoint_url: str

    @property
    def endpoint(self) -> str:
        """The endpoint without user name and password."""
        return without_secrets(self.endpoint_url)


def code_of(error: aws.ClientError) -> str:
    """The S3 error code, or the HTTP status where the answer had no body."""
    return str(error.response.get("Error", {}).get("Code", "unknown"))


def was_retried(error: aws.ClientError) -> bool:
    """Whether the answer is to a repeated request, whose first copy may have been carried out."""
    return int(error.response.get("ResponseMetadata", {}).get("RetryAttempts", 0)) > 0


@contextmanager
def translated(place: Place, key: str) -> Iterator[None]:
    """Turn botocore's errors about one object into `StorageError` and its kinds."""
    try:
        yield
    except aws.ClientError as error:
        raise _refusal(place, key, error) from error
    except _NO_CREDENTIALS as error:
        raise StorageError(
            f"no usable S3 credentials for {place.root}: {_one_line(error)}: {_CREDENTIALS_MEND}"
        ) from error
    except UNANSWERED as error:
        raise StorageError(
            f"cannot reach S3 at {place.endpoint} for {key!r} in {place.root} "
            f"({type(error).__name__}): check storage.endpoint_url or AWS_ENDPOINT_URL, and that "
            "the server runs"
        ) from error
    except aws.BotoCoreError as error:
        raise StorageError(
            f"S3 request for {key!r} in {place.root} failed: {_one_line(error)}"
        ) from error


def _refusal(place: Place, key: str, error: aws.ClientError) -> StorageError:
    code = code_of(error)
    if code == "NoSuchBucket":
        return missing_bucket(place)
    if code in _ABSENT:
        return ObjectMissingError(
            f"there is no object {key!r} in {place.root}: check the key and storage.root"
        )
    if code in _LOST:
        return PreconditionFailedError(
            f"{key!r} in {place.root} is there already or has changed meanwhile: "
            "read it again and decide anew"
        )
    return _unusable(place, key, error)


def _unusable(place: Place, key: str, error: aws.ClientError) -> StorageError:
    code = code_of(error)
    if code in _REFUSED:
        return StorageError(
            f"S3 at {place.endpoint} refused access to {key!r} in {place.root} ({code}): "
            f"{_CREDENTIALS_MEND}"
        )
    detail = str(error.response.get("Error", {}).get("Message", "")).strip()
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    mend = _SERVER_MEND if status >= HTTPStatus.INTERNAL_SERVER_ERROR else _REQUEST_MEND
    return StorageError(
        f"S3 at {place.endpoint} answered {status} {code} for {key!r} in {place.root}: "
        f"{_one_line(detail)} {mend}"
    )


def missing_bucket(place: Place) -> StorageError:
    """The error for a bucket that is not there."""
    return StorageError(
        f"there is no bucket {place.bucket!r} at {place.endpoint}: create it, or correct its name"
    )


def _one_line(detail: object) -> str:
    return " ".join(str(detail).split())
