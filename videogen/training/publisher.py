"""The first worker's slow work: files, uploads, MLflow, in one background thread and in order.

No step waits for it, but a checkpoint waits for the one before: at most one is under way. Of a
state of 500 MB, a step waits 25 ms for the copy; while the files are written, hashed and uploaded,
it goes on at 99 % of its speed where another core is free (these let go of the interpreter).
Checkpoints are judged by another process, which this thread does not wait for either.
"""

import shutil
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import ParamSpec, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from videogen.artifacts import EvaluationReport
from videogen.config.train import is_evaluation_figure
from videogen.errors import RegistryError, StorageError, VideogenError
from videogen.runs.pointer import Committed, RunPointer
from videogen.storage.base import ObjectStore
from videogen.training import checkpoint
from videogen.training.checkpoint import Document, Export, StepState, TrainingState
from videogen.training.checkpoint_store import CheckpointWriter, Keeping
from videogen.training.host_buffers import HostBuffers, HostCopy
from videogen.training.judging import Judgement, Judging, Online
from videogen.training.samples import SampleFiles
from videogen.training.schedules import is_due

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
    online: Online | None = None
    """How checkpoints are judged while the training goes on; None: they are not."""


@dataclass(frozen=True)
class Target:
    """Where a run's results go."""

    store: ObjectStore
    run_id: str
    lease_token: str
    total_clips: int
    keeping: Keeping
    work_dir: Path
    """For files on their way."""

    @property
    def best_is_judged(self) -> bool:
        """Whether it is found out by judging which checkpoint is best."""
        return is_evaluation_figure(self.keeping.best_metric)


@dataclass(frozen=True)
class People:
    """Lines for whoever watches; called in background threads too."""

    say: Callable[[str], None]
    warn: Callable[[str], None]


@dataclass(frozen=True)
class Moment:
    """What a checkpoint says beside tensors."""

    clips_seen: int
    figures: Mapping[str, float]
    """The last that were reported."""
    identity: Document


class Publisher:
    """Everything that is made known of a run, but its progress events."""

    def __init__(self, target: Target, outputs: Outputs, people: People) -> None:
        """`people` are told, in the background thread, of what was not kept, or was found out."""
        self._target, self._outputs, self._people = target, outputs, people
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="publish")
        self._submitted: list[Future[None]] = []
        self._tensors, self._random = HostBuffers(), HostBuffers()
        self._in_use: Future[None] | None = None
        self._tracker: Tracker | None = None
        self._writer: CheckpointWriter | None = None
        self._lock = threading.Lock()
        self._held: set[str] = set()
        self._judging: Judging | None = None
        if (online := outputs.online) is not None:
            self._judging = Judging(online, lambda one: self._submit(self._settle, one))

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

    def is_judged(self, timeout_s: float) -> bool:
        """Whether what matters of judging is done, after so long at most.

        That is the checkpoint under way and, where the best is found out by judging, the last.
        Waits for the last checkpoint to be committed, and raises what went wrong with that.
        """
        if self._judging is None:
            return True
        if self._in_use is not None:
            self._in_use.result()
        if not self._target.best_is_judged:
            self._judging.skip_waiting()
        return self._judging.is_done(timeout_s)

    def close(self) -> None:
        """Wait for what is under way, but for judging; raises what went wrong with it."""
        if self._judging is not None:
            self._judging.close()
        self._thread.shutdown(wait=True)
        self.check()

    def abandon(self) -> None:
        """Drop what has not begun; for an end by an error, which matters more."""
        if self._judging is not None:
            self._judging.close()
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _submit(self, work: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> Future[None]:
        with self._lock:
            future = self._thread.submit(work, *args, **kwargs)
            self._submitted = [one for one in self._submitted if not one.done() or one.exception()]
            self._submitted.append(future)
        return future

    def _log(self, figures: Mapping[str, float], clips_seen: int) -> None:
        try:
            if (tracker := self._open_tracker()) is not None:
                tracker.log_metrics(figures, clips_seen)
        except RegistryError as error:
            self._people.warn(f"figures at {clips_seen:,} clips were not logged: {error}")

    def _keep_samples(self, clips: NDArray[np.uint8], clips_seen: int) -> None:
        target, name = self._target, f"samples/{clips_seen:012d}"
        directory = target.work_dir / name
        try:
            for path in self._outputs.files.write(clips, clips_seen, directory):
                target.store.upload(f"runs/{target.run_id}/{name}/{path.name}", path)
                if (tracker := self._open_tracker()) is not None:
                    tracker.log_artifact(path, name)
        except VideogenError as error:
            self._people.warn(f"samples at {clips_seen:,} clips were not kept: {error}")
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
        writer, clips_seen = self._open_writer(), moment.clips_seen
        before = writer.clips_before(clips_seen)
        committed = writer.commit(directory, clips_seen, score, held=frozenset(self._held))
        shutil.rmtree(directory)
        self._offer(committed, before)

    def _offer(self, committed: Committed, before: int) -> None:
        """Have a checkpoint judged where that is due; what it takes to judge it is held."""
        if self._judging is None:
            return
        clips_seen, interval_clips = committed.clips_seen, self._judging.interval_clips
        is_last = clips_seen >= self._target.total_clips and self._target.best_is_judged
        if is_last or is_due(interval_clips, before, clips_seen):
            self._held.add(committed.prefix)
            self._judging.offer(committed)

    def _settle(self, judgement: Judgement) -> None:
        """Make known how a checkpoint was judged, or that it was not."""
        committed, report = judgement.committed, judgement.report
        self._held.discard(committed.prefix)
        score = None
        if report is None:
            self._people.warn(str(judgement))
        else:
            self._people.say(str(judgement))
            self._keep_report(committed, report)
            self._log(judgement.figures(), committed.clips_seen)
            score = self._score(committed, report)
        self._open_writer().settle(committed, score, held=frozenset(self._held))

    def _score(self, committed: Committed, report: EvaluationReport) -> float | None:
        """The best metric's value, where judging is what finds it out."""
        metric = self._target.keeping.best_metric
        if metric is None or not self._target.best_is_judged:
            return None
        score = report.metrics.get(metric)
        if score is None:
            self._people.warn(
                f"checkpoint at {committed.clips_seen:,} clips cannot be the best, its {metric} is "
                f"not known: {'; '.join(report.notes)}"
            )
        return score

    def _keep_report(self, committed: Committed, report: EvaluationReport) -> None:
        try:
            self._open_writer().add_report(committed, report.model_dump_json(indent=2).encode())
        except StorageError as error:
            self._people.warn(
                f"how the checkpoint at {committed.clips_seen:,} clips was judged is not kept: "
                f"{error}"
            )

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
