"""Which clips a snapshot holds in the end: metadata, near duplicates, filters, the forgotten."""

from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from ingest_place import Here, config_for, names, objects, pad, rows, run

from videogen.config.sections import FilterConfig
from videogen.data.snapshots.forgotten import Tombstone, write_tombstone
from videogen.data.video.synthetic import sample_clip
from videogen.data.video.writer import write_video
from videogen.errors import DatasetError
from videogen.ingest.stage import ingest, plan
from videogen.progress import ProgressEvent
from videogen.storage.local import LocalStore

ALIKE = FilterConfig(near_duplicate_bits=2)
BLANK = FilterConfig(max_blank_contrast=2)


def say(path: Path, *lines: str) -> str:
    path.write_text("\n".join(("source,label,licence,consent,owner,expires", *lines)))
    return str(path)


def sources_of(found: Iterable[object]) -> set[str]:
    return names(clip.source for clip in found)


def test_metadata_is_carried_into_the_rows_and_changes_them_without_decoding(
    store: LocalStore, videos: Path, tmp_path: Path
) -> None:
    facts = tmp_path / "facts.csv"
    line = "sample-00000.mp4,surf,CC-BY-4.0,granted,Ada,2099-01-31"
    first = run(store, videos, metadata=say(facts, line))
    said = [one for one in rows(store, first) if one.licence is not None]
    assert len(said) == 2
    assert sources_of(said) == {"sample-00000.mp4"}
    row = said[0]
    assert (row.label, row.licence, row.consent, row.owner, row.expires) == (
        "surf", "CC-BY-4.0", "granted", "Ada", "2099-01-31",
    )  # fmt: skip
    workers = Here()
    line = "sample-00000.mp4,surf,CC0,granted,Ada,2099-01-31"
    second = run(store, videos, workers=workers, metadata=say(facts, line))
    assert {one.licence for one in rows(store, second)} == {None, "CC0"}
    assert second.snapshot != first.snapshot
    before = objects(store)
    assert run(store, videos, workers=workers, metadata=str(facts)).snapshot == second.snapshot
    assert (workers.calls, objects(store)) == (0, before)


def test_rows_of_metadata_that_match_no_source_are_told(
    store: LocalStore, videos: Path, tmp_path: Path
) -> None:
    events: list[ProgressEvent] = []
    facts = say(tmp_path / "facts.csv", "nowhere.mp4,,,no,,", "sample-00000.mp4,,CC0,,,")
    ingest(config_for(store, videos, metadata=facts), store, Here(), events.append)
    assert events[0].message.startswith("1 rows of ingest.metadata match no source")
    assert "nowhere.mp4" in events[0].message


def test_a_source_that_must_not_be_used_is_not_read_and_counted(
    store: LocalStore, videos: Path, tmp_path: Path
) -> None:
    said = ("sample-00000.mp4,,,no,,", "sample-00001.mp4,,,,,2020-01-01")
    workers = Here()
    answer = run(store, videos, workers=workers, metadata=say(tmp_path / "facts.csv", *said))
    assert names(workers.converted).isdisjoint({"sample-00000.mp4", "sample-00001.mp4"})
    assert (answer.sources, answer.new_sources, answer.skipped) == (6, 6, 0)
    assert answer.filtered == {"consent refused": 1, "expired": 1}
    assert answer.quarantined == ()


def test_clips_leave_when_their_source_expires_and_come_back_without_decoding(
    store: LocalStore, videos: Path, tmp_path: Path
) -> None:
    facts = tmp_path / "facts.csv"
    first = run(store, videos)
    workers = Here()
    gone = run(
        store, videos, workers=workers, metadata=say(facts, "sample-00003.mp4,,,,,2020-01-01")
    )
    assert sources_of(rows(store, gone)) == sources_of(rows(store, first)) - {"sample-00003.mp4"}
    assert gone.filtered == {"expired": 1}
    back = run(store, videos, workers=workers)
    assert back.snapshot == first.snapshot
    assert workers.calls == 0


def test_a_refusal_is_one_of_the_content_under_whatever_name(
    store: LocalStore, videos: Path, tmp_path: Path
) -> None:
    run(store, videos)
    (videos / "a-copy.mp4").write_bytes((videos / "sample-00000.mp4").read_bytes())
    run(store, videos)
    answer = run(store, videos, metadata=say(tmp_path / "facts.csv", "a-copy.mp4,,,no,,"))
    assert "sample-00000.mp4" not in sources_of(rows(store, answer))


def test_a_dataset_whose_sources_all_expired_holds_no_clip_any_more(
    store: LocalStore, videos: Path, tmp_path: Path
) -> None:
    run(store, videos)
    lines = [f"{path.name},,,,,2020-01-01" for path in videos.iterdir()]
    facts = say(tmp_path / "facts.csv", *lines)
    for _ in range(2):
        with pytest.raises(DatasetError, match=r"has no clip: .* left out: [1-9] expired"):
            run(store, videos, metadata=facts)
    assert plan(config_for(store, videos), store).snapshot is not None
    assert len(plan(config_for(store, videos), store).snapshot.clips) == 0


def test_near_duplicates_across_sources_are_in_once_and_not_decoded_again(
    store: LocalStore, videos: Path, tmp_path: Path
) -> None:
    first = run(store, videos, filters=ALIKE)
    twin = sample_clip(3, 40, 48).astype(int) + 1
    write_video(videos / "alike.mp4", np.clip(twin, 0, 255).astype(np.uint8), 8.0)
    pad(videos / "alike.mp4", 81_000)
    workers = Here()
    second = run(store, videos, workers=workers, filters=ALIKE)
    assert names(workers.converted) == {"alike.mp4"}
    assert (second.snapshot, second.filtered) == (first.snapshot, {"near duplicate": 2})
    before = objects(store)
    assert run(store, videos, workers=workers, filters=ALIKE).filtered == {"near duplicate": 2}
    assert (len(workers.converted), objects(store)) == (1, before)
    facts = say(tmp_path / "facts.csv", "sample-00003.mp4,,,no,,")
    third = run(store, videos, workers=workers, metadata=facts, filters=ALIKE)
    assert "alike.mp4" in sources_of(rows(store, third)), "it stands in for the one that left"
    assert len(workers.converted) == 1


def test_a_source_without_a_clip_worth_keeping_is_counted_and_not_decoded_again(
    store: LocalStore, videos: Path
) -> None:
    black = np.zeros((40, 48, 48, 3), np.uint8)
    write_video(videos / "black.mp4", black, 8.0)
    first = run(store, videos, filters=BLANK)
    assert first.filtered == {"blank": 2}
    assert (first.sources, first.quarantined) == (8, ())
    workers = Here()
    again = run(store, videos, workers=workers, filters=BLANK)
    assert (again.filtered, workers.calls) == ({"blank": 2}, 0)


def test_a_forgotten_source_is_never_brought_in_again(store: LocalStore, videos: Path) -> None:
    run(store, videos)
    gone = videos / "sample-00004.mp4"
    digest = sha256(gone.read_bytes()).hexdigest()
    stone = Tombstone(source_sha256=digest, forgotten_at="2026-01-01T00:00:00+00:00")
    write_tombstone(store, "d", stone)
    second = run(store, videos)
    assert gone.name not in sources_of(rows(store, second))
    gone.rename(videos / "under another name.mp4")
    workers = Here()
    third = run(store, videos, workers=workers)
    assert (third.snapshot, third.sources) == (second.snapshot, 7)
    assert third.filtered == {"forgotten source": 1}
    shards = len(list(store.list("datasets/d/shards/")))
    for path in videos.iterdir():
        path.touch()
    assert run(store, videos).snapshot == second.snapshot
    assert len(list(store.list("datasets/d/shards/"))) == shards
