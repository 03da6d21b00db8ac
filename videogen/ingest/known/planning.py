"""What an ingest has to do: which sources are known, and which are new."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime

import pyarrow as pa
import pyarrow.compute as pc

from videogen.artifacts import DatasetRef
from videogen.config.run import RunConfig
from videogen.data.snapshots.clip_table import SCHEMA
from videogen.data.snapshots.forgotten import forgotten_sources
from videogen.data.snapshots.format import Head
from videogen.data.snapshots.snapshot import Snapshot, head, load_snapshot
from videogen.errors import DatasetError
from videogen.ingest.known.comparison import Survey, survey, with_facts
from videogen.ingest.known.ledger import Entry, Ledger, read_ledger
from videogen.ingest.known.publication import Publication
from videogen.ingest.known.records import SourceRecord, load_records
from videogen.ingest.sources.listing import find_sources
from videogen.ingest.sources.metadata import Metadata, load_metadata
from videogen.ingest.sources.source import FILE, Source, path_of
from videogen.storage.base import ObjectStore


@dataclass(frozen=True)
class IngestPlan:
    """The sources of a config against what the store holds."""

    dataset: str
    ingest_digest: str
    forced: bool
    """Whether everything is done again, whatever is known."""
    listed: pa.Table
    """All sources of the config; as of `survey.with_facts`."""
    metadata: Metadata
    new: tuple[Source, ...]
    """To be looked at, and decoded unless their content is known; none that must be left out."""
    before: Mapping[str, SourceRecord]
    """Of new sources that were known, by URI: they may have been touched and not changed."""
    ledger: Ledger
    """What is known of all sources of the lineage, listed or not."""
    unledgered: tuple[SourceRecord, ...]
    """Of listed sources, by an ingest that was interrupted: the ledger does not know them."""
    pending: tuple[SourceRecord, ...]
    """Listed sources whose clips were made, and are not in the snapshot."""
    contents: pa.Array
    """sha256 of the sources that need not be decoded again, under whatever name they come."""
    forgotten: frozenset[str]
    snapshot: Snapshot | None
    """The newest of this ingest digest."""
    head: Head | None
    facts_change: bool
    """Whether rows of the snapshot must change, or go, for what is said of their source."""

    @property
    def num_listed(self) -> int:
        """Sources of the config."""
        return len(self.listed)

    @property
    def new_bytes(self) -> int:
        """Size of the new sources."""
        return sum(source.size_bytes for source in self.new)

    @property
    def is_done(self) -> bool:
        """Whether nothing is left to do."""
        is_current = self.head is None or self.head.ingest_digest == self.ingest_digest
        is_left = self.new or self.pending or self.unledgered or self.facts_change
        return not is_left and (self.snapshot is None or is_current)


def plan(
    config: RunConfig, store: ObjectStore, *, force: bool = False, today: date | None = None
) -> IngestPlan:
    """Look at sources and store, and decide; writes nothing and starts nothing.

    A source is known by its URI with size and modification time (or ETag). `force` takes all
    sources as new. `today` decides what is expired; None: by UTC. Raises `SourceError`,
    `ConfigError`, `StorageError`, `DatasetError`, `CorruptObjectError`.
    """
    return _Planner(config, store, force=force).plan(today or datetime.now(UTC).date())


class _Planner:
    """Reads what there is of a lineage; `force` takes it for nothing."""

    def __init__(self, config: RunConfig, store: ObjectStore, *, force: bool) -> None:
        self._config = config
        self._store = store
        self._digest = config.ingest_digest
        self._head = head(store, config.name)
        newest = self._head.lineages.get(self._digest) if self._head else None
        self._snapshot = load_snapshot(store, config.name, newest) if newest else None
        self._force = force
        self._ledger = Ledger.empty() if force else read_ledger(store, config.name, self._digest)

    def plan(self, today: date) -> IngestPlan:
        config = self._config
        asked = config.ingest.sources
        found = survey(find_sources(asked, config.storage), self._ledger)
        metadata = load_metadata(config.ingest.metadata, found.uris(), asked, config.storage)
        listed = with_facts(found.listed, metadata, today)
        records = self._records([source.uri for source in found.loose])
        held = {
            source.uri: records[source.uri]
            for source in found.loose
            if source.uri in records and _holds(source, records[source.uri])
        }
        ledger = self._ledger.with_rows(Ledger.of(map(Entry.of, held.values())))
        new = tuple(source for source in found.loose if source.uri not in held)
        forgotten = forgotten_sources(self._store, config.name)
        publication = Publication.of(
            listed, ledger, forgotten, config.ingest.filters.near_duplicate_bits
        )
        known = ledger.of_uris(_others(listed, new))
        contents = self._contents(known)
        new += _orphans(found, ledger, contents)
        rows = self._rows()
        return IngestPlan(
            dataset=config.name,
            ingest_digest=self._digest,
            forced=self._force,
            listed=listed,
            metadata=metadata,
            new=_without_refused(new, listed),
            before={source.uri: records[source.uri] for source in new if source.uri in records},
            ledger=ledger,
            unledgered=tuple(held.values()),
            pending=self._pending(known, publication, held),
            contents=contents,
            forgotten=forgotten,
            snapshot=self._snapshot,
            head=self._head,
            facts_change=not self._force and publication.changes(rows),
        )

    def _rows(self) -> pa.Table:
        return self._snapshot.clips if self._snapshot else SCHEMA.empty_table()

    def _records(self, uris: Iterable[str]) -> dict[str, SourceRecord]:
        if self._force:
            return {}
        return load_records(self._store, self._config.name, self._digest, uris)

    def _contents(self, known: Ledger) -> pa.Array:
        """sha256 of what was decoded whole: its clips are in the snapshot, or can be, or none."""
        if self._force:
            return pa.array([], pa.binary(32))
        status = known.column("status")
        decoded = known.where(pc.is_in(status, value_set=pa.array(["ingested", "filtered"])))
        published = _digests(self._rows())
        return pc.unique(pa.concat_arrays([pc.drop_null(decoded.column("sha256")), published]))

    def _pending(
        self, known: Ledger, publication: Publication, held: Mapping[str, SourceRecord]
    ) -> tuple[SourceRecord, ...]:
        """Records whose clips may enter the snapshot.

        Clips that were held back for one that looks alike are, once any clip leaves.
        """
        rows = self._rows()
        leave = pc.any(publication.leaves_out(rows)).as_py() or self._snapshot is None
        absent = pc.invert(
            pc.is_in(
                known.column("sha256"), value_set=rows.column("source_sha256").combine_chunks()
            )
        )
        usable = pc.is_in(known.column("uri"), value_set=_usable(publication))
        clips, held_back = known.column("clips"), known.column("held_back")
        waiting = pc.and_(absent, pc.less(held_back, clips))
        if leave:
            waiting = pc.or_(pc.and_(absent, pc.greater(clips, 0)), pc.greater(held_back, 0))
        uris = known.where(pc.and_(waiting, usable)).column("uri").to_pylist()
        more = self._records(uri for uri in uris if uri not in held)
        return tuple(held.get(uri) or more[uri] for uri in uris if uri in held or uri in more)


def current_dataset(config: RunConfig, store: ObjectStore) -> DatasetRef:
    """The dataset as the last ingest of this config left it. Raises `DatasetError`."""
    current = head(store, config.name)
    newest = current.lineages.get(config.ingest_digest) if current else None
    if newest is None:
        raise DatasetError(
            f"dataset {config.name} holds nothing of this ingest config in {store.root}: "
            "run `videogen ingest` with the same config first"
        )
    return dataset_ref(load_snapshot(store, config.name, newest))


def dataset_ref(snapshot: Snapshot) -> DatasetRef:
    """A snapshot as what stages hand to each other."""
    document = snapshot.document
    return DatasetRef(
        dataset=document.dataset,
        snapshot=document.digest,
        ingest_digest=document.ingest_digest,
        sources=document.sources,
        clips=document.clips,
        frames=document.frames,
        height=document.height,
        width=document.width,
        fps=document.fps,
    )


def _holds(source: Source, record: SourceRecord) -> bool:
    """Whether a record still says what became of its source."""
    if record.holds_for(source):
        return True
    is_same = record.fingerprint == source.fingerprint
    return is_same and record.reason == "unreadable" and _cannot_be_opened(source)


def _cannot_be_opened(source: Source) -> bool:
    """Whether this user still has no right to read a local file."""
    if not source.uri.startswith(FILE):
        return False
    return not all(os.access(path_of(uri), os.R_OK) for uri in source.member_uris)


def _others(listed: pa.Table, new: Iterable[Source]) -> pa.Array:
    """URIs of listed sources that are not new."""
    uris = listed.column("uri").combine_chunks()
    return uris.filter(
        pc.invert(pc.is_in(uris, value_set=pa.array([one.uri for one in new], pa.string())))
    )


def _orphans(found: Survey, ledger: Ledger, contents: pa.Array) -> tuple[Source, ...]:
    """Sources that had the content of another one, of which nothing is known any more."""
    uris = pa.array([source.uri for source in found.twins], pa.string())
    digests = ledger.column("sha256").take(ledger.places(uris))
    is_known = pc.is_in(digests, value_set=contents).to_pylist()
    return tuple(one for one, known in zip(found.twins, is_known, strict=True) if not known)


def _without_refused(new: Iterable[Source], listed: pa.Table) -> tuple[Source, ...]:
    refused = listed.filter(listed.column("refusal").is_valid()).column("uri").to_pylist()
    left_out = frozenset(refused)
    return tuple(source for source in new if source.uri not in left_out)


def _usable(publication: Publication) -> pa.Array:
    """URIs of listed sources that need not be left out."""
    listed = publication.listed
    rows = pa.table({"source": listed.column("uri"), "source_sha256": publication.contents})
    left_out = pc.fill_null(publication.leaves_out(rows), False)  # noqa: FBT003 - positional in pyarrow
    return listed.column("uri").filter(pc.invert(left_out)).combine_chunks()


def _digests(rows: pa.Table) -> pa.Array:
    return rows.column("source_sha256").combine_chunks()
