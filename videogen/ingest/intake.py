"""Brings new sources in: tells their contents apart, hands them to workers, keeps what comes back.

A worker that dies under a group costs the group, not the ingest: it is tried again, then source by
source, and a source that ends its worker then too is quarantined. Groups are planned from the
listing before any work, so shards do not depend on which worker is when done with what.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

import numpy as np
import pyarrow as pa

from videogen.data.snapshots.clip_table import ClipRow, join, table_of
from videogen.ingest.grouping import group
from videogen.ingest.known.ledger import Entry
from videogen.ingest.known.planning import IngestPlan
from videogen.ingest.known.records import SourceRecord, load_records, may_pass, write_records
from videogen.ingest.sources.source import Source
from videogen.ingest.tally import Tally
from videogen.ingest.worker.convert import convert_sources, hash_sources
from videogen.ingest.worker.tasks import (
    Converted,
    ConvertTask,
    Fresh,
    Hashed,
    HashTask,
    Reading,
    Target,
    duplicate,
    quarantined,
)
from videogen.storage.base import ObjectStore

Item = TypeVar("Item")
Result = TypeVar("Result")

_HASHED_AT_ONCE = 64
_ROWS_AT_ONCE = 4096
_PATIENCE = 2
"""So many workers may die under a group, or under a source alone, before it is taken apart."""


class Tasks(Protocol):
    """Runs functions elsewhere; `videogen.execution.ray_session.Cluster` is one."""

    def stream(
        self,
        function: Callable[[Item], Iterable[Result]],
        items: Iterable[Item],
        *,
        lost: Callable[[Item], Iterable[Result]],
    ) -> Iterator[tuple[int, Result]]:
        """`(index, result)` of all that `function(item)` yields; `lost` answers for the dead."""


@dataclass
class Harvest:
    """What an ingest made."""

    entries: dict[str, Entry] = field(default_factory=dict)
    """By URI, of the sources that were looked at."""
    unchanged: int = 0
    """Of those, touched ones that hold what they held."""
    peak_rss_bytes: int = 0
    _tables: list[pa.Table] = field(default_factory=list)
    _rows: list[ClipRow] = field(default_factory=list)

    def keep(self, record: SourceRecord) -> None:
        """Add a record, and its clips as rows of a table: a million records are not kept."""
        self.entries[record.uri] = Entry.of(record)
        self._rows += record.clips
        if len(self._rows) >= _ROWS_AT_ONCE:
            self._pack()

    def rows(self) -> pa.Table:
        """The clips of all records."""
        self._pack()
        return join(self._tables)

    def _pack(self) -> None:
        if self._rows:
            self._tables.append(table_of(self._rows))
            self._rows = []


class Intake:
    """One ingest's way from new sources to records."""

    def __init__(
        self, target: Target, store: ObjectStore, planned: IngestPlan, cluster: Tasks, tally: Tally
    ) -> None:
        self._target = target
        self._store = store
        self._planned = planned
        self._cluster = cluster
        self._tally = tally
        self._contents = frozenset(value.hex() for value in planned.contents.to_pylist())
        self._twins: dict[str, list[Fresh]] = {}
        self._promoted: list[Fresh] = []
        """Sources to be decoded in place of one that vanished, whose content they had."""
        self.harvest = Harvest()

    def run(self) -> Harvest:
        """Decode what is new. Raises `VideogenError` where store or cluster fail."""
        self._tally.tell("looking at new videos")
        fresh = self._tell_apart()
        # the largest first, so that no worker is left alone with them at the end
        waiting = [ConvertTask(self._target, one) for one in reversed(self._groups(fresh))]
        while waiting:
            dead: list[ConvertTask] = []
            for _, told in self._cluster.stream(convert_sources, waiting, lost=_to(dead)):
                self._take(told)
            waiting = [task for died in dead for task in self._again(died)]
            waiting += [ConvertTask(self._target, (one,)) for one in self._promoted]
            self._promoted = []
        return self.harvest

    def _tell_apart(self) -> list[Fresh]:
        """What has to be decoded: hashes only those whose size may mean that they are known."""
        doubtful = _doubtful(self._planned)
        uris = {source.uri for source in doubtful}
        fresh = [Fresh(one) for one in self._planned.new if one.uri not in uris]
        same: dict[str, list[Source]] = {}
        settled: list[SourceRecord] = []
        for hashed in self._hash(doubtful):
            source, sha256 = hashed.source, hashed.sha256
            before = self._planned.before.get(source.uri)
            if sha256 is None:
                fresh.append(Fresh(source))
            elif before is not None and before.sha256 == sha256:
                settled.append(before.model_copy(update={"fingerprint": source.fingerprint}))
                self.harvest.unchanged += 1
            elif sha256 in self._contents:
                settled.append(duplicate(self._target, source, sha256))
            else:
                same.setdefault(sha256, []).append(source)
        self._settle(settled)
        for sha256, (first, *others) in same.items():
            self._twins[first.uri] = [Fresh(other, sha256) for other in others]
            fresh.append(Fresh(first, sha256))
        return fresh

    def _hash(self, sources: Sequence[Source]) -> list[Hashed]:
        """In the order of their URIs, whatever the order of the workers."""
        tasks = [
            HashTask(self._target, tuple(sources[start : start + _HASHED_AT_ONCE]))
            for start in range(0, len(sources), _HASHED_AT_ONCE)
        ]
        found = {source.uri: Hashed(source, None) for source in sources}
        for _ in range(_PATIENCE):
            dead: list[HashTask] = []
            if tasks:
                for _, hashed in self._cluster.stream(hash_sources, tasks, lost=_to(dead)):
                    found[hashed.source.uri] = hashed
            tasks = dead
        return [found[uri] for uri in sorted(found)]

    def _groups(self, fresh: Iterable[Fresh]) -> list[tuple[Fresh, ...]]:
        """Those of an ingest without interruption, without what an interrupted one did."""
        done = [
            Fresh(Source(one.uri, None, one.size_bytes, one.fingerprint), one.sha256)
            for one in self._planned.unledgered
            if one.status != "duplicate"
        ]
        wanted = {one.source.uri: one for one in fresh}
        groups = group([*wanted.values(), *done])
        left = (tuple(one for one in members if one.source.uri in wanted) for members in groups)
        return [members for members in left if members]

    def _take(self, told: Reading | Converted) -> None:
        if isinstance(told, Reading):
            self._tally.reading(told)
            return
        self.harvest.peak_rss_bytes = max(self.harvest.peak_rss_bytes, told.peak_rss_bytes)
        self._keep(told.record, told.frames)
        twins = self._twins.pop(told.record.uri, [])
        if twins and may_pass(told.record.reason, told.record.fingerprint):
            first, *others = twins  # what is wrong is not the content that they have in common
            self._twins[first.source.uri] = others
            self._promoted.append(first)
        else:
            self._settle([self._like(told.record, twin) for twin in twins])

    def _like(self, record: SourceRecord, twin: Fresh) -> SourceRecord:
        """What becomes of a source that has the content of another."""
        if record.reason is not None or record.sha256 is None:
            why = record.reason or "unreadable"
            return quarantined(self._target, twin, twin.sha256, why, record.detail)
        return duplicate(self._target, twin.source, record.sha256)

    def _settle(self, records: Sequence[SourceRecord]) -> None:
        """Write and keep the records of sources that are not decoded."""
        if records:
            write_records(self._store, self._target.dataset, records)
            for record in records:
                self._keep(record, 0)

    def _keep(self, record: SourceRecord, frames: int) -> None:
        if record.uri in self.harvest.entries:
            return  # its worker died after it had told of it
        self.harvest.keep(record)
        is_bad = record.reason is not None
        clips = len(record.clips)
        self._tally.finished(record.uri, frames=frames, clips=clips, is_quarantined=is_bad)
        name = Source(record.uri, None, 0, "").shown
        self._tally.tell(f"{name}: {record.reason or f'{clips} clips'}")

    def _again(self, died: ConvertTask) -> Iterator[ConvertTask]:
        """What is left of a group whose worker died.

        Records that it wrote count: of all its sources where it died after them, or of the one that
        the watchdog ended it for.
        """
        records = self._written(died)
        for record in records.values():
            self._take(Converted(record, 0, 0))
        left = tuple(one for one in died.sources if one.source.uri not in records)
        for one in left:
            self._tally.lost(one.source.uri)
        deaths = died.deaths + (not records)
        if deaths < _PATIENCE:
            yield from [ConvertTask(self._target, left, deaths)] if left else []
        elif len(left) == 1:
            self._give_up(left[0])
        else:
            for one in left:
                yield ConvertTask(self._target, (one,), deaths - 1)

    def _written(self, died: ConvertTask) -> dict[str, SourceRecord]:
        """Records that this ingest wrote of sources of a group, by URI."""
        sources = {one.source.uri: one.source for one in died.sources}
        target = self._target
        found = load_records(self._store, target.dataset, target.ingest_digest, sources)
        return {
            uri: record
            for uri, record in found.items()
            if uri in self.harvest.entries or self._is_news(record, sources[uri])
        }

    def _is_news(self, record: SourceRecord, source: Source) -> bool:
        """Whether a record is not one of before, which is there for each source under `force`."""
        is_new = not self._planned.forced or record.reason == "stalls the decoder"
        is_of_worker = record.status != "duplicate"
        return is_new and is_of_worker and record.holds_for(source)

    def _give_up(self, fresh: Fresh) -> None:
        detail = (
            "its worker died each time it was read, alone too: the decoder fails on it, or it "
            "needs more memory than there is"
        )
        record = quarantined(self._target, fresh, fresh.sha256, "crashes the decoder", detail)
        write_records(self._store, self._target.dataset, [record])
        self._take(Converted(record, 0, 0))


def _doubtful(planned: IngestPlan) -> list[Source]:
    """New sources that may be touched only, or have the content of another: of the same size."""
    known = set(np.unique(planned.ledger.column("size_bytes").to_numpy()).tolist())
    if planned.snapshot is not None:
        sizes = planned.snapshot.clips.column("source_bytes").to_numpy()
        known |= set(np.unique(sizes).tolist())
    new = Counter(source.size_bytes for source in planned.new)
    return [
        source
        for source in planned.new
        if source.size_bytes
        and (
            source.uri in planned.before or new[source.size_bytes] > 1 or source.size_bytes in known
        )
    ]


def _to(dead: list[Item]) -> Callable[[Item], tuple[()]]:
    """Collects tasks whose worker died."""

    def collect(task: Item) -> tuple[()]:
        dead.append(task)
        return ()

    return collect
