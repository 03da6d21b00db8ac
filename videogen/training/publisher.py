"""The first worker's slow work: files, uploads, MLflow, in one background thread and in order.

No step waits for it, but a checkpoint waits for the one before: at most one is under way. Of a
state of 500 MB, a step waits 25 ms for the copy; while the files are written, hashed and uploaded,
it goes on at 99 % of its speed where another core is free (these let go of the interpreter).
"""

import shutil
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import ParamSpec, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from videogen.errors import RegistryError, VideogenError
from videogen.runs.pointer import RunPointer
from videogen.storage.base import ObjectStore
from videogen.training import checkpoint
from videogen.training.checkpoint import Document, Export, StepState, TrainingState
from videogen.training.checkpoint_store import CheckpointWriter, Keeping
from videogen.training.host_buffers import HostBuffers, HostCopy
from videogen.training.samples import SampleFiles

P = ParamSpec("P")


class Tracker(Protocol):
    """The part of `videogen.tracking.Tracker` that training needs."""

    def log_metrics(self, values: Mapping[str, float], step: int) -> None:
        """Record values; a (name, step) that is known already is left."""

    def log_artifact(self, path: Path, artifact_dir: str = "") -> None:
        """Upload a file, replacing one of that name."""


@dataclass(frozen=True)
class Outputs:
    """How the first worker's results are made."""

    export: Export
    """Writes the EMA generator of a step's state."""
    draw: Callable[[], NDArray[np.uint8]]
    """The fixed latents' clips, uint8 `n t h w c`."""
    files: SampleFiles
    open_tracker: Callable[[], Tracker] | None = None
    """Called once, in the background thread: importing the tracker's library takes seconds."""


@dataclass(frozen=True)
class Target:
    """Where a run's results go."""

    store: ObjectStore
    run_id: str
    lease_token: str
    keeping: Keeping
    work_dir: Path
    """For files on their way."""


@dataclass(frozen=True)
class Moment:
    """What a checkpoint says beside tensors."""

    clips_seen: int
    figures: Mapping[str, float]
    """The last that were reported."""
    identity: Document


class Publisher:
    """Everything that is made known of a run, but its progress events."""

    def __init__(self, target: Target, outputs: Outputs, warn: Callable[[str], None]) -> None:
        """`warn` is told, in the background thread, of figures and samples that were not kept."""
        self._target, self._outputs, self._warn = target, outputs, warn
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="publish")
        self._submitted: list[Future[None]] = []
        self._tensors, self._random = HostBuffers(), HostBuffers()
        self._in_use: Future[None] | None = None
        self._tracker: Tracker | None = None
        self._writer: CheckpointWriter | None = None

    def figures(self, figures: Mapping[str, float], clips_seen: int) -> None:
        """Log a report's figures."""
        self._submit(self._log, figures, clips_seen)

    def samples(self, clips_seen: int) -> None:
        """Draw samples now, and keep them as files."""
        self._submit(self._keep_samples, self._outputs.draw(), clips_seen)

    def reserve(self, state: StepState) -> None:
        """Get memory for checkpoints of such a state, in the background."""
        self._in_use = self._submit(self._tensors.reserve, _tensors(state))

    def checkpoint(self, moment: Moment, state: StepState, random: Mapping[str, Tensor]) -> None:
        """Copy a state as it is now, and commit it as a checkpoint.

        Waits for the checkpoint before. Raises what went wrong with that one.
        """
        if self._in_use is not None:
            self._in_use.result()
        copies = self._tensors.copy(_tensors(state)), self._random.copy(random)
        scalars = {name: one for name, one in state.items() if not isinstance(one, Tensor)}
        self._in_use = self._submit(self._commit, moment, copies, scalars)

    def check(self) -> None:
        """Raise what has gone wrong so far, with no wait."""
        for future in self._submitted:
            if future.done():
                future.result()

    def close(self) -> None:
        """Wait for what is under way; raises what went wrong with it."""
        self._thread.shutdown(wait=True)
        self.check()

    def abandon(self) -> None:
        """Drop what has not begun; for an end by an error, which matters more."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _submit(self, work: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> Future[None]:
        future = self._thread.submit(work, *args, **kwargs)
        self._submitted = [one for one in self._submitted if not one.done() or one.exception()]
        self._submitted.append(future)
        return future

    def _log(self, figures: Mapping[str, float], clips_seen: int) -> None:
        try:
            if (tracker := self._open_tracker()) is not None:
                tracker.log_metrics(figures, clips_seen)
        except RegistryError as error:
            self._warn(f"figures at {clips_seen:,} clips were not logged: {error}")

    def _keep_samples(self, clips: NDArray[np.uint8], clips_seen: int) -> None:
        target, name = self._target, f"samples/{clips_seen:012d}"
        directory = target.work_dir / name
        try:
            for path in self._outputs.files.write(clips, clips_seen, directory):
                target.store.upload(f"runs/{target.run_id}/{name}/{path.name}", path)
                if (tracker := self._open_tracker()) is not None:
                    tracker.log_artifact(path, name)
        except VideogenError as error:
            self._warn(f"samples at {clips_seen:,} clips were not kept: {error}")
        finally:
            shutil.rmtree(directory, ignore_errors=True)

    def _commit(
        self, moment: Moment, copies: tuple[HostCopy, HostCopy], scalars: StepState
    ) -> None:
        tensors, random = (copy.wait() for copy in copies)
        state = TrainingState(
            moment.clips_seen, {**tensors, **scalars}, random, moment.identity, moment.figures
        )
        directory = self._target.work_dir / f"checkpoint-{moment.clips_seen}"
        checkpoint.write_checkpoint(state, self._outputs.export, directory)
        score = moment.figures.get(self._target.keeping.best_metric or "")
        self._open_writer().commit(directory, moment.clips_seen, score)
        shutil.rmtree(directory)

    def _open_tracker(self) -> Tracker | None:
        if self._tracker is None and self._outputs.open_tracker is not None:
            self._tracker = self._outputs.open_tracker()
        return self._tracker

    def _open_writer(self) -> CheckpointWriter:
        if self._writer is None:
            target = self._target
            self._writer = CheckpointWriter(
                target.store,
                RunPointer(target.store, target.run_id, target.lease_token),
                f"runs/{target.run_id}/checkpoints",
                target.keeping,
            )
        return self._writer


def _tensors(state: StepState) -> dict[str, Tensor]:
    return {name: one for name, one in state.items() if isinstance(one, Tensor)}
