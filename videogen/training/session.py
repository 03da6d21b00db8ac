"""What a worker does around the loop: resume, report, samples, checkpoints.

The first worker's slow work (uploads, MLflow) is done by one background thread, in order, so that
no step waits for it; at most one checkpoint is under way.
"""

import json
import logging
import shutil
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import ParamSpec, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from videogen.errors import RegistryError, VideogenError
from videogen.progress import ProgressEvent
from videogen.runs import manifest
from videogen.runs.pointer import Committed, RunPointer, committed_checkpoints
from videogen.storage.base import ObjectStore
from videogen.training import checkpoint
from videogen.training.checkpoint import CheckpointWriter, Document, StepState, TrainingState
from videogen.training.loop import Hooks, Step
from videogen.training.parallel import Parallel
from videogen.training.samples import SampleFiles

_log = logging.getLogger(__name__)

P = ParamSpec("P")


class StatefulStep(Step, Protocol):
    """A step whose every state can be kept and put back."""

    def state_dict(self) -> StepState:
        """Tensors and JSON scalars by name."""

    def load_state_dict(self, state: StepState) -> None:
        """Go on from that state exactly."""


class Channel(Protocol):
    """The way to whoever started the training."""

    def tell(self, event: ProgressEvent) -> None:
        """Pass an event on, without waiting."""

    def should_stop(self) -> bool:
        """Whether it asked for an end."""


class Tracker(Protocol):
    """The part of `videogen.tracking.Tracker` that training needs."""

    def log_metrics(self, values: Mapping[str, float], step: int) -> None:
        """Record values; a (name, step) that is known already is left."""

    def log_artifact(self, path: Path, artifact_dir: str = "") -> None:
        """Upload a file, replacing one of that name."""


@dataclass(frozen=True)
class RunIdentity:
    """Which run this is, as far as its checkpoints go."""

    run_id: str
    lease_token: str
    document: Document
    """The config and inputs that a checkpoint must share to be gone on from."""
    total_clips: int
    keep_checkpoints: int
    earlier: Sequence[Committed] = ()
    """Checkpoints of unfinished runs of the same stage key, best first."""
    ignored: frozenset[str] = frozenset()
    """Prefixes of this run's checkpoints that it must not go on from."""


@dataclass(frozen=True)
class Outputs:
    """How the first worker's results are made."""

    export: Callable[[Path], None]
    """Writes the EMA generator into a directory."""
    draw: Callable[[], NDArray[np.uint8]]
    """The fixed latents' clips, uint8 `n t h w c`."""
    files: SampleFiles
    open_tracker: Callable[[], Tracker] | None = None
    """Called once, in the background thread: importing the tracker's library takes seconds."""


@dataclass
class Session:
    """One worker's part in one run."""

    identity: RunIdentity
    step: StatefulStep
    parallel: Parallel
    store: ObjectStore
    outputs: Outputs
    channel: Channel
    work_dir: Path
    """A directory of this worker's own."""
    _figures: Mapping[str, float] = field(default_factory=dict)
    _background: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(1, thread_name_prefix="publish")
    )
    _submitted: list[Future[None]] = field(default_factory=list)
    _uploading: Future[None] | None = None
    _clips_seen: int = 0
    _writer: CheckpointWriter | None = None
    _tracker: Tracker | None = None

    @property
    def hooks(self) -> Hooks:
        """What the loop calls."""
        return Hooks(self._report, self._sample, self._checkpoint, self.channel.should_stop)

    def restore(self) -> int:
        """Go on from the newest checkpoint that verifies; the clips it had seen, 0 where none is.

        All workers load the one that the first worker chose.
        """
        directory = self.work_dir / "resume"
        chosen = self._newest(directory) if self.parallel.is_first else None
        text = self.parallel.broadcast_text(json.dumps(asdict(chosen) if chosen else None))
        document = json.loads(text)
        if document is None:
            return 0
        committed = Committed(**document)
        if not self.parallel.is_first:
            manifest.fetch(self.store, committed.prefix, committed.manifest_sha256, directory)
        state = checkpoint.read_state(directory, self.identity.document)
        shutil.rmtree(directory)
        self.step.load_state_dict(state.step)
        checkpoint.restore_random_state(state.random, self.parallel.rank, self.parallel.device)
        self._figures, self._clips_seen = state.metrics, state.clips_seen
        return state.clips_seen

    def close(self) -> None:
        """Wait for what is under way; raises what went wrong with it."""
        self._background.shutdown(wait=True)
        for future in self._submitted:
            future.result()

    def abandon(self) -> None:
        """Drop what has not begun; for an end by an error, which matters more."""
        self._background.shutdown(wait=False, cancel_futures=True)

    def _newest(self, directory: Path) -> Committed | None:
        own = committed_checkpoints(self.store, self.identity.run_id)
        usable = [one for one in reversed(own) if one.prefix not in self.identity.ignored]
        candidates = [*usable, *self.identity.earlier]
        found = checkpoint.newest_that_verifies(self.store, candidates, directory)
        if candidates and found is None:
            self._warn(f"none of {len(candidates)} checkpoints verifies; training starts anew")
        elif found is not None and found != candidates[0]:
            self._warn(
                f"{candidates.index(found)} newer checkpoint(s) do not verify; going on from "
                f"{found.clips_seen:,} clips"
            )
        return found

    def _report(self, figures: Mapping[str, float], clips_seen: int) -> None:
        self._figures = figures
        if not self.parallel.is_first:
            return
        self._clips_seen = clips_seen
        self._tell(values=dict(figures))
        self._submit(self._log_metrics, figures, clips_seen)

    def _sample(self, clips_seen: int) -> None:
        if self.parallel.is_first:
            clips = self.outputs.draw()
            self._submit(self._publish_samples, clips, clips_seen)

    def _publish_samples(self, clips: NDArray[np.uint8], clips_seen: int) -> None:
        name = f"samples/{clips_seen:012d}"
        directory = self.work_dir / name
        try:
            for path in self.outputs.files.write(clips, clips_seen, directory):
                self.store.upload(f"runs/{self.identity.run_id}/{name}/{path.name}", path)
                if (tracker := self._open_tracker()) is not None:
                    tracker.log_artifact(path, name)
        except VideogenError as error:
            self._warn(f"samples at {clips_seen:,} clips were not kept: {error}")
        finally:
            shutil.rmtree(directory, ignore_errors=True)

    def _log_metrics(self, figures: Mapping[str, float], clips_seen: int) -> None:
        try:
            if (tracker := self._open_tracker()) is not None:
                tracker.log_metrics(figures, clips_seen)
        except RegistryError as error:
            self._warn(f"figures at {clips_seen:,} clips were not logged: {error}")

    def _open_tracker(self) -> Tracker | None:
        if self._tracker is None and self.outputs.open_tracker is not None:
            self._tracker = self.outputs.open_tracker()
        return self._tracker

    def _submit(self, work: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> Future[None]:
        future = self._background.submit(work, *args, **kwargs)
        self._submitted = [one for one in self._submitted if not one.done() or one.exception()]
        self._submitted.append(future)
        return future

    def _warn(self, message: str) -> None:
        _log.warning(message)
        self._tell(message=message)

    def _tell(self, *, message: str = "", values: dict[str, float] | None = None) -> None:
        total = self.identity.total_clips
        self.channel.tell(
            ProgressEvent("train", self._clips_seen, total, "clips", message, values or {})
        )

    def _checkpoint(self, clips_seen: int) -> None:
        random = self._random_states()
        if not self.parallel.is_first:
            return
        if self._uploading is not None:
            self._uploading.result()
        directory = self.work_dir / f"checkpoint-{clips_seen}"
        state = TrainingState(
            clips_seen, self.step.state_dict(), random, self.identity.document, self._figures
        )
        checkpoint.write_checkpoint(state, self.outputs.export, directory)
        self._uploading = self._submit(self._commit, directory, clips_seen)

    def _random_states(self) -> dict[str, Tensor]:
        """Those of all workers."""
        return {
            f"{rank}.{device}": theirs.cpu()
            for device, own in checkpoint.random_state(self.parallel.device).items()
            for rank, theirs in enumerate(self.parallel.all_gather(own))
        }

    def _commit(self, directory: Path, clips_seen: int) -> None:
        if self._writer is None:
            run_id, token = self.identity.run_id, self.identity.lease_token
            pointer = RunPointer(self.store, run_id, token)
            prefix = f"runs/{run_id}/checkpoints"
            keep = self.identity.keep_checkpoints
            self._writer = CheckpointWriter(self.store, pointer, prefix, keep=keep)
        self._writer.commit(directory, clips_seen)
        shutil.rmtree(directory)
