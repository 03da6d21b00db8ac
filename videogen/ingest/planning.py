"""What an ingest has to do: which sources are known, and which are new."""

from dataclasses import dataclass

from videogen.artifacts import DatasetRef
from videogen.config.run import RunConfig
from videogen.data.snapshot import Snapshot, head, load_snapshot
from videogen.data.snapshot_format import Head
from videogen.data.unusable import UnusableSourceError
from videogen.errors import DatasetError
from videogen.ingest.convert import Target
from videogen.ingest.records import SourceRecord, load_records
from videogen.ingest.scratch import working_directory
from videogen.ingest.sources import Source, hash_file, list_sources, local_copy
from videogen.storage.base import ObjectStore


@dataclass(frozen=True)
class IngestPlan:
    """The sources of a config against what the store holds."""

    dataset: str
    ingest_digest: str
    sources: tuple[Source, ...]
    new: tuple[Source, ...]
    """To be looked at, and decoded unless their content is known."""
    pending: tuple[SourceRecord, ...]
    """Decoded by an ingest that was interrupted before its snapshot."""
    records: dict[str, SourceRecord]
    """Of the sources that have one, by URI."""
    known: dict[str, SourceRecord]
    """Those of `records` that still hold."""
    contents: frozenset[str]
    """sha256 of the sources whose clips are there."""
    snapshot: Snapshot | None
    """The newest of this ingest digest."""
    head: Head | None

    @property
    def new_bytes(self) -> int:
        """Size of the new sources."""
        return sum(source.size_bytes for source in self.new)

    @property
    def is_done(self) -> bool:
        """Whether nothing is left to do."""
        is_current = self.head is None or self.head.ingest_digest == self.ingest_digest
        return not self.new and not self.pending and (self.snapshot is None or is_current)


def plan(config: RunConfig, store: ObjectStore, *, force: bool = False) -> IngestPlan:
    """Look at sources and store, and decide; writes nothing and starts nothing.

    A source is known by its URI with size and modification time (or ETag), or else by its content.
    `force` takes all sources as new. Raises `SourceError`, `StorageError`, `DatasetError`.
    """
    sources = list_sources(config.ingest.sources, config.storage)
    digest = config.ingest_digest
    current = head(store, config.name)
    newest = current.lineages.get(digest) if current else None
    snapshot = load_snapshot(store, config.name, newest) if newest else None
    records = load_records(store, config.name, digest, sources)
    target = target_of(config, store)
    known = {
        source.uri: records[source.uri]
        for source in sources
        if source.uri in records
        and not force
        and _is_known(source, records[source.uri], target, snapshot)
    }
    listed = snapshot.source_digests if snapshot and not force else frozenset[str]()
    pending = tuple(
        record for record in known.values() if record.clips and record.sha256 not in listed
    )
    return IngestPlan(
        dataset=config.name,
        ingest_digest=digest,
        sources=sources,
        new=tuple(source for source in sources if source.uri not in known),
        pending=pending,
        records=records,
        known=known,
        contents=listed | {record.sha256 for record in pending if record.sha256},
        snapshot=snapshot,
        head=current,
    )


def target_of(config: RunConfig, store: ObjectStore) -> Target:
    """What workers are told: the store by its root, wherever the config left it open."""
    return Target(
        storage=config.storage.model_copy(update={"root": store.root}),
        dataset=config.name,
        ingest=config.ingest,
        ingest_digest=config.ingest_digest,
    )


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


def _is_known(
    source: Source, record: SourceRecord, target: Target, snapshot: Snapshot | None
) -> bool:
    """Whether a record still says what became of its source."""
    if record.may_pass or record.fingerprint != source.fingerprint:
        reason, sha256 = _look(source, target)
        if record.may_pass or sha256 is None:
            return reason is not None and reason == record.reason
        if sha256 != record.sha256:
            return False
    if record.status == "quarantined" or record.clips:
        return True
    return snapshot is not None and record.sha256 in snapshot.source_digests


def _look(source: Source, target: Target) -> tuple[str | None, str | None]:
    """Why a source cannot be read, or its content's sha256."""
    try:
        with (
            working_directory() as directory,
            local_copy(source, target.storage, directory) as path,
        ):
            return None, hash_file(path)
    except UnusableSourceError as error:
        return error.reason, None
