"""Which adapter serves a storage root."""

from pathlib import Path

from videogen.config.sections import StorageConfig
from videogen.errors import ConfigError
from videogen.storage.base import ObjectStore
from videogen.storage.local import LocalStore


def open_store(storage: StorageConfig) -> ObjectStore:
    """The store at `storage.root`, which must be set; nothing is asked of it yet.

    S3 credentials, region and, where `endpoint_url` is unset, the endpoint come from the usual AWS
    variables, profiles and files. Raises `ConfigError` for a root that is none.
    """
    root = storage.root
    if not root:
        raise ConfigError("storage.root is not set: give s3://bucket/prefix or a directory")
    if root.startswith("s3://"):
        from videogen.storage.s3 import S3Store  # noqa: PLC0415 - boto3 takes its time to load

        return S3Store(root, endpoint_url=storage.endpoint_url)
    if "://" in root:
        raise ConfigError(
            f"storage.root {root!r} is of an unknown kind: give s3://bucket/prefix or a directory"
        )
    return LocalStore(Path(root))
