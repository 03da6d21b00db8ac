"""`HEAD` of a dataset: which snapshot is current, moved by conditional writes only."""

import uuid
from collections.abc import Mapping

from videogen.data.snapshots.format import Head, head_key, parse, seal
from videogen.errors import ObjectMissingError, PreconditionFailedError, StorageError
from videogen.storage.base import ObjectStore

Found = tuple[Head, str] | None
"""`HEAD` with its etag, where there is one."""


def read_head(store: ObjectStore, dataset: str) -> Found:
    """Where the dataset is now. Raises `CorruptObjectError`, `DatasetError`, `StorageError`."""
    key = head_key(dataset)
    try:
        stored = store.get(key)
    except ObjectMissingError:
        return None
    return parse(Head, stored.data, key), stored.etag


def new_head(snapshot: str, ingest_digest: str, lineages: Mapping[str, str]) -> Head:
    """A pointer that no other writer's can be taken for."""
    return Head(
        snapshot=snapshot,
        ingest_digest=ingest_digest,
        lineages=dict(lineages),
        nonce=uuid.uuid4().hex,
    )


def move_head(store: ObjectStore, dataset: str, new: Head, before: Found) -> bool:
    """Whether `HEAD` took this value; False where another writer was first."""
    key = head_key(dataset)
    etag = before[1] if before else None
    try:
        if etag is None:
            store.put_if_absent(key, seal(new))
        else:
            store.put_if_match(key, seal(new), etag)
    except StorageError as error:
        # The write may have been made although its answer was lost, or answered 412 on a resend.
        now = read_head(store, dataset)
        if now is not None and now[0].nonce == new.nonce:
            return True
        if not isinstance(error, PreconditionFailedError) and (now[1] if now else None) == etag:
            raise
        return False
    return True
