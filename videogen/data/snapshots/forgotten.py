"""Tombstones: sources that a dataset was told to forget, and never takes in again.

A tombstone is written before `HEAD` moves, and whoever moves `HEAD` reads the tombstones after it
read `HEAD`; so no writer can bring a source back that is being forgotten meanwhile.
"""

from pathlib import PurePosixPath

from videogen.data.snapshots.format import (
    Document,
    forgotten_key,
    forgotten_prefix,
    parse,
    seal,
)
from videogen.errors import ObjectMissingError
from videogen.storage.base import ObjectStore


class Tombstone(Document):
    """What `forgotten/SHA256.json` holds: a forgotten source, and what is still to be purged."""

    source_sha256: str
    sources: tuple[str, ...] = ()
    """URIs that it was ingested from; emptied by a purge."""
    forgotten_at: str
    """UTC, ISO 8601."""
    snapshots: tuple[str, ...] = ()
    """Digests of the snapshots that a purge has yet to delete."""
    keys: tuple[str, ...] = ()
    """Objects that a purge has yet to delete, beside those snapshots."""
    purged_at: str | None = None
    """When the last purge was complete; None where there was none."""


def forgotten_sources(store: ObjectStore, dataset: str) -> frozenset[str]:
    """sha256 of each source that the dataset was told to forget."""
    found = store.list(forgotten_prefix(dataset))
    return frozenset(PurePosixPath(info.key).stem for info in found)


def read_tombstone(store: ObjectStore, dataset: str, source_sha256: str) -> Tombstone | None:
    """The tombstone of a source, or None where it was not forgotten."""
    key = forgotten_key(dataset, source_sha256)
    try:
        return parse(Tombstone, store.get(key).data, key)
    except ObjectMissingError:
        return None


def write_tombstone(store: ObjectStore, dataset: str, tombstone: Tombstone) -> None:
    """Keep it, in place of an earlier one of the same source."""
    store.put(forgotten_key(dataset, tombstone.source_sha256), seal(tombstone))
