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
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from videogen.errors import ConfigError, CorruptObjectError, TrainingError
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


def write_state(state: TrainingState, directory: Path) -> None:
    """Write a state's files into an empty directory."""
    tensors = {
        name: value.detach().cpu().contiguous()
        for name, value in state.step.items()
        if isinstance(value, Tensor)
    }
    scalars = {name: value for name, value in state.step.items() if not isinstance(value, Tensor)}
    save_file(tensors, directory / "state.safetensors")
    save_file(dict(state.random), directory / "rng.safetensors")
    document = {
        "format_version": FORMAT_VERSION,
        "clips_seen": state.clips_seen,
        "scalars": scalars,
        "metrics": dict(state.metrics),
        "identity": dict(state.identity),
    }
    (directory / STATE_FILE).write_text(json.dumps(document, indent=1, sort_keys=True))


def read_state(directory: Path, identity: Document) -> TrainingState:
    """The state that `write_state` wrote, for a run with the same identity.

    Raises:
        ConfigError: it was made with another config; the message names the first key that differs.
        TrainingError: it is of a newer format.
        CorruptObjectError: a file is not what its name says.
    """
    try:
        document = json.loads((directory / STATE_FILE).read_bytes())
        require_same(document, identity)
        tensors = load_file(directory / "state.safetensors")
        random = load_file(directory / "rng.safetensors")
    except (OSError, json.JSONDecodeError, SafetensorError) as error:
        raise CorruptObjectError(f"{directory}: not a checkpoint: {error}") from error
    return TrainingState(
        clips_seen=document["clips_seen"],
        step={**tensors, **document["scalars"]},
        random=random,
        identity=document["identity"],
        metrics=document["metrics"],
    )


def require_same(document: Mapping[str, object], identity: Document) -> None:
    """Refuse a checkpoint's `state.json` of a newer format, or of another config or dataset."""
    version = document["format_version"]
    if not isinstance(version, int) or version > FORMAT_VERSION:
        raise TrainingError(
            f"the checkpoint has format {version}, newer than this videogen reads "
            f"({FORMAT_VERSION}); update videogen, or use another --run-id"
        )
    difference = first_difference(document["identity"], dict(identity))
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


def read_identity(store: ObjectStore, checkpoint: Committed) -> Mapping[str, object]:
    """The verified `state.json` of a committed checkpoint. Raises `CorruptObjectError`."""
    files = manifest.read_manifest(store, checkpoint.prefix, checkpoint.manifest_sha256)
    key = f"{checkpoint.prefix}/{STATE_FILE}"
    data = store.get(key).data
    if manifest.FileDigest.of_bytes(data) != files.get(STATE_FILE):
        raise CorruptObjectError(f"{store.root}/{key}: differs from the manifest")
    document = json.loads(data)
    if not isinstance(document, dict):
        raise CorruptObjectError(f"{store.root}/{key}: not the state of a checkpoint")
    return document


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
