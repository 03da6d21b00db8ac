"""Stage keys, and the record of which run holds the result of a key.

A stage's result is reused where its key is known: sha256 over the stage's canonical config (no
execution fields), the digests of its inputs, and the version of what the stage writes.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from videogen.config.run import STAGE_FORMATS, Stage
from videogen.config.section import digest_of
from videogen.errors import CorruptObjectError, ObjectMissingError, PreconditionFailedError
from videogen.storage.base import ObjectStore

_ATTEMPTS = 20


def stage_key(stage: Stage, document: Mapping[str, object], inputs: Mapping[str, str]) -> str:
    """The key of a stage's result: 64 hex digits."""
    return digest_of(
        {
            "stage": stage,
            "format": STAGE_FORMATS[stage],
            "config": dict(document),
            "inputs": dict(inputs),
        }
    )


@dataclass(frozen=True)
class StageRecord:
    """`stages/KEY`: the runs that worked on the key, oldest first, and whether the last is done."""

    runs: tuple[str, ...]
    done: bool

    @property
    def holder(self) -> str:
        """The run that worked on it last."""
        return self.runs[-1]


def read_record(store: ObjectStore, key: str) -> StageRecord | None:
    """The record of a key, or None where no run has begun it."""
    try:
        return _parse(store.get(f"stages/{key}").data, key)
    except ObjectMissingError:
        return None


def begin(store: ObjectStore, key: str, run_id: str) -> StageRecord:
    """Record that `run_id` works on the key; earlier runs stay named, to go on from."""
    return _update(store, key, run_id, done=False)


def finish(store: ObjectStore, key: str, run_id: str) -> StageRecord:
    """Record that `run_id` holds the key's result."""
    return _update(store, key, run_id, done=True)


def _update(store: ObjectStore, key: str, run_id: str, *, done: bool) -> StageRecord:
    for _ in range(_ATTEMPTS):
        try:
            stored = store.get(f"stages/{key}")
        except ObjectMissingError:
            record = StageRecord(runs=(run_id,), done=done)
            try:
                store.put_if_absent(f"stages/{key}", _spell(record))
            except PreconditionFailedError:
                continue
            return record
        earlier = _parse(stored.data, key)
        runs = (*(run for run in earlier.runs if run != run_id), run_id)
        record = StageRecord(runs=runs, done=done)
        try:
            store.put_if_match(f"stages/{key}", _spell(record), stored.etag)
        except PreconditionFailedError:
            continue
        return record
    raise PreconditionFailedError(
        f"{store.root}/stages/{key}: other runs kept changing this record; run the stage again"
    )


def _spell(record: StageRecord) -> bytes:
    return json.dumps({"format_version": 1, "runs": record.runs, "done": record.done}).encode()


def _parse(data: bytes, key: str) -> StageRecord:
    try:
        document = json.loads(data)
        return StageRecord(runs=tuple(document["runs"]), done=document["done"])
    except (ValueError, KeyError, TypeError) as error:
        raise CorruptObjectError(
            f"stages/{key}: not a stage record; delete the object to run the stage anew"
        ) from error
