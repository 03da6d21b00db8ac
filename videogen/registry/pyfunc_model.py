"""The model that MLflow loads: "models from code", with weights in safetensors and no pickle.

A copy of this file, and of what it imports from videogen, is logged with every version
(`frozen_code.py`); MLflow runs it to get the model. From Python:

    model = mlflow.pyfunc.load_model("models:/NAME@champion")
    frames = model.predict(None, params={"num_videos": 4, "seed": 7})    # uint8 (n t h w c)
    again = model.predict([7, 8, 9, 10])                                 # one video a seed
"""

from pathlib import Path

import mlflow
import numpy as np
from mlflow.exceptions import MlflowException
from mlflow.pyfunc.model import PythonModel, PythonModelContext

from videogen.errors import ConfigError
from videogen.models.export import load_generator
from videogen.models.sampling import generate
from videogen.registry.request import ONE_AT_A_TIME, read_request


class RegisteredGenerator(PythonModel):
    """Videos from seeds."""

    def load_context(self, context: PythonModelContext) -> None:
        """Read the weights, whose shapes are checked against their description."""
        self._generator, self._spec = load_generator(Path(context.artifacts["generator"]))

    def predict(
        self,
        context: PythonModelContext,  # noqa: ARG002 - MLflow's signature
        model_input: np.ndarray,
        params: dict[str, object] | None = None,
    ) -> np.ndarray:
        """Frames, uint8 RGB (n t h w c), of the videos asked for.

        `model_input`: None, or seeds as a list, an array, or a table with a column `seed` (the
        annotation is what MLflow knows for "anything"). `params`: `num_videos` (1 to 1,024 in
        all), `seed`, `num_frames`, `truncation`, `fps`. Raises `MlflowException` for a value out
        of its range.
        """
        defaults = {
            "num_videos": 1,
            "seed": 0,
            "num_frames": self._spec.num_frames,
            "truncation": 1.0,
            "fps": self._spec.fps,
        }
        try:
            request = read_request(model_input, {**defaults, **(params or {})})
        except ConfigError as error:
            raise MlflowException.invalid_parameter_value(str(error)) from error
        return generate(
            self._generator,
            request.seeds,
            request.num_frames,
            truncation=request.truncation,
            fps_ratio=self._spec.fps / request.fps,
            batch_size=ONE_AT_A_TIME,
        )


mlflow.models.set_model(RegisteredGenerator())
