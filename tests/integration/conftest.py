"""Real services for integration tests: one SeaweedFS a session, a fresh prefix a test."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest
from curated import Keeper

from videogen.config.sections import StorageConfig
from videogen.config.settings import Settings
from videogen.stack import lifecycle
from videogen.stack.credentials import read_credentials
from videogen.stack.embedded import ensure_s3
from videogen.stack.environment import s3_environment
from videogen.stack.seaweedfs import SeaweedFS
from videogen.storage.credentials import Credentials
from videogen.storage.local import LocalStore
from videogen.storage.s3 import S3Store


@dataclass(frozen=True)
class RunningS3:
    """A SeaweedFS of the test session; `environment` lets any process use it, without keys."""

    settings: Settings
    root: str
    endpoint_url: str
    credentials: Credentials
    environment: dict[str, str | None]


def settings_in(directory: Path) -> Settings:
    return Settings(
        state_dir=directory / "state",
        cache_dir=directory / "cache",
        tracking_uri=None,
        prefect_api_url=None,
        ray_address=None,
    )


@pytest.fixture(scope="session")
def s3_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningS3]:
    settings = settings_in(tmp_path_factory.mktemp("s3"))
    try:
        service = ensure_s3(settings)
        yield RunningS3(
            settings,
            service.root,
            service.endpoint_url,
            read_credentials(settings),
            s3_environment(settings),
        )
    finally:
        lifecycle.stop(SeaweedFS(), settings)


@pytest.fixture
def s3_storage(s3_service: RunningS3, monkeypatch: pytest.MonkeyPatch) -> StorageConfig:
    """A config section for a fresh prefix; this process's AWS_ variables lead to the server."""
    for name, value in s3_service.environment.items():
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)
    return StorageConfig(
        root=f"{s3_service.root}/test-{uuid4().hex}", endpoint_url=s3_service.endpoint_url
    )


@pytest.fixture
def s3_store(s3_service: RunningS3, s3_storage: StorageConfig) -> S3Store:
    """A store below a fresh prefix."""
    assert s3_storage.root is not None
    return S3Store(
        s3_storage.root,
        endpoint_url=s3_service.endpoint_url,
        credentials=s3_service.credentials,
    )


@pytest.fixture
def local_root(tmp_path: Path) -> str:
    """A directory for a local store, which does not exist yet."""
    return str(tmp_path / "store")


@pytest.fixture(params=["local", "versioned"])
def keeper(request: pytest.FixtureRequest, tmp_path: Path) -> Keeper:
    """A directory, and a real bucket that keeps versions."""
    if request.param == "local":
        local = LocalStore(tmp_path / "store")
        return Keeper(local, lambda: {one.key: [local.get(one.key).data] for one in local.list("")})
    service: RunningS3 = request.getfixturevalue("s3_service")
    bucket = f"versioned-{uuid4().hex[:8]}"
    store = S3Store(
        f"s3://{bucket}/root", endpoint_url=service.endpoint_url, credentials=service.credentials
    )
    store.create_bucket()
    client = store._client
    enabled = {"Status": "Enabled"}
    client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration=enabled)

    def blobs() -> dict[str, list[bytes]]:
        found: dict[str, list[bytes]] = {}
        for page in client.get_paginator("list_object_versions").paginate(Bucket=bucket):
            for one in page.get("Versions", ()):
                answer = client.get_object(
                    Bucket=bucket, Key=one["Key"], VersionId=one["VersionId"]
                )
                key = one["Key"].removeprefix("root/")
                found.setdefault(key, []).append(answer["Body"].read())
        return found

    return Keeper(store, blobs)
