"""What a checkpoint holds.

A checkpoint is a directory: `state.safetensors` (weights, optimisers, EMA), `rng.safetensors`
(random states of every worker), `state.json` (counters, and the config that made it), `generator/`
(the EMA generator as any reader loads it), and `MANIFEST.json`, written last. The position in the
data is `clips_seen`. Nothing here is pickled.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from videogen.errors import ConfigError, CorruptObjectError, TrainingError

FORMAT_VERSION = 2
STATE_FILE = "state.json"
GENERATOR_DIR = "generator"

Scalar = bool | int | float | str | None
StepState = Mapping[str, Tensor | Scalar]
Document = Mapping[str, object]


class StateDocument(BaseModel):
    """What `state.json` holds."""

    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="constants")

    format_version: int = FORMAT_VERSION
    clips_seen: int
    scalars: dict[str, Scalar]
    """What of the step's state is no tensor."""
    metrics: dict[str, float]
    """The last figures reported."""
    identity: dict[str, Any]
    """The config and inputs that the state was made with."""


@dataclass(frozen=True)
class TrainingState:
    """Everything that decides how training goes on."""

    clips_seen: int
    step: StepState
    """What `TrainStep.state_dict()` answered."""
    random: Mapping[str, Tensor]
    """Random states of torch, by `RANK.DEVICE`."""
    identity: Document
    """The config and inputs that the state was made with."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """The last figures reported."""


Export = Callable[[StepState, Path], None]
"""Writes the generator that a step's state holds into a directory."""


def write_checkpoint(state: TrainingState, export: Export, directory: Path) -> None:
    """Write a checkpoint's files, all but the manifest, into a new directory.

    Raises `TrainingError` for want of room.
    """
    try:
        (directory / GENERATOR_DIR).mkdir(parents=True)
        write_state(state, directory)
        export(state.step, directory / GENERATOR_DIR)
    except (OSError, SafetensorError) as error:
        raise TrainingError(
            f"a checkpoint at {state.clips_seen:,} clips cannot be written to {directory}: "
            f"{error}; make room there, or set TMPDIR; the same command goes on from the one before"
        ) from error


def write_state(state: TrainingState, directory: Path) -> None:
    """Write a state's files into a directory."""
    tensors = {
        name: value.detach().cpu().contiguous()
        for name, value in state.step.items()
        if isinstance(value, Tensor)
    }
    document = StateDocument(
        clips_seen=state.clips_seen,
        scalars={n: value for n, value in state.step.items() if not isinstance(value, Tensor)},
        metrics=dict(state.metrics),
        identity=dict(state.identity),
    )
    save_file(tensors, directory / "state.safetensors")
    save_file(dict(state.random), directory / "rng.safetensors")
    (directory / STATE_FILE).write_text(document.model_dump_json(indent=1))


def read_state(directory: Path, identity: Document) -> TrainingState:
    """The state that `write_state` wrote, for a run with the same identity.

    Raises:
        ConfigError: it was made with another config; the message names the first key that differs.
        TrainingError: it is of a newer format.
        CorruptObjectError: a file is not what its name says.
    """
    try:
        document = parse_document(
            (directory / STATE_FILE).read_bytes(), str(directory / STATE_FILE)
        )
        require_same(document, identity)
        tensors = load_file(directory / "state.safetensors")
        random = load_file(directory / "rng.safetensors")
    except (OSError, SafetensorError) as error:
        raise CorruptObjectError(f"{directory}: not a checkpoint: {error}") from error
    return TrainingState(
        clips_seen=document.clips_seen,
        step={**tensors, **document.scalars},
        random=random,
        identity=document.identity,
        metrics=document.metrics,
    )


def parse_document(data: bytes, name: str) -> StateDocument:
    """What `state.json` of that name holds.

    Raises `TrainingError` for a newer format, and `CorruptObjectError` for anything else.
    """
    try:
        version = json.loads(data)["format_version"]
        if version > FORMAT_VERSION:
            raise TrainingError(
                f"{name}: the checkpoint has format {version}, newer than this videogen reads "
                f"({FORMAT_VERSION}); update videogen, or use another --run-id"
            )
        return StateDocument.model_validate_json(data)
    except (ValueError, KeyError, TypeError) as error:
        raise CorruptObjectError(f"{name}: not the state of a checkpoint: {error}") from error


def require_same(document: StateDocument, identity: Document) -> None:
    """Refuse the checkpoint of another config or dataset, naming the first key that differs."""
    difference = first_difference(document.identity, dict(identity))
    if difference is not None:
        key, theirs, ours = difference
        raise ConfigError(
            f"{key} is {ours!r}, but the run's checkpoints were made with {theirs!r}; restore it, "
            "or use another --run-id, or --force to start the training anew"
        )


def first_difference(
    theirs: object, ours: object, path: str = ""
) -> tuple[str, object, object] | None:
    """The dotted key at which two documents first differ, with both values; None where equal."""
    if isinstance(theirs, Mapping) and isinstance(ours, Mapping):
        for name in sorted({*theirs, *ours}):
            inner = f"{path}.{name}" if path else str(name)
            found = first_difference(theirs.get(name), ours.get(name), inner)
            if found is not None:
                return found
        return None
    return None if theirs == ours else (path, theirs, ours)


def random_state(device: torch.device) -> dict[str, Tensor]:
    """This worker's random states of torch, by device."""
    states = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    return states


def restore_random_state(random: Mapping[str, Tensor], rank: int, device: torch.device) -> None:
    """Go on with the random states of a rank; a rank that had none keeps its own."""
    if (state := random.get(f"{rank}.cpu")) is not None:
        torch.set_rng_state(state)
    if device.type == "cuda" and (state := random.get(f"{rank}.cuda")) is not None:
        torch.cuda.set_rng_state(state, device)
