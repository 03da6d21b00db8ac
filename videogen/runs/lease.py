"""Who owns a run, or work on one object: one process at a time, by a lease with a heartbeat.

The lease says who may work, and on which data; what counts as committed is what the run's pointer
says (`pointer.py`), which moves only with the owner's token.
"""

import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace

from videogen.errors import (
    CorruptObjectError,
    LeaseHeldError,
    ObjectMissingError,
    PreconditionFailedError,
    StorageError,
)
from videogen.storage.base import ObjectStore, Stored

LEASE_TTL_S = 60.0


@dataclass(frozen=True)
class DataUse:
    """What an owner does with a dataset for as long as it holds the lease."""

    dataset: str
    snapshot: str | None = None
    """Digest of the one that it reads."""
    is_ingest: bool = False
    """Whether it is making the next one."""


@dataclass(frozen=True)
class LiveLease:
    """A lease that somebody holds."""

    run_id: str
    host: str
    pid: int
    use: DataUse | None
    """None where its owner is of a videogen that did not say."""


@dataclass(frozen=True)
class _Claim:
    token: str
    host: str
    pid: int
    expires_at: float
    """Seconds since the epoch; 0 once released."""
    use: DataUse | None = None

    def spell(self) -> bytes:
        return json.dumps({"format_version": 1, **asdict(self)}).encode()

    @classmethod
    def parse(cls, stored: Stored, key: str) -> "_Claim":
        try:
            document = json.loads(stored.data)
            use = document.get("use")
            known = {one.name: document[one.name] for one in fields(cls) if one.name != "use"}
            return cls(**known, use=None if use is None else DataUse(**use))
        except (ValueError, KeyError, TypeError) as error:
            raise CorruptObjectError(f"{key}: not a lease; delete the object to go on") from error

    def is_free(self, now: float) -> bool:
        """Whether the owner gave it back, let it expire, or died on this very machine."""
        return self.expires_at <= now or (
            self.host == socket.gethostname() and not _is_alive(self.pid)
        )


class Lease:
    """A held lease; `check` before anything that only the owner may do."""

    def __init__(self, store: ObjectStore, key: str, claim: _Claim, etag: str) -> None:
        self._store = store
        self._key = key
        self._claim = claim
        self._etag = etag
        self._stop = threading.Event()
        self._lost = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="lease-heartbeat", daemon=True)
        self._thread.start()

    @property
    def token(self) -> str:
        """What names this ownership in the run's pointer."""
        return self._claim.token

    def check(self) -> None:
        """Raises `LeaseHeldError` where the lease was lost to another process."""
        if self._lost.is_set():
            raise LeaseHeldError(
                f"{self._key}: the lease was lost to another process; this one stops, the other "
                "goes on from the last checkpoint"
            )

    def release(self) -> None:
        """Give the run back; harmless where it was lost, or the store is away (it expires)."""
        self._stop.set()
        self._thread.join()
        if self._lost.is_set():
            return
        try:
            self._write(expires_at=0.0)
        except (StorageError, CorruptObjectError):
            self._lost.set()

    def _beat(self) -> None:
        while not self._stop.wait(LEASE_TTL_S / 4):
            try:
                self._write(expires_at=time.time() + LEASE_TTL_S)
            except (PreconditionFailedError, CorruptObjectError):
                self._lost.set()
                return
            except StorageError:
                # An outage: whoever can reach the store decides, and the next beat tries again.
                continue

    def _write(self, *, expires_at: float) -> None:
        """Write our claim anew. Raises `PreconditionFailedError` where another's is there."""
        data = replace(self._claim, expires_at=expires_at).spell()
        try:
            self._etag = self._store.put_if_match(self._key, data, self._etag)
        except PreconditionFailedError:
            # An earlier beat may have been carried out although its answer was lost.
            stored = self._store.get(self._key)
            if _Claim.parse(stored, self._key).token != self.token:
                raise
            self._etag = self._store.put_if_match(self._key, data, stored.etag)


@contextmanager
def hold_lease(store: ObjectStore, run_id: str, use: DataUse | None = None) -> Iterator[Lease]:
    """Own the run for the length of the block, and say what is done with which data.

    Raises `LeaseHeldError`, naming the owner, where another process owns it.
    """
    lease = _acquire(store, _key(run_id), f"run {run_id}", "or use another --run-id", use)
    try:
        yield lease
    finally:
        lease.release()


@contextmanager
def hold_work(store: ObjectStore, key: str) -> Iterator[Lease]:
    """Be the one who makes something, for the length of the block; `key` is the lease's own.

    Raises `LeaseHeldError`, naming the owner, where another process is at it.
    """
    lease = _acquire(store, key, key, "or take what it makes", None)
    try:
        yield lease
    finally:
        lease.release()


def live_leases(store: ObjectStore) -> Iterator[LiveLease]:
    """The leases that are held now. Raises `CorruptObjectError` for an object that is none."""
    for run_id in store.children("runs/"):
        try:
            stored = store.get(_key(run_id))
        except ObjectMissingError:
            continue
        claim = _Claim.parse(stored, _key(run_id))
        if not claim.is_free(time.time()):
            yield LiveLease(run_id, claim.host, claim.pid, claim.use)


def last_use(store: ObjectStore, run_id: str) -> DataUse | None:
    """What the run's newest owner does with data, or did; None where none said so.

    Raises `CorruptObjectError` for an object that is no lease.
    """
    try:
        return _Claim.parse(store.get(_key(run_id)), _key(run_id)).use
    except ObjectMissingError:
        return None


def _key(run_id: str) -> str:
    return f"runs/{run_id}/lease"


def _acquire(store: ObjectStore, key: str, what: str, otherwise: str, use: DataUse | None) -> Lease:
    now = time.time()
    expires_at = now + LEASE_TTL_S
    claim = _Claim(secrets.token_hex(16), socket.gethostname(), os.getpid(), expires_at, use)
    try:
        stored = store.get(key)
    except ObjectMissingError:
        stored = None
    try:
        if stored is None:
            return Lease(store, key, claim, store.put_if_absent(key, claim.spell()))
        holder = _Claim.parse(stored, key)
        if holder.is_free(now):
            etag = store.put_if_match(key, claim.spell(), stored.etag)
            return Lease(store, key, claim, etag)
    except PreconditionFailedError as error:
        raise LeaseHeldError(
            f"{what}: another process took it at this very moment; wait for it to end, {otherwise}"
        ) from error
    raise LeaseHeldError(
        f"{what}: process {holder.pid} on {holder.host} works on it; wait for it to end, "
        f"{otherwise} (a dead owner's lease ends after {LEASE_TTL_S:.0f} s)"
    )


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
