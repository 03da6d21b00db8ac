"""The stage `ingest`: raw videos in, the next snapshot of a dataset out.

Workers write shards; this process writes what refers to them: the record of each source as its
group is done, then the part, the snapshot, and `HEAD` last. An ingest that is interrupted goes on
from the records. A source that is gone, or whose content changed, keeps the clips it once gave.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from time import monotonic
from typing import Protocol, TypeVar

import pyarrow as pa

from videogen.artifacts import DatasetRef
from videogen.config.run import RunConfig
from videogen.data.clip_table import table_of, without
from videogen.data.snapshot import Snapshot, commit
from videogen.errors import DatasetError
from videogen.ingest.convert import (
    Conversion,
    ConvertTask,
    Inspection,
    InspectTask,
    Target,
    convert_sources,
    inspect_sources,
)
from videogen.ingest.grouping import group
from videogen.ingest.planning import (
    IngestPlan,
    current_dataset,
    dataset_ref,
    plan,
    target_of,
)
from videogen.ingest.records import SourceRecord, write_record
from videogen.ingest.sources import Source
from videogen.progress import Progress, ProgressEvent
from videogen.storage.base import ObjectStore

__all__ = ["IngestPlan", "Tasks", "current_dataset", "ingest", "plan"]

Item = TypeVar("Item")
Result = TypeVar("Result")

_INSPECTED_AT_ONCE = 16


class Tasks(Protocol):
    """Runs functions elsewhere; `videogen.execution.ray_session.Cluster` is one."""

    def map(
        self,
        function: Callable[[Item], Result],
        items: Iterable[Item],
        *,
        num_cpus: float = 1,
        max_in_flight: int | None = None,
    ) -> Iterator[tuple[int, Result]]:
        """`(index, function(item))` as they finish."""


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
        DatasetError: no clip at all, or more quarantined than `ingest.max_quarantined_fraction`;
            the good sources are in the dataset nevertheless.
        StorageError: the store cannot be reached.
    """
    began = monotonic()
    planned = plan(config, store, force=force)
    records, snapshot = planned.records, planned.snapshot
    if planned.is_done:
        progress(_event(len(planned.sources), len(planned.sources), "nothing new"))
    else:
        run = _Ingest(target_of(config, store), store, planned, progress)
        records = run.bring_in(cluster)
        snapshot = run.publish(records, force=force)
    quarantined = _quarantined(planned, records)
    _refuse_excess(config, planned, quarantined)
    if snapshot is None:
        raise DatasetError(f"dataset {config.name} has no clip: {_summary(planned, quarantined)}")
    return dataset_ref(snapshot).model_copy(
        update={
            "quarantined": quarantined,
            "new_sources": len(planned.new),
            "seconds": round(monotonic() - began, 3),
        }
    )


class _Ingest:
    """One ingest that has something to do."""

    def __init__(
        self, target: Target, store: ObjectStore, planned: IngestPlan, progress: Progress
    ) -> None:
        self._target = target
        self._store = store
        self._planned = planned
        self._progress = progress
        self._records = dict(planned.known)
        self._num_done = 0
        self._num_frames = 0
        self._began = monotonic()

    def bring_in(self, cluster: Tasks) -> dict[str, SourceRecord]:
        """Decode what is new; the records of all sources, by URI."""
        self._report("looking at new videos")
        alike: dict[str, list[Inspection]] = {}
        for one in self._inspect(cluster):
            if one.reason is None and one.sha256 is not None:
                alike.setdefault(one.sha256, []).append(one)
            else:
                self._keep(Conversion(one, reason=one.reason, detail=one.detail))
        for sha256 in sorted(alike.keys() & self._planned.contents):
            for twin in alike.pop(sha256):
                self._keep(Conversion(twin))
        for conversion in self._convert(cluster, [same[0] for same in alike.values()]):
            first, *twins = alike[conversion.inspection.sha256 or ""]
            self._keep(replace(conversion, inspection=first))
            for twin in twins:
                self._keep(replace(conversion, inspection=twin, clips=()))
        return self._records

    def publish(self, records: dict[str, SourceRecord], *, force: bool) -> Snapshot | None:
        """Make the clips of this ingest, and of an interrupted one, part of the dataset."""
        fresh = [records[source.uri] for source in self._planned.new]
        rows = [clip for record in (*fresh, *self._planned.pending) for clip in record.clips]
        old = self._planned.snapshot
        if not rows and old is None:
            return None
        added = table_of(rows)
        replaced = old.clips if force and old and rows else added.slice(0, 0)

        def change(newest: pa.Table) -> pa.Table:
            kept = without(newest, replaced)
            return pa.concat_tables([kept, without(added, kept)])

        return commit(self._store, self._target.dataset, self._target.ingest_digest, change)

    def _inspect(self, cluster: Tasks) -> list[Inspection]:
        """In the order of the sources, whatever the order of the workers."""
        new = self._planned.new
        tasks = [
            InspectTask(self._target, new[start : start + _INSPECTED_AT_ONCE])
            for start in range(0, len(new), _INSPECTED_AT_ONCE)
        ]
        if not tasks:
            return []
        answers = dict(cluster.map(inspect_sources, tasks))
        return [one for index in sorted(answers) for one in answers[index]]

    def _convert(self, cluster: Tasks, fresh: Sequence[Inspection]) -> Iterator[Conversion]:
        """Conversions as groups are done; groups are those of an ingest without interruption."""
        wanted = {one.sha256 for one in fresh}
        groups = group([*fresh, *map(_inspection, self._planned.pending)], self._target.ingest)
        left = [tuple(one for one in members if one.sha256 in wanted) for members in groups]
        tasks = [ConvertTask(self._target, members) for members in left if members]
        if not tasks:
            return
        for _, conversions in cluster.map(convert_sources, tasks):
            yield from conversions

    def _keep(self, conversion: Conversion) -> None:
        source = conversion.inspection.source
        record = SourceRecord(
            uri=source.uri,
            ingest_digest=self._target.ingest_digest,
            fingerprint=source.fingerprint,
            status="ingested" if conversion.reason is None else "quarantined",
            sha256=conversion.inspection.sha256,
            duration_s=conversion.inspection.duration_s,
            reason=conversion.reason,
            detail=conversion.detail,
            frames=conversion.frames,
            dropped_frames=conversion.dropped_frames,
            corrupt_frames=conversion.corrupt_frames,
            decisions=conversion.decisions,
            clips=conversion.clips,
        )
        before = self._planned.records.get(source.uri)
        write_record(self._store, self._target.dataset, record, before)
        self._records[source.uri] = record
        self._num_done += 1
        self._num_frames += conversion.frames
        self._report(f"{source.shown}: {record.reason or f'{len(record.clips)} clips'}")

    def _report(self, message: str) -> None:
        elapsed_s = max(monotonic() - self._began, 1e-3)
        figures = {"frames/s": self._num_frames / elapsed_s}
        self._progress(_event(self._num_done, len(self._planned.new), message, figures))


def _event(
    done: int, total: int, message: str, values: dict[str, float] | None = None
) -> ProgressEvent:
    return ProgressEvent("ingest", done, total, "videos", message, values or {})


def _inspection(record: SourceRecord) -> Inspection:
    """A source that an interrupted ingest decoded, for the plan of groups."""
    source = Source(record.uri, None, 0, record.fingerprint)
    return Inspection(source, record.sha256, record.duration_s)


def _quarantined(
    planned: IngestPlan, records: dict[str, SourceRecord]
) -> tuple[dict[str, str], ...]:
    """`{source, reason, detail}` of each source of the config that cannot be used."""
    listed = ((source, records[source.uri]) for source in planned.sources)
    return tuple(
        {"source": source.shown, "reason": record.reason, "detail": record.detail}
        for source, record in listed
        if record.reason is not None
    )


def _refuse_excess(
    config: RunConfig, planned: IngestPlan, quarantined: Sequence[dict[str, str]]
) -> None:
    limit = config.ingest.max_quarantined_fraction
    if len(quarantined) > limit * len(planned.sources):
        raise DatasetError(
            f"{_summary(planned, quarantined)}, above ingest.max_quarantined_fraction ({limit:g}): "
            "mend or leave out those sources, or raise the limit"
        )


def _summary(planned: IngestPlan, quarantined: Sequence[dict[str, str]]) -> str:
    """How many sources were quarantined, why, and the first of them."""
    text = f"{len(quarantined)} of {len(planned.sources)} sources cannot be used"
    if not quarantined:
        return text
    reasons = Counter(one["reason"] for one in quarantined)
    counted = ", ".join(f"{number} {reason}" for reason, number in sorted(reasons.items()))
    first = quarantined[0]
    return f"{text} ({counted}; first: {first['source']}: {first['reason']}, {first['detail']})"
