"""Model versions in MLflow: finding them, and what is known of them."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion, RegisteredModel
from mlflow.exceptions import MlflowException

from videogen.mlflow_connection import connect, mlflow_errors
from videogen.registry.gate import Judged

CHAMPION = "champion"
CHALLENGER = "challenger"
TAG = "videogen."
MANIFEST_TAG = f"{TAG}manifest_sha256"
DECISION_TAG = f"{TAG}decision"
REASONS_TAG = f"{TAG}reasons"

_ABSENT = "RESOURCE_DOES_NOT_EXIST"


@dataclass(frozen=True)
class VersionSummary:
    """One line of a listing."""

    version: str
    aliases: tuple[str, ...]
    tags: Mapping[str, str]
    created_ms: int
    """Since the epoch."""
    mlflow_run_id: str | None


def list_versions(tracking_uri: str, name: str) -> list[VersionSummary]:
    """All versions of a model, newest first; empty where there is no such model.

    Raises `RegistryError`.
    """
    client = connect(tracking_uri)
    with mlflow_errors(tracking_uri, f"listing the versions of {name}"):
        model = find_model(client, name)
        if model is None:
            return []
        found = client.search_model_versions(f"name = {_quoted(name)}")
    return [
        VersionSummary(
            str(one.version),
            aliases_of(model, one.version),
            dict(one.tags),
            one.creation_timestamp,
            one.run_id,
        )
        for one in sorted(found, key=lambda one: -int(one.version))
    ]


def list_models(tracking_uri: str) -> list[str]:
    """The names of all registered models. Raises `RegistryError`."""
    client = connect(tracking_uri)
    with mlflow_errors(tracking_uri, "listing the models"):
        return sorted(model.name for model in client.search_registered_models())


def version_exists(tracking_uri: str, name: str, version: str) -> bool:
    """Whether the registry still holds a version. Raises `RegistryError`."""
    client = connect(tracking_uri)
    with mlflow_errors(tracking_uri, f"looking for {name} version {version}"):
        return find_version(client, name, version) is not None


def find_model(client: MlflowClient, name: str) -> RegisteredModel | None:
    """The registered model, or None."""
    try:
        return client.get_registered_model(name)
    except MlflowException as error:
        if error.error_code != _ABSENT:
            raise
        return None


def find_version(client: MlflowClient, name: str, version: str) -> ModelVersion | None:
    """The version, or None."""
    try:
        return client.get_model_version(name, version)
    except MlflowException as error:
        if error.error_code != _ABSENT:
            raise
        return None


def find_by_manifest(client: MlflowClient, name: str, sha256: str) -> ModelVersion | None:
    """The version that was made from the checkpoint with this manifest, or None."""
    found = client.search_model_versions(
        f"name = {_quoted(name)} AND tags.`{MANIFEST_TAG}` = '{sha256}'"
    )
    return min(found, key=lambda one: int(one.version), default=None)


def aliases_of(model: RegisteredModel, version: str) -> tuple[str, ...]:
    """The aliases that point to a version, sorted."""
    return tuple(sorted(name for name, one in model.aliases.items() if str(one) == str(version)))


def judged(version: ModelVersion) -> Judged:
    """The figures that a version was judged by, from its tags; NaN where one is missing."""
    tags = version.tags
    return Judged(
        float(tags.get(f"{TAG}fvd", math.nan)),
        float(tags.get(f"{TAG}yardstick.blank", math.nan)),
        tags.get(f"{TAG}dataset", ""),
        json.loads(tags.get(f"{TAG}protocol", "{}")),
    )


def _quoted(name: str) -> str:
    return f'"{name}"' if "'" in name else f"'{name}'"
