"""Which checkpoints of a run are committed: one small object that moves by If-Match.

S3 cannot fence a plain PUT, so an owner that lost its lease may still write objects; it cannot
move this pointer, hence nothing that it writes is ever used.
"""

import json
from dataclasses import asdict, dataclass

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


@dataclass(frozen=True)
class _Version:
    token: str
    checkpoints: tuple[Committed, ...]
    etag: str | None


def committed_checkpoints(store: ObjectStore, run_id: str) -> tuple[Committed, ...]:
    """What the run's pointer lists, oldest first; empty where the run has none."""
    return _read(store, run_id).checkpoints


class RunPointer:
    """The owner's hand on a run's pointer."""

    def __init__(self, store: ObjectStore, run_id: str, token: str) -> None:
        """Take the pointer over for the owner with this lease token."""
        self._store = store
        self._run_id = run_id
        self._token = token
        before = _read(store, run_id)
        self._version = self._write(before.checkpoints, before.etag)

    @property
    def checkpoints(self) -> tuple[Committed, ...]:
        """The committed checkpoints, oldest first."""
        return self._version.checkpoints

    def commit(self, checkpoint: Committed, *, keep: int) -> tuple[Committed, ...]:
        """Add a checkpoint whose manifest is already stored, and keep the newest `keep`.

        Those that had seen as many clips or more are dropped too: the run went on from before
        them, because they did not verify, or because it was told to start anew.
        Returns those that fell out of the list; their objects may now be deleted. Raises
        `LeaseHeldError` where another owner has moved the pointer.
        """
        before = self.checkpoints
        older = [one for one in before if one.clips_seen < checkpoint.clips_seen]
        listed = (*older, checkpoint)[-keep:]
        self._version = self._write(listed, self._version.etag)
        return tuple(one for one in before if one not in listed)

    def _write(self, checkpoints: tuple[Committed, ...], etag: str | None) -> _Version:
        document = {
            "format_version": 1,
            "token": self._token,
            "checkpoints": [asdict(one) for one in checkpoints],
        }
        data = json.dumps(document, indent=1).encode()
        key = _key(self._run_id)
        try:
            new = (
                self._store.put_if_absent(key, data)
                if etag is None
                else self._store.put_if_match(key, data, etag)
            )
        except PreconditionFailedError as error:
            raise LeaseHeldError(
                f"{key}: another owner of run {self._run_id} moved the pointer; this process "
                "stops, the other goes on from the last checkpoint"
            ) from error
        return _Version(self._token, checkpoints, new)


def _key(run_id: str) -> str:
    return f"runs/{run_id}/pointer"


def _read(store: ObjectStore, run_id: str) -> _Version:
    key = _key(run_id)
    try:
        stored = store.get(key)
    except ObjectMissingError:
        return _Version("", (), None)
    try:
        document = json.loads(stored.data)
        checkpoints = tuple(Committed(**one) for one in document["checkpoints"])
        return _Version(document["token"], checkpoints, stored.etag)
    except (ValueError, KeyError, TypeError) as error:
        raise CorruptObjectError(
            f"{store.root}/{key}: not a run pointer; delete the object to start the run anew"
        ) from error
