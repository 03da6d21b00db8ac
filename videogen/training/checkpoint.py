"""What a checkpoint holds, and which one a run goes on from.

A checkpoint is a directory: `state.safetensors` (weights, optimisers, EMA), `rng.safetensors`
(random states of every worker), `state.json` (counters, and the config that made it), `generator/`
(the EMA generator as any reader loads it), and `MANIFEST.json`, written last. The position in the
data is `clips_seen`. Nothing here is pickled.
"""

import json
import logging
import secrets
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from videogen.errors import ConfigError, CorruptObjectError, ObjectMissingError, TrainingError
from videogen.runs import manifest
from videogen.runs.pointer import Committed, RunPointer
from videogen.storage.base import ObjectStore

FORMAT_VERSION = 1
STATE_FILE = "state.json"
GENERATOR_DIR = "generator"

_log = logging.getLogger(__name__)

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


def write_checkpoint(state: TrainingState, export: Callable[[Path], None], directory: Path) -> None:
    """Write a checkpoint's files, all but the manifest, into a new directory.

    `export` writes the generator. Raises `TrainingError` for want of room.
    """
    try:
        (directory / GENERATOR_DIR).mkdir(parents=True)
        write_state(state, directory)
        export(directory / GENERATOR_DIR)
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
        document = _parse((directory / STATE_FILE).read_bytes(), str(directory / STATE_FILE))
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


def read_document(store: ObjectStore, checkpoint: Committed) -> StateDocument:
    """The verified `state.json` of a committed checkpoint.

    Raises `CorruptObjectError`, and `TrainingError` for a newer format.
    """
    files = manifest.read_manifest(store, checkpoint.prefix, checkpoint.manifest_sha256)
    key = f"{checkpoint.prefix}/{STATE_FILE}"
    try:
        data = store.get(key).data
    except ObjectMissingError as error:
        raise CorruptObjectError(f"{store.root}/{key}: missing, but in the manifest") from error
    if manifest.FileDigest.of_bytes(data) != files.get(STATE_FILE):
        raise CorruptObjectError(f"{store.root}/{key}: differs from the manifest")
    return _parse(data, f"{store.root}/{key}")


def _parse(data: bytes, name: str) -> StateDocument:
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


def newest_that_verifies(
    store: ObjectStore, candidates: Iterable[Committed], directory: Path
) -> Committed | None:
    """Fetch the first candidate whose every file verifies into `directory`; None where none does.

    One that does not is left out with a warning that names the object. A store that cannot be
    reached is an error, not a corrupt checkpoint.
    """
    for candidate in candidates:
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
        try:
            manifest.fetch(store, candidate.prefix, candidate.manifest_sha256, directory)
        except CorruptObjectError as error:
            _log.warning(
                "checkpoint at %d clips does not verify, trying the one before it: %s",
                candidate.clips_seen,
                error,
            )
            continue
        return candidate
    return None


class CheckpointWriter:
    """Publishes checkpoints of one run, one at a time."""

    def __init__(self, store: ObjectStore, pointer: RunPointer, prefix: str, *, keep: int) -> None:
        """Write below `prefix` and keep the newest `keep`."""
        self._store = store
        self._pointer = pointer
        self._prefix = prefix
        self._keep = keep

    def commit(self, directory: Path, clips_seen: int) -> Committed:
        """Upload a checkpoint's directory, move the pointer to it, delete those it pushes out.

        The prefix is fresh, so that nothing that was committed is ever written over.
        """
        prefix = f"{self._prefix}/{clips_seen:012d}-{secrets.token_hex(4)}"
        sha256 = manifest.publish(self._store, prefix, directory)
        committed = Committed(prefix, clips_seen, sha256)
        for dropped in self._pointer.commit(committed, keep=self._keep):
            self._delete(dropped)
        return committed

    def _delete(self, dropped: Committed) -> None:
        self._store.delete(f"{dropped.prefix}/{manifest.MANIFEST}")
        for found in list(self._store.list(f"{dropped.prefix}/")):
            self._store.delete(found.key)


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
