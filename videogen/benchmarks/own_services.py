"""A SeaweedFS of the bench's own: real S3, which takes its data with it when the bench ends."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from videogen.config.sections import StorageConfig
from videogen.config.settings import Settings, apply_environment, environment_value
from videogen.progress import Progress
from videogen.stack import embedded
from videogen.storage.base import ObjectStore
from videogen.storage.connect import open_store


@dataclass(frozen=True)
class OwnServices:
    """Where the bench keeps what it measures on."""

    storage: StorageConfig
    store: ObjectStore
    environment: dict[str, str]
    """By which any process finds the server, without secrets."""


@contextmanager
def own_s3(scratch: Path, progress: Progress) -> Iterator[OwnServices]:
    """A server for the length of the block; it is in this process's environment too.

    Local copies of shards go to `scratch` as well. Raises `ServiceError` where it does not start.
    """
    settings = Settings(
        state_dir=scratch / "stack",
        cache_dir=scratch / "cache" / "videogen",
        tracking_uri=None,
        prefect_api_url=None,
        ray_address=None,
    )
    with embedded.borrow_s3(settings, progress) as s3:
        changes = {**embedded.s3_environment(settings), "XDG_CACHE_HOME": str(scratch / "cache")}
        before = {name: environment_value(name) for name in changes}
        apply_environment(changes)
        try:
            storage = StorageConfig(root=s3.root, endpoint_url=s3.endpoint_url)
            given = {name: value for name, value in changes.items() if value is not None}
            yield OwnServices(storage, open_store(storage), given)
        finally:
            apply_environment(before)
