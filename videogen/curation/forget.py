"""Sources leave a dataset: a snapshot without them, and shards without their bytes."""

import os
import re
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from difflib import get_close_matches
from pathlib import Path

import pyarrow.compute as pc

from videogen.artifacts import Artifact
from videogen.curation.holdings import Chain, Holdings, contents, find_holdings, rows_in
from videogen.curation.listing import require_head
from videogen.curation.purge import Purged, purge
from videogen.curation.repack import Move, Repacker, by_shard, move_rows, usable
from videogen.curation.source_records import records_called, repoint, waiting
from videogen.curation.uses import Tracked, described, refuse_in_use, run_uses
from videogen.data.snapshots.clip_table import ClipRow, of_sources, rows_of
from videogen.data.snapshots.forgotten import (
    Tombstone,
    forgotten_sources,
    read_tombstone,
    write_tombstone,
)
from videogen.data.snapshots.snapshot import load_snapshot
from videogen.errors import DatasetError, StorageError
from videogen.progress import Progress, ProgressEvent, silent
from videogen.storage.base import ObjectStore

_SHA256 = re.compile(r"[0-9a-f]{64}")
_ATTEMPTS = 5
_ANY_SIZE = 1 << 62


@dataclass(frozen=True)
class Wanted:
    """What is to be forgotten."""

    sources: tuple[str, ...] = ()
    """URIs or paths, as they were ingested."""
    videos: tuple[str, ...] = ()
    """sha256 of their contents, hex."""
    purge: bool = False
    """Whether their bytes are to go too, with the snapshots that hold them."""


class Forgetting(Artifact):
    """What was forgotten, and who had worked with it."""

    dataset: str
    snapshot: str
    """The current one afterwards."""
    sources: tuple[str, ...]
    """sha256 of each."""
    uris: tuple[str, ...]
    clips: int
    """That were taken from them, in any snapshot."""
    snapshots: tuple[str, ...]
    """That have such clips; a purge deletes them."""
    shards: tuple[str, ...]
    """That have such clips, among others; written anew without them."""
    runs: tuple[str, ...]
    """That worked with such a snapshot, with their stages."""
    model_versions: tuple[str, ...]
    """That were trained with such a snapshot, as `NAME/VERSION`. They stay as they are."""
    purged: Purged | None = None


def forget(
    store: ObjectStore,
    dataset: str,
    wanted: Wanted,
    tracked: Tracked,
    progress: Progress = silent,
) -> Forgetting:
    """Make a snapshot of every lineage without these sources, and never take them in again.

    Shards that held their clips are written anew without them. Old snapshots stay readable, and so
    do the bytes, unless `wanted.purge`: then everything that holds or shows the sources is deleted
    with all versions that the store keeps. An interrupted purge goes on when it is asked for
    again.

    Raises:
        DatasetError: no such dataset or source; nearest names are told.
        LeaseHeldError: with a purge, where a run works with a snapshot that would go.
        CorruptObjectError, StorageError, RegistryError: nothing is changed before all was looked
            up.
    """
    require_head(store, dataset)
    progress(ProgressEvent("forget", message="looking at snapshots, records and runs"))
    chain = Chain.read(store, dataset)
    digests = look_up(store, dataset, wanted, chain)
    held = find_holdings(store, dataset, digests, chain)
    journal = [read_tombstone(store, dataset, digest) for digest in digests]
    _refuse_unknown(dataset, held, journal)
    seen = held.showing | {one for stone in journal if stone for one in stone.snapshots}
    runs = list(run_uses(store))
    versions = tracked.model_versions(seen)
    if wanted.purge:
        refuse_in_use(store, dataset, held.touching, "purging a source")
    _bury(store, dataset, digests, held)
    snapshot = _Leaving(store, dataset, digests, held.shards, progress).finish()
    purged = None
    if wanted.purge:
        refuse_in_use(store, dataset, held.touching, "purging a source, which has left it,")
        purged = purge(store, dataset, digests, (tracked, runs), progress)
    return Forgetting(
        dataset=dataset,
        snapshot=snapshot,
        sources=tuple(sorted(digests)),
        uris=tuple(sorted(frozenset[str]().union(*held.uris.values()))),
        clips=len(held.clip_ids),
        snapshots=tuple(sorted(seen)),
        shards=tuple(sorted(held.shards)),
        runs=described(runs, seen),
        model_versions=versions,
        purged=purged,
    )


def look_up(store: ObjectStore, dataset: str, wanted: Wanted, chain: Chain) -> frozenset[str]:
    """sha256 (hex) of the contents that are meant.

    Raises `DatasetError` for a source that the dataset does not know, or a word that is no sha256.
    """
    for video in wanted.videos:
        if not _SHA256.fullmatch(video.lower()):
            raise DatasetError(
                f"--video {video!r} is no sha256: give 64 hex digits, as `sha256sum FILE` prints"
            )
    found = {video.lower() for video in wanted.videos}
    if wanted.sources:
        known = _known_uris(store, dataset, chain)
        for source in wanted.sources:
            found |= _contents_of(store, dataset, source, known)
    return frozenset(found)


def _known_uris(store: ObjectStore, dataset: str, chain: Chain) -> dict[str, set[str]]:
    """sha256 of the contents that each URI had."""
    known = contents(chain.tables.values())
    for digest in forgotten_sources(store, dataset):
        stone = read_tombstone(store, dataset, digest)
        for uri in stone.sources if stone else ():
            known.setdefault(uri, set()).add(digest)
    return known


def _contents_of(
    store: ObjectStore, dataset: str, source: str, known: dict[str, set[str]]
) -> set[str]:
    spellings = {source}
    if "://" not in source:
        path = os.path.abspath(os.path.expanduser(source))  # noqa: PTH100, PTH111 - takes `..` out
        uri = Path(path).as_uri()
        # in the URI of a sequence of images the last star stands for their number
        spellings |= {uri, "*".join(uri.rsplit("%2A", 1))}
    found = {sha256 for uri in spellings for sha256 in known.get(uri, ())}
    records = records_called(store, dataset, spellings)
    found |= {record.sha256 for record in records if record.sha256}
    if found:
        return found
    near = get_close_matches(max(spellings, key=len), known, n=1, cutoff=0.8)
    hint = f"did you mean {near[0]}?" if near else "`--video SHA256` names it by its content"
    raise DatasetError(f"dataset {dataset} knows no source {source!r}: {hint}")


def _refuse_unknown(dataset: str, held: Holdings, journal: Collection[Tombstone | None]) -> None:
    if not (any(held.uris.values()) or held.shards or any(journal)):
        raise DatasetError(
            f"dataset {dataset} has no video with that content: `videogen dataset show {dataset}` "
            "tells what is in it"
        )


def _bury(store: ObjectStore, dataset: str, digests: frozenset[str], held: Holdings) -> None:
    """Write the tombstones; from here on nobody takes the sources in."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    for digest in sorted(digests):
        stone = read_tombstone(store, dataset, digest)
        if stone is None:
            stone = Tombstone(source_sha256=digest, forgotten_at=now)
        uris = tuple(sorted({*stone.sources, *held.uris[digest]}))
        write_tombstone(store, dataset, stone.model_copy(update={"sources": uris}))


@dataclass(frozen=True)
class _Leaving:
    """Sources on their way out of the newest snapshot of every lineage."""

    store: ObjectStore
    dataset: str
    digests: frozenset[str]
    shards: frozenset[str]
    """That have clips of theirs."""
    progress: Progress

    def finish(self) -> str:
        """Free all newest snapshots of them and their shards; the current one's digest.

        `HEAD` moves once at least: whoever read the tombstones before they were written reads them
        again then. Raises `StorageError` where other writers never rest.
        """
        has_moved = False
        for _ in range(_ATTEMPTS):
            head = require_head(self.store, self.dataset)
            held = [one for one in sorted(head.lineages) if self._holds(head.lineages[one])]
            if has_moved and not held:
                return head.snapshot
            for ingest_digest in held or [head.ingest_digest]:
                self._rewrite(head.lineages[ingest_digest])
            has_moved = True
        raise StorageError(
            f"dataset {self.dataset} changed {_ATTEMPTS} times while a source was to leave it: run "
            "the command again when others are done"
        )

    def _holds(self, snapshot: str) -> bool:
        clips = load_snapshot(self.store, self.dataset, snapshot).clips
        return bool(
            pc.any(of_sources(clips, self.digests)).as_py() or len(rows_in(clips, self.shards))
        )

    def _rewrite(self, digest: str) -> None:
        """Write the other clips of shared shards anew; forgotten rows leave with any commit."""
        snapshot = load_snapshot(self.store, self.dataset, digest)
        others = snapshot.clips.filter(pc.invert(of_sources(snapshot.clips, self.digests)))
        rows = rows_of(rows_in(others, self.shards))
        for record in waiting(self.store, snapshot, self.shards):
            rows += record.clips if record.sha256 not in self.digests else ()
        moves = self._pack(by_shard(rows))
        after = move_rows(snapshot, moves, self.store)
        forgotten = forgotten_sources(self.store, self.dataset)
        repoint(self.store, after, usable(moves, forgotten), {row.source for row in rows})

    def _pack(self, groups: dict[str, list[ClipRow]]) -> tuple[Move, ...]:
        """A new shard for each old one."""
        with Repacker(self.store, self.dataset, _ANY_SIZE) as repacker:
            for done, (shard, clips) in enumerate(groups.items()):
                self._report(done, len(groups))
                repacker.add(shard, clips)
                repacker.finish()
            self._report(len(groups), len(groups))
            return tuple(repacker.moves)

    def _report(self, done: int, total: int) -> None:
        self.progress(ProgressEvent("forget", done, total, "shards", self.dataset))
