"""Making a model version: the generator as a logged model, and its entry in the registry."""

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from mlflow import MlflowClient
from mlflow.entities import LoggedModelOutput
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.models import Model, ModelSignature
from mlflow.pyfunc import save_model
from mlflow.types import DataType, ParamSchema, ParamSpec, Schema, TensorSpec

from videogen.mlflow_connection import default_store
from videogen.models.export import GeneratorSpec
from videogen.registry.frozen_code import freeze, importable
from videogen.registry.request import SEED_COLUMN
from videogen.registry.versions import find_model

_ENTRY = "videogen.registry.pyfunc_model"
_LOGGED_NAME = "generator"


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
