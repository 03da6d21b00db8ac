"""A run's checkpoints in the store: written, found again, verified.

What counts as committed, and which checkpoint is best, is what the run's pointer says.
"""

import secrets
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from videogen.errors import CorruptObjectError, ObjectMissingError
from videogen.runs import manifest
from videogen.runs.pointer import Committed, RunPointer
from videogen.storage.base import ObjectStore
from videogen.training.checkpoint import STATE_FILE, StateDocument, parse_document

REPORT_FILE = "evaluation.json"
"""An `EvaluationReport`, beside the files that the manifest lists."""


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
    return parse_document(data, f"{store.root}/{key}")


def newest_that_verifies(
    store: ObjectStore,
    candidates: Iterable[Committed],
    directory: Path,
    warn: Callable[[str], None],
) -> Committed | None:
    """Fetch the first candidate whose every file verifies into `directory`; None where none does.

    One that does not is left out, and `warn` is told which object is at fault. A store that cannot
    be reached is an error, not a corrupt checkpoint.
    """
    for candidate in candidates:
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
        try:
            manifest.fetch(store, candidate.prefix, candidate.manifest_sha256, directory)
        except CorruptObjectError as error:
            warn(f"the checkpoint at {candidate.clips_seen:,} clips is passed over: {error}")
            continue
        return candidate
    return None


@dataclass(frozen=True)
class Keeping:
    """Which checkpoints of a run stay."""

    newest: int
    """So many of the last."""
    best_metric: str | None = None
    """And the one where this figure was lowest."""
    ignored: frozenset[str] = frozenset()
    """Prefixes of those that never do: the run was told to start anew."""


class CheckpointWriter:
    """Publishes checkpoints of one run, one at a time."""

    def __init__(self, store: ObjectStore, pointer: RunPointer, prefix: str, rule: Keeping) -> None:
        """Write below `prefix`, and keep what the rule says."""
        self._store = store
        self._pointer = pointer
        self._prefix = prefix
        self._rule = rule

    def clips_before(self, clips_seen: int) -> int:
        """Clips seen by the newest committed checkpoint before `clips_seen`; 0 where none is."""
        usable = [
            one.clips_seen
            for one in self._pointer.checkpoints
            if one.prefix not in self._rule.ignored and one.clips_seen < clips_seen
        ]
        return max(usable, default=0)

    def commit(
        self,
        directory: Path,
        clips_seen: int,
        score: float | None = None,
        *,
        held: frozenset[str] = frozenset(),
    ) -> Committed:
        """Upload a checkpoint's directory, move the pointer to it, delete those it pushes out.

        `score` is the best metric's value; prefixes in `held` are not pushed out yet. The prefix is
        fresh, so that nothing that was committed is ever written over.
        """
        prefix = f"{self._prefix}/{clips_seen:012d}-{secrets.token_hex(4)}"
        sha256 = manifest.publish(self._store, prefix, directory)
        committed = Committed(prefix, clips_seen, sha256, score)
        rule = self._rule
        for dropped in self._pointer.commit(
            committed, keep=rule.newest, metric=rule.best_metric, ignored=rule.ignored, held=held
        ):
            self._delete(dropped)
        return committed

    def add_report(self, committed: Committed, report: bytes) -> None:
        """Keep beside a checkpoint's files how it was judged; it goes when they go.

        Of a checkpoint that was pushed out meanwhile nothing is kept.
        """
        if committed.prefix in {one.prefix for one in self._pointer.checkpoints}:
            self._store.put(f"{committed.prefix}/{REPORT_FILE}", report)

    def settle(
        self, committed: Committed, score: float | None, *, held: frozenset[str] = frozenset()
    ) -> None:
        """Hold a checkpoint no longer: it was judged, or will not be.

        `score` is the best metric's value, where that is what was found out.
        """
        for dropped in self._pointer.settle(
            committed.prefix, score, keep=self._rule.newest, held=held
        ):
            self._delete(dropped)

    def _delete(self, dropped: Committed) -> None:
        self._store.delete(f"{dropped.prefix}/{manifest.MANIFEST}")
        for found in list(self._store.list(f"{dropped.prefix}/")):
            self._store.delete(found.key)
