"""Which checkpoints of a run are committed, and which is best: one object that moves by If-Match.

S3 cannot fence a plain PUT, so an owner that lost its lease may still write objects; it cannot
move this pointer, hence nothing that it writes is ever used.
"""

import json
import math
from dataclasses import asdict, dataclass, replace

from videogen.errors import (
    CorruptObjectError,
    LeaseHeldError,
    ObjectMissingError,
    PreconditionFailedError,
)
from videogen.storage.base import ObjectStore


@dataclass(frozen=True)
class Committed:
    """One committed checkpoint."""

    prefix: str
    clips_seen: int
    manifest_sha256: str
    score: float | None = None
    """The figure that decides which is best, lower is better; None where there is none."""


@dataclass(frozen=True)
class Best:
    """The checkpoint with the lowest score, of those that were kept."""

    checkpoint: Committed
    metric: str
    """The figure that its score is."""


@dataclass(frozen=True)
class _Version:
    token: str
    checkpoints: tuple[Committed, ...]
    metric: str | None
    """What the scores are; None where the checkpoints have none."""
    etag: str | None

    @property
    def best(self) -> Committed | None:
        """The first of those with the lowest score."""
        return _lowest(self.checkpoints)


def committed_checkpoints(store: ObjectStore, run_id: str) -> tuple[Committed, ...]:
    """What the run's pointer lists, oldest first; empty where the run has none.

    These are the newest, and the best one, which may be older.
    """
    return _read(store, run_id).checkpoints


def best_checkpoint(store: ObjectStore, run_id: str) -> Best | None:
    """The run's best checkpoint, or None where no score decides."""
    version = _read(store, run_id)
    best = version.best
    return None if best is None or version.metric is None else Best(best, version.metric)


def take_pointer(store: ObjectStore, run_id: str, token: str) -> None:
    """Hand the pointer to the owner with this lease token, who has just got the lease.

    Whoever had it before can move it no more. Raises `LeaseHeldError` where another owner takes it
    at the same time.
    """
    before = _read(store, run_id)
    _write(store, run_id, replace(before, token=token))


class RunPointer:
    """The owner's hand on a run's pointer."""

    def __init__(self, store: ObjectStore, run_id: str, token: str) -> None:
        """Open the pointer that `take_pointer` handed to this token.

        Raises `LeaseHeldError` where it is another owner's: a process that lost its lease before
        its first commit must not take the pointer back.
        """
        self._store = store
        self._run_id = run_id
        self._version = _read(store, run_id)
        if self._version.token != token:
            raise _lost(run_id)

    @property
    def checkpoints(self) -> tuple[Committed, ...]:
        """The committed checkpoints, oldest first."""
        return self._version.checkpoints

    def commit(
        self,
        checkpoint: Committed,
        *,
        keep: int,
        metric: str | None = None,
        ignored: frozenset[str] = frozenset(),
        held: frozenset[str] = frozenset(),
    ) -> tuple[Committed, ...]:
        """Add a checkpoint whose manifest is already stored; keep the newest `keep` and the best.

        Best is the lowest score; `metric` names what the scores are, and those of another metric
        are forgotten. A score that is not finite is none. Those with a prefix in `held` stay for
        now: their score is being found out. Checkpoints that had seen as many clips
        or more are dropped too: the run went on from before them, because they did not verify. So
        are those with a prefix in `ignored`: the run was told to start anew.
        Returns those that fell out of the list; their objects may now be deleted. Raises
        `LeaseHeldError` where another owner has moved the pointer.
        """
        before = self.checkpoints
        older = [
            one
            for one in before
            if one.clips_seen < checkpoint.clips_seen and one.prefix not in ignored
        ]
        if metric is None or metric != self._version.metric:
            older = [replace(one, score=None) for one in older]
        score = checkpoint.score
        if metric is None or score is None or not math.isfinite(score):
            checkpoint = replace(checkpoint, score=None)
        listed = _kept((*older, checkpoint), keep, held)
        return self._move(replace(self._version, checkpoints=listed, metric=metric))

    def settle(
        self, prefix: str, score: float | None, *, keep: int, held: frozenset[str] = frozenset()
    ) -> tuple[Committed, ...]:
        """Give a checkpoint that was held the score that was found out since it was committed.

        What it is a score of was said to `commit`; of one that is not finite, or None, nothing is
        known. Keeps, returns and raises as `commit` does; a prefix that is not listed is none's.
        """
        scored = self.checkpoints
        if score is not None and math.isfinite(score):
            scored = tuple(
                replace(one, score=score) if one.prefix == prefix else one for one in scored
            )
        listed = _kept(scored, keep, held)
        if listed == self.checkpoints:
            return ()
        return self._move(replace(self._version, checkpoints=listed))

    def _move(self, version: _Version) -> tuple[Committed, ...]:
        """Store the version in place of the one before; the checkpoints that it lists no more."""
        before = self.checkpoints
        self._version = _write(self._store, self._run_id, version)
        kept = {one.prefix for one in version.checkpoints}
        return tuple(one for one in before if one.prefix not in kept)


def _kept(
    checkpoints: tuple[Committed, ...], keep: int, held: frozenset[str]
) -> tuple[Committed, ...]:
    """The newest, the best, and those that are held; oldest first, as they are given."""
    best = _lowest(checkpoints)
    return tuple(
        one
        for one in checkpoints
        if one is best or one in checkpoints[-keep:] or one.prefix in held
    )


def _lowest(checkpoints: tuple[Committed, ...]) -> Committed | None:
    scored = [(one.score, one) for one in checkpoints if one.score is not None]
    return min(scored, key=lambda pair: pair[0])[1] if scored else None


def _write(store: ObjectStore, run_id: str, version: _Version) -> _Version:
    """Store the version in place of the one that its etag names; the version with its new etag."""
    document = {
        "format_version": 1,
        "token": version.token,
        "checkpoints": [asdict(one) for one in version.checkpoints],
        "metric": version.metric,
        "best": version.best.prefix if version.best else None,
    }
    data, key = json.dumps(document, indent=1).encode(), _key(run_id)
    try:
        new = (
            store.put_if_absent(key, data)
            if version.etag is None
            else store.put_if_match(key, data, version.etag)
        )
    except PreconditionFailedError as error:
        raise _lost(run_id) from error
    return replace(version, etag=new)


def _lost(run_id: str) -> LeaseHeldError:
    return LeaseHeldError(
        f"{_key(run_id)}: another owner of run {run_id} has the pointer; this process stops, the "
        "other goes on from the last checkpoint"
    )


def _key(run_id: str) -> str:
    return f"runs/{run_id}/pointer"


def _read(store: ObjectStore, run_id: str) -> _Version:
    key = _key(run_id)
    try:
        stored = store.get(key)
    except ObjectMissingError:
        return _Version("", (), None, None)
    try:
        document = json.loads(stored.data)
        checkpoints = tuple(Committed(**one) for one in document["checkpoints"])
        return _Version(document["token"], checkpoints, document.get("metric"), stored.etag)
    except (ValueError, KeyError, TypeError) as error:
        raise CorruptObjectError(
            f"{store.root}/{key}: not a run pointer; delete the object to start the run anew"
        ) from error
