"""The stage `ingest`: raw videos in, the next snapshot of a dataset out.

Workers write shards, and the record of each source once its shards are there; this process writes
what refers to them: the snapshot, `HEAD`, and the ledger last. An ingest that is interrupted goes
on from the records. A source that is gone, or whose content changed, keeps the clips it once gave.
"""

from time import monotonic

import pyarrow as pa

from videogen.artifacts import DatasetRef
from videogen.config.run import RunConfig
from videogen.data.snapshots.clip_table import SCHEMA, join, table_of
from videogen.data.snapshots.snapshot import Snapshot, commit
from videogen.data.video.unusable import shown
from videogen.errors import DatasetError, StorageError
from videogen.ingest.intake import Harvest, Intake, Tasks
from videogen.ingest.known.ledger import Entry, Ledger, update_ledger
from videogen.ingest.known.planning import (
    IngestPlan,
    current_dataset,
    dataset_ref,
    plan,
)
from videogen.ingest.known.publication import Publication
from videogen.ingest.known.report import Report
from videogen.ingest.tally import Tally
from videogen.ingest.worker.tasks import Target
from videogen.progress import Progress, ProgressEvent
from videogen.storage.base import ObjectStore

__all__ = ["IngestPlan", "Tasks", "current_dataset", "ingest", "plan"]

_UPLOADS_OLDER_THAN_S = 86_400.0


def ingest(
    config: RunConfig,
    store: ObjectStore,
    cluster: Tasks,
    progress: Progress,
    *,
    force: bool = False,
) -> DatasetRef:
    """Bring the dataset `config.name` up to date with its sources, and answer with its snapshot.

    With nothing new it writes nothing and uses no worker. `force` decodes every source again and
    starts the snapshot anew from them. Sources that cannot be used are quarantined: recorded,
    counted, and listed in the answer.

    Raises:
        SourceError: a source of the config is missing or holds no video.
        ConfigError: `ingest.metadata` cannot be understood.
        DatasetError: no clip at all, or more quarantined than `ingest.max_quarantined_fraction`;
            the good sources are in the dataset nevertheless.
        StorageError: the store cannot be reached.
    """
    began = monotonic()
    planned = plan(config, store, force=force)
    if planned.metadata.unmatched:
        progress(ProgressEvent("ingest", message=_unmatched(planned)))
    tally = Tally(planned.new, progress)
    harvest, snapshot, ledger = Harvest(), planned.snapshot, planned.ledger
    if planned.is_done:
        total = planned.num_listed
        progress(ProgressEvent("ingest", total, total, "videos", "nothing new"))
    else:
        _tidy(store, config.name, progress)
        harvest = Intake(target_of(config, store, planned), store, planned, cluster, tally).run()
        snapshot, ledger = _publish(config, store, planned, harvest)
    report = Report(planned.listed, ledger)
    report.refuse_excess(config.ingest.max_quarantined_fraction)
    if snapshot is None or snapshot.document.clips == 0:
        raise DatasetError(f"dataset {config.name} has no clip: {report.summary()}")
    return dataset_ref(snapshot).model_copy(
        update={
            "quarantined": report.quarantined(),
            "filtered": report.filtered(planned.forgotten),
            "new_sources": len(planned.new) - harvest.unchanged,
            "skipped": planned.num_listed - len(planned.new) - report.num_refused,
            "frames_per_s": round(tally.frames_per_s, 1) if tally.frames else 0.0,
            "peak_rss_bytes": harvest.peak_rss_bytes,
            "seconds": round(monotonic() - began, 3),
        }
    )


def _tidy(store: ObjectStore, dataset: str, progress: Progress) -> None:
    """Drop what killed uploads left; listing those needs a right that an ingest can do without."""
    try:
        store.abort_uploads(f"datasets/{dataset}/shards/", _UPLOADS_OLDER_THAN_S)
    except StorageError as error:
        progress(ProgressEvent("ingest", message=f"unfinished uploads are left alone: {error}"))


def _publish(
    config: RunConfig, store: ObjectStore, planned: IngestPlan, harvest: Harvest
) -> tuple[Snapshot | None, Ledger]:
    """Make clips of this ingest and of interrupted ones part of the dataset; then the ledger."""
    pending = [row for record in planned.pending for row in record.clips]
    added = join([harvest.rows(), table_of(pending)])
    ledger = planned.ledger.with_rows(Ledger.of(harvest.entries.values()))
    bits = config.ingest.filters.near_duplicate_bits
    publication = Publication.of(planned.listed, ledger, planned.forgotten, bits)
    snapshot = _commit(store, planned, publication, added)
    published = snapshot.clips if snapshot else SCHEMA.empty_table()
    held_back = publication.held_back(added, published)
    changed = _changed_entries(planned, harvest)
    rows = Ledger.of(changed.values(), held_back)
    update_ledger(store, planned.dataset, planned.ingest_digest, rows)
    return snapshot, ledger.with_rows(rows)


def _commit(
    store: ObjectStore, planned: IngestPlan, publication: Publication, added: pa.Table
) -> Snapshot | None:
    def change(newest: pa.Table) -> pa.Table:
        return publication.change(newest.slice(0, 0) if planned.forced else newest, added)

    if planned.snapshot is None and len(change(SCHEMA.empty_table())) == 0:
        return None
    return commit(store, planned.dataset, planned.ingest_digest, change)


def _unmatched(planned: IngestPlan) -> str:
    names = planned.metadata.unmatched
    return f"{len(names)} rows of ingest.metadata match no source, for instance {shown(names[0])}"


def _changed_entries(planned: IngestPlan, harvest: Harvest) -> dict[str, Entry]:
    """What the ledger does not say yet, by URI."""
    interrupted = {one.uri: Entry.of(one) for one in (*planned.unledgered, *planned.pending)}
    return {**interrupted, **harvest.entries}


def target_of(config: RunConfig, store: ObjectStore, planned: IngestPlan) -> Target:
    """What workers are told: the store by its root, wherever the config left it open."""
    return Target(
        storage=config.storage.model_copy(update={"root": store.root}),
        dataset=config.name,
        ingest=config.ingest,
        ingest_digest=config.ingest_digest,
        forgotten=planned.forgotten,
    )
