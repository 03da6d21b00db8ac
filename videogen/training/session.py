"""What a worker does around the loop: resume, report, samples, checkpoints."""

import json
import logging
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Protocol

from torch import Tensor

from videogen.config.train import is_evaluation_figure
from videogen.errors import ConfigError
from videogen.progress import ProgressEvent
from videogen.runs import manifest
from videogen.runs.pointer import Committed, committed_checkpoints
from videogen.storage.base import ObjectStore
from videogen.training import checkpoint
from videogen.training.checkpoint import Document, StepState
from videogen.training.checkpoint_store import Keeping, newest_that_verifies
from videogen.training.loop import Hooks, Step
from videogen.training.parallel import Parallel
from videogen.training.publisher import Moment, Outputs, People, Publisher, Target

_JUDGING_POLL_S = 1.0
_log = logging.getLogger(__name__)


class StatefulStep(Step, Protocol):
    """A step whose every state can be kept and put back."""

    def state_dict(self) -> StepState:
        """The tensors themselves, which the next update changes, and JSON scalars; by name."""

    def load_state_dict(self, state: StepState) -> None:
        """Go on from that state exactly."""


class Channel(Protocol):
    """The way to whoever started the training."""

    def tell(self, event: ProgressEvent) -> None:
        """Pass an event on, without waiting."""

    def should_stop(self) -> bool:
        """Whether it asked for an end."""


@dataclass(frozen=True)
class RunIdentity:
    """Which run this is, as far as its checkpoints go."""

    run_id: str
    lease_token: str
    document: Document
    """The config and inputs that a checkpoint must share to be gone on from."""
    total_clips: int
    keep_checkpoints: int
    best_metric: str | None = None
    """The figure that decides which checkpoint is best, and kept too; lower is better."""
    earlier: Sequence[Committed] = ()
    """Checkpoints of unfinished runs of the same stage key, best first."""
    ignored: frozenset[str] = frozenset()
    """Prefixes of this run's checkpoints that it must not go on from."""


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
    _clips_seen: int = 0
    _has_reported: bool = False

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
        """Wait for what is under way; raises what went wrong with it.

        At the end of the training that is judging too; it is dropped where an end was asked for.
        """
        try:
            if self.parallel.is_first and self._clips_seen >= self.identity.total_clips:
                self._await_judging()
        finally:
            self._publisher.close()

    def abandon(self) -> None:
        """Drop what has not begun; for an end by an error, which matters more."""
        self._publisher.abandon()

    def say(self, message: str) -> None:
        """Show people a line; only the first worker's are shown."""
        if self.parallel.is_first:
            event = ProgressEvent("train", self._clips_seen, None, "clips", message)
            self.channel.tell(event)  # no total: a note, which is shown however soon it follows

    def warn(self, message: str) -> None:
        """Show people a line, and log it."""
        _log.warning(message)
        self.say(message)

    @cached_property
    def _publisher(self) -> Publisher:
        identity = self.identity
        target = Target(
            store=self.store,
            run_id=identity.run_id,
            lease_token=identity.lease_token,
            total_clips=identity.total_clips,
            keeping=Keeping(identity.keep_checkpoints, identity.best_metric, identity.ignored),
            work_dir=self.work_dir,
        )
        return Publisher(target, self.outputs, People(self.say, self.warn))

    def _await_judging(self) -> None:
        if self._publisher.is_judged(0.0):
            return
        self.say("waiting for the evaluation of a checkpoint that is under way (Ctrl-C drops it)")
        while not self._publisher.is_judged(_JUDGING_POLL_S):
            self._tell()  # the answer says whether an end is asked for
            if self.channel.should_stop():
                self.say("the evaluation that is under way is dropped")
                return

    def _newest(self, directory: Path) -> Committed | None:
        own = committed_checkpoints(self.store, self.identity.run_id)
        usable = [one for one in reversed(own) if one.prefix not in self.identity.ignored]
        candidates = [*usable, *self.identity.earlier]
        found = newest_that_verifies(self.store, candidates, directory, self.warn)
        if candidates and found is None:
            self.warn(f"none of {len(candidates)} checkpoints verifies; training starts anew")
        return found

    def _report(self, figures: Mapping[str, float], clips_seen: int) -> None:
        self._figures = figures
        self._require_best_metric()
        if not self.parallel.is_first:
            return
        self._publisher.check()
        self._clips_seen = clips_seen
        self._tell(dict(figures))
        self._publisher.figures(figures, clips_seen)
        if not self._has_reported:
            self._publisher.reserve(self.step.state_dict())
            self._has_reported = True

    def _require_best_metric(self) -> None:
        wanted = self.identity.best_metric
        if self.outputs.online is not None and is_evaluation_figure(wanted):
            return
        if wanted is not None and wanted not in self._figures:
            raise ConfigError(
                f"train.best_metric is {wanted!r}, which is never reported; choose one of "
                f"{', '.join(sorted(self._figures))}"
            )

    def _sample(self, clips_seen: int) -> None:
        if self.parallel.is_first:
            self._publisher.samples(clips_seen)

    def _checkpoint(self, clips_seen: int) -> None:
        random = self._random_states()
        if self.parallel.is_first:
            moment = Moment(clips_seen, self._figures, self.identity.document)
            self._publisher.checkpoint(moment, self.step.state_dict(), random)

    def _random_states(self) -> dict[str, Tensor]:
        """Those of all workers, by `RANK.DEVICE`."""
        return {
            f"{rank}.{device}": theirs
            for device, own in checkpoint.random_state(self.parallel.device).items()
            for rank, theirs in enumerate(self.parallel.all_gather(own))
        }

    def _tell(self, values: dict[str, float] | None = None) -> None:
        total = self.identity.total_clips
        self.channel.tell(
            ProgressEvent("train", self._clips_seen, total, "clips", values=values or {})
        )
