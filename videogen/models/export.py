"""A generator as a directory: `generator.safetensors` and `generator.json`, nothing pickled.

Both are treated as untrusted: sizes are bounded, the document is validated, and the tensors must
be exactly those of the model that it describes.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from videogen.config.models import ModelConfig
from videogen.errors import ConfigError, CorruptObjectError
from videogen.models.build import build_generator
from videogen.models.generator import VideoGenerator

WEIGHTS_FILE = "generator.safetensors"
SPEC_FILE = "generator.json"
FORMAT_VERSION: Final = 1
_MAX_SPEC_BYTES = 1 << 20
_MAX_WEIGHTS_BYTES = 4 << 30
_MAX_HEADER_BYTES = 1 << 20


class GeneratorSpec(BaseModel):
    """All that is needed to make the generator again, beside its weights."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format_version: Literal[1] = FORMAT_VERSION
    model: ModelConfig
    height: Annotated[int, Field(ge=8, le=4096)]
    width: Annotated[int, Field(ge=8, le=4096)]
    num_frames: Annotated[int, Field(ge=1, le=1 << 16)]
    """Frames of the clips it was trained on; it may be asked for more or fewer."""
    fps: Annotated[float, Field(gt=0, le=240)]
    """Frame rate of the data: one unit of its time is 1/fps seconds."""


def save_weights(weights: Mapping[str, torch.Tensor], directory: Path, spec: GeneratorSpec) -> None:
    """Write the generator of these weights into a directory, made if need be; the spec last."""
    directory.mkdir(parents=True, exist_ok=True)
    tensors = {name: value.detach().cpu().contiguous() for name, value in weights.items()}
    save_file(tensors, directory / WEIGHTS_FILE)
    (directory / SPEC_FILE).write_text(spec.model_dump_json(indent=1) + "\n")


def load_generator(directory: Path) -> tuple[VideoGenerator, GeneratorSpec]:
    """The generator of a directory, in evaluation mode on the CPU, and its spec.

    Raises:
        CorruptObjectError: a file is missing, too large, malformed, or does not fit the other.
    """
    spec = _read_spec(directory / SPEC_FILE)
    weights = directory / WEIGHTS_FILE
    tensors = _read_weights(weights)
    try:
        with torch.random.fork_rng(devices=[]):
            generator = build_generator(spec.model, (spec.height, spec.width), spec.num_frames)
        generator.load_state_dict(tensors, strict=True)
    except (ConfigError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise CorruptObjectError(f"{weights} does not fit {SPEC_FILE}: {reason}") from error
    return generator.eval(), spec


def _read_spec(path: Path) -> GeneratorSpec:
    _check_size(path, _MAX_SPEC_BYTES)
    try:
        return GeneratorSpec.model_validate_json(path.read_text())
    except (ValidationError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise CorruptObjectError(f"{path} does not describe a generator: {reason}") from error


def _read_weights(path: Path) -> dict[str, torch.Tensor]:
    _check_size(path, _MAX_WEIGHTS_BYTES)
    with path.open("rb") as file:
        header_bytes = int.from_bytes(file.read(8), "little")
    if header_bytes > _MAX_HEADER_BYTES:
        raise CorruptObjectError(
            f"{path} has a header of {header_bytes} bytes: no safetensors file of ours"
        )
    try:
        return load_file(path)
    except SafetensorError as error:
        raise CorruptObjectError(f"{path} is not a whole safetensors file: {error}") from error


def _check_size(path: Path, limit_bytes: int) -> None:
    try:
        size_bytes = path.stat().st_size
    except OSError as error:
        raise CorruptObjectError(
            f"{path} cannot be read: {error.strerror}; is {path.parent} a generator's directory?"
        ) from error
    if size_bytes > limit_bytes:
        raise CorruptObjectError(f"{path} has {size_bytes} bytes; at most {limit_bytes} are read")
