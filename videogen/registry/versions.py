"""Model versions in MLflow: making one, finding it again, and what is known of it."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from mlflow import MlflowClient
from mlflow.entities import LoggedModelOutput
from mlflow.entities.model_registry import ModelVersion, RegisteredModel
from mlflow.exceptions import MlflowException
from mlflow.models import Model, ModelSignature
from mlflow.pyfunc import save_model
from mlflow.types import DataType, ParamSchema, ParamSpec, Schema, TensorSpec

from videogen.mlflow_connection import connect, default_store, mlflow_errors
from videogen.models.export import GeneratorSpec
from videogen.registry.frozen_code import freeze, importable
from videogen.registry.gate import Judged
from videogen.registry.request import SEED_COLUMN

CHAMPION = "champion"
CHALLENGER = "challenger"
TAG = "videogen."
MANIFEST_TAG = f"{TAG}manifest_sha256"
DECISION_TAG = f"{TAG}decision"
REASONS_TAG = f"{TAG}reasons"

_ENTRY = "videogen.registry.pyfunc_model"
_LOGGED_NAME = "generator"
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


def signature_of(spec: GeneratorSpec) -> ModelSignature:
    """What the model takes and gives.

    It declares no input: MLflow then passes None, seeds, or a table on as they are, where a
    declared column would refuse None and drop a plain list of seeds without a word.
    """
    params = ParamSchema(
        [
            ParamSpec("num_videos", DataType.long, 1),
            ParamSpec("seed", DataType.long, 0),
            ParamSpec("num_frames", DataType.long, spec.num_frames),
            ParamSpec("truncation", DataType.double, 1.0),
            ParamSpec("fps", DataType.double, float(spec.fps)),
        ]
    )
    frames = TensorSpec(np.dtype(np.uint8), (-1, -1, spec.height, spec.width, 3), "frames")
    return ModelSignature(outputs=Schema([frames]), params=params)


def log_model(
    client: MlflowClient, run_id: str, artifacts: Mapping[str, Path], spec: GeneratorSpec
) -> str:
    """Log the generator as a model of an MLflow run; its id, `m-…`.

    `artifacts` are directories by name; `generator` is the exported generator.
    """
    logged = client.create_logged_model(
        client.get_run(run_id).info.experiment_id,
        name=_LOGGED_NAME,
        source_run_id=run_id,
        model_type="video-generator",
    )
    model = Model(logged.artifact_location, run_id, model_id=logged.model_id)
    with TemporaryDirectory(prefix="videogen-model-") as scratch:
        code = freeze(_ENTRY, Path(scratch) / "code")
        directory = Path(scratch) / "model"
        with importable(code):
            save_model(
                path=str(directory),
                mlflow_model=model,
                python_model=str(code.entry),
                code_paths=[str(code.directory)],
                artifacts={name: str(path) for name, path in artifacts.items()},
                signature=signature_of(spec),
                input_example=({SEED_COLUMN: [0, 1]}, {"num_videos": 1, "truncation": 1.0}),
                pip_requirements=list(code.requirements),
            )
        client.log_model_artifacts(logged.model_id, str(directory))
    client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, 0)])
    client.finalize_logged_model(logged.model_id, "READY")
    return str(logged.model_id)


def create_version(
    client: MlflowClient, name: str, model_id: str, tags: Mapping[str, str], description: str
) -> ModelVersion:
    """Register a logged model as the next version of `name`."""
    if find_model(client, name) is None:
        try:
            client.create_registered_model(name, description="Video generator made by videogen")
        except MlflowException as error:
            # Another process may have made it between the two calls.
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
    with default_store(client.tracking_uri):
        return client.create_model_version(
            name,
            f"models:/{model_id}",
            run_id=client.get_logged_model(model_id).source_run_id,
            model_id=model_id,
            tags=dict(tags),
            description=description,
        )


def _quoted(name: str) -> str:
    return f'"{name}"' if "'" in name else f"'{name}'"
