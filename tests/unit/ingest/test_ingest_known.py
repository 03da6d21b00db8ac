"""What is known is left alone: by ledger, by record, by content."""

import os
import shutil
import struct
from pathlib import Path

import pytest
from ingest_place import Here, config_for, names, objects, pad, rows, run

from videogen.data.video.synthetic import write_samples
from videogen.errors import CorruptObjectError
from videogen.ingest.grouping import group
from videogen.ingest.known.ledger import Entry, Ledger, read_ledger, update_ledger
from videogen.ingest.known.records import SourceRecord
from videogen.ingest.sources.source import Source
from videogen.ingest.stage import plan
from videogen.ingest.worker.tasks import ConvertTask, Fresh
from videogen.progress import silent
from videogen.storage.base import Stored
from videogen.storage.local import LocalStore


class CountingStore(LocalStore):
    """Counts what is read of records and listed."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.records_read = 0
        self.listed: list[str] = []

    def get(self, key: str) -> Stored:
        self.records_read += "/sources/" in key
        return super().get(key)

    def list(self, prefix: str):
        self.listed.append(prefix)
        return super().list(prefix)


def test_only_sources_whose_size_may_mean_that_they_are_known_are_hashed_beforehand(
    store: LocalStore, videos: Path
) -> None:
    workers = Here()
    shutil.copy(videos / "sample-00003.mp4", videos / "z-copy.mp4")
    run(store, videos, workers=workers)
    assert names(workers.hashed) == {"sample-00003.mp4", "z-copy.mp4"}
    assert len(workers.converted) == len(set(workers.converted)) == 8
    workers = Here()
    write_samples(videos, 1, 50, silent, size=48, num_frames=40)
    pad(videos / "sample-00050.mp4", 70_005)
    run(store, videos, workers=workers)
    assert names(workers.hashed) == names(workers.converted) == {"sample-00050.mp4"}


def test_a_touched_source_is_hashed_once_and_not_decoded(store: LocalStore, videos: Path) -> None:
    (videos / "bad.mp4").write_bytes(b"no video")
    first = run(store, videos)
    for path in videos.iterdir():
        os.utime(path)
    workers = Here()
    again = run(store, videos, workers=workers)
    assert (len(workers.hashed), workers.converted) == (9, [])
    assert (again.snapshot, again.new_sources) == (first.snapshot, 0)
    assert again.quarantined == first.quarantined
    before, workers = objects(store), Here()
    run(store, videos, workers=workers)
    assert (workers.calls, objects(store)) == (0, before)


def test_a_source_with_new_content_adds_its_clips_and_keeps_the_old_ones(
    store: LocalStore, videos: Path
) -> None:
    first = run(store, videos)
    kept = {clip.clip_id for clip in rows(store, first)}
    write_samples(videos, 1, 77, silent, size=48, num_frames=40)
    (videos / "sample-00077.mp4").rename(videos / "sample-00000.mp4")
    second = run(store, videos)
    found = {clip.clip_id for clip in rows(store, second)}
    assert kept < found
    assert len(found - kept) == 2


def test_a_source_that_changes_while_it_is_read_waits_for_the_next_ingest(
    store: LocalStore, videos: Path
) -> None:
    def grows(task: object) -> bool:
        if "sample-00002.mp4" in repr(task):
            with (videos / "sample-00002.mp4").open("ab") as file:
                file.write(struct.pack(">I4s", 8, b"free"))
        return False

    first = run(store, videos, workers=Here(dies=grows))
    (bad,) = first.quarantined
    assert (bad["reason"], Path(bad["source"]).name) == ("vanished", "sample-00002.mp4")
    assert first.sources == 7
    workers = Here()
    second = run(store, videos, workers=workers)
    assert (second.quarantined, second.sources) == ((), 8)
    assert names(workers.converted) == {"sample-00002.mp4"}


def test_a_copy_of_a_source_that_vanishes_is_taken_in_its_place(
    store: LocalStore, videos: Path
) -> None:
    for name in ("z-copy.mp4", "zz-copy.mp4"):
        shutil.copy(videos / "sample-00002.mp4", videos / name)

    def vanishes(task: object) -> bool:
        if isinstance(task, ConvertTask) and "sample-00002.mp4" in repr(task):
            (videos / "sample-00002.mp4").unlink()
        return False

    answer = run(store, videos, workers=Here(dies=vanishes))
    assert [one["reason"] for one in answer.quarantined] == ["vanished"]
    assert answer.sources == 8
    assert "z-copy.mp4" in names(one.source for one in rows(store, answer))
    assert answer.filtered == {"duplicate source": 1}


def test_known_sources_cost_one_request_however_many_they_are(tmp_path: Path, videos: Path) -> None:
    store = CountingStore(tmp_path / "store")
    run(store, videos)
    store.records_read, store.listed = 0, []
    write_samples(videos, 1, 50, silent, size=48, num_frames=40)
    run(store, videos)
    assert store.records_read == 1, "the record of the new source alone is looked for"
    assert not any("sources" in prefix for prefix in store.listed)


@pytest.mark.parametrize("loss", ["whole", "behind"])
def test_a_ledger_that_is_lost_or_behind_is_made_anew_from_the_records(
    store: LocalStore, videos: Path, loss: str
) -> None:
    (videos / "bad.mp4").write_bytes(b"no video")
    first = run(store, videos)
    (ledger,) = (info.key for info in store.list("datasets/d/ledgers/"))
    whole = store.get(ledger).data
    digest = config_for(store, videos).ingest_digest
    if loss == "whole":
        store.delete(ledger)
    else:
        known = read_ledger(store, "d", digest)
        store.delete(ledger)
        update_ledger(store, "d", digest, Ledger(known.table.slice(0, 4)))
    workers = Here()
    again = run(store, videos, workers=workers)
    assert (again.snapshot, again.quarantined) == (first.snapshot, first.quarantined)
    assert workers.calls == 0
    assert store.get(ledger).data == whole
    store.put(ledger, b"PAR1")
    with pytest.raises(CorruptObjectError, match="delete it, and it is made anew"):
        run(store, videos)


def test_two_writers_of_the_ledger_lose_no_row(store: LocalStore) -> None:
    def ledger_of(*uris: str) -> Ledger:
        return Ledger.of(Entry.of(record(uri)) for uri in uris)

    update_ledger(store, "d", "i", ledger_of("b", "c"))
    update_ledger(store, "d", "i", ledger_of("a", "c"))
    assert read_ledger(store, "d", "i").column("uri").to_pylist() == ["a", "b", "c"]


def record(uri: str) -> SourceRecord:
    return SourceRecord(uri=uri, ingest_digest="i", fingerprint=uri, status="filtered")


def test_a_label_is_that_of_the_folder_where_the_source_lies_now(
    store: LocalStore, videos: Path
) -> None:
    (videos / "cats").mkdir()
    path = (videos / "sample-00000.mp4").rename(videos / "cats" / "sample-00000.mp4")
    first = run(store, videos)
    assert [one.label for one in rows(store, first)].count("cats") == 2
    path.parent.rename(videos / "dogs")
    workers = Here()
    second = run(store, videos, workers=workers)
    assert workers.converted == [], "the content is known under another name"
    labels = [one.label for one in rows(store, second)]
    assert (labels.count("dogs"), labels.count("cats")) == (2, 0)
    before = objects(store)
    assert run(store, videos).snapshot == second.snapshot
    assert objects(store) == before


def test_groups_depend_on_sizes_and_contents_alone() -> None:
    def fresh(name: str, size: int, sha256: str | None = None) -> Fresh:
        return Fresh(Source(f"file:///{name}", None, size, "f"), sha256)

    big = [fresh(f"{index}", 40_000 + index) for index in range(40)]
    same = [fresh("x", 50_000, "b" * 64), fresh("y", 50_000, "a" * 64)]
    empty = [fresh("e", 0), fresh("f", 0)]
    groups = group([*big, *same, *empty])
    assert groups == group([*empty, *reversed(same), *reversed(big)])
    assert groups[0] == tuple(empty), "nothing is made of them, so they share no group"
    sizes = [sum(one.source.size_bytes for one in members) for members in groups[1:]]
    assert len(sizes) >= 16
    assert max(sizes) <= 2 * min(sizes)
    order = [one for members in groups for one in members]
    assert order.index(same[1]) + 1 == order.index(same[0]), "one size: by content"


def test_a_plan_names_what_is_new_only(store: LocalStore, videos: Path) -> None:
    run(store, videos)
    write_samples(videos, 1, 50, silent, size=48, num_frames=40)
    planned = plan(config_for(store, videos), store)
    assert names(one.uri for one in planned.new) == {"sample-00050.mp4"}
    assert (planned.num_listed, planned.pending, planned.unledgered) == (9, (), ())
