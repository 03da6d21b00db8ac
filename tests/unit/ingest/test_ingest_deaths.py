"""Workers that die or hang, and what is told meanwhile."""

import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from ingest_place import Here, config_for, names, pad, rows, run

from videogen.data.video.synthetic import sample_clip
from videogen.data.video.writer import write_video
from videogen.errors import StorageError
from videogen.ingest.known.records import write_record
from videogen.ingest.stage import ingest
from videogen.ingest.worker.convert import convert_sources
from videogen.ingest.worker.tasks import ConvertTask, quarantined
from videogen.ingest.worker.watchdog import STALLED
from videogen.progress import ProgressEvent
from videogen.storage.local import LocalStore


@pytest.fixture
def crowd(tmp_path: Path) -> Path:
    """Sources so small that they share a group."""
    directory = tmp_path / "crowd"
    directory.mkdir()
    for seed in range(5):
        write_video(directory / f"{seed}.mp4", sample_clip(seed, 24, 32), 8.0)
        pad(directory / f"{seed}.mp4", 12_000 + seed)
    return directory


def test_a_worker_that_is_killed_once_changes_nothing(crowd: Path, tmp_path: Path) -> None:
    stores = [LocalStore(tmp_path / name) for name in "ab"]
    whole = run(stores[0], crowd)
    workers = Here(dies=lambda task: task.deaths == 0)
    again = run(stores[1], crowd, workers=workers)
    assert again.snapshot == whole.snapshot
    assert len(workers.converted) == 5
    assert {one.shard for one in rows(stores[0], whole)} == {
        one.shard for one in rows(stores[1], again)
    }


def test_a_source_that_kills_its_worker_is_quarantined_and_the_rest_of_its_group_is_in(
    crowd: Path, store: LocalStore
) -> None:
    tasks: list[int] = []

    def poisoned(task: ConvertTask) -> bool:
        tasks.append(len(task.sources))
        return any(one.source.uri.endswith("/2.mp4") for one in task.sources)

    workers = Here(dies=poisoned)
    answer = run(store, crowd, workers=workers)
    (bad,) = answer.quarantined
    assert (Path(bad["source"]).name, bad["reason"]) == ("2.mp4", "crashes the decoder")
    assert names(one.source for one in rows(store, answer)) == {f"{n}.mp4" for n in (0, 1, 3, 4)}
    assert tasks == [5, 5, 1, 1, 1, 1, 1]
    workers = Here(dies=poisoned)
    assert run(store, crowd, workers=workers).quarantined == answer.quarantined
    assert workers.calls == 0, "it is known"


def test_what_a_worker_finished_before_it_died_is_not_decoded_again(
    store: LocalStore, videos: Path
) -> None:
    workers = Here()

    def after_its_records(task: ConvertTask) -> bool:
        if workers.converted or len(task.sources) > 1:
            return False
        list(convert_sources(task))
        workers.converted += [task.sources[0].source.uri]
        return True

    workers = Here(dies=after_its_records)
    answer = run(store, videos, workers=workers)
    assert (answer.sources, answer.clips) == (8, 16)
    assert len(workers.converted) == len(set(workers.converted)) == 8


def test_the_watchdogs_last_words_are_taken_and_the_others_are_packed_as_if_it_were_known(
    crowd: Path, tmp_path: Path
) -> None:
    stores = [LocalStore(tmp_path / name) for name in "ab"]

    def stalls(task: ConvertTask) -> bool:
        for one in task.sources:
            if one.source.uri.endswith("/3.mp4"):
                said = quarantined(task.target, one, "0" * 64, "stalls the decoder", "no frame")
                write_record(stores[0], "d", said)
                return True
        return False

    answer = run(stores[0], crowd, workers=Here(dies=stalls))
    assert [one["reason"] for one in answer.quarantined] == ["stalls the decoder"]
    (crowd / "3.mp4").unlink()
    clean = run(stores[1], crowd)
    assert clean.snapshot == answer.snapshot


def test_the_watchdog_ends_a_process_that_hangs_and_leaves_one_that_works() -> None:
    program = (
        "import sys, time\n"
        "from videogen.ingest.worker.watchdog import Watchdog\n"
        "with Watchdog(0.3, lambda: print('stalled', flush=True)) as watchdog:\n"
        "    for _ in range(6):\n"
        "        time.sleep(0.1)\n"
        "        watchdog.beat()\n"
        "    print('worked', flush=True)\n"
        "    time.sleep(float(sys.argv[1]))\n"
        "time.sleep(0.5)\n"
        "print('over')\n"
    )
    said = {}
    for pause in ("0", "30"):
        command = [sys.executable, "-c", program, pause]
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
        said[pause] = (done.returncode, done.stdout.split())
    assert said == {"0": (0, ["worked", "over"]), "30": (STALLED, ["worked", "stalled"])}


def test_progress_comes_from_inside_a_long_source_too(store: LocalStore, tmp_path: Path) -> None:
    write_video(tmp_path / "long.mp4", np.tile(sample_clip(0, 50, 64), (40, 1, 1, 1)), 24.0)
    (tmp_path / "bad.mp4").write_bytes(b"x" * 100)
    events: list[ProgressEvent] = []
    config = config_for(store, tmp_path, fps=24.0, shots=None)
    ingest(config, store, Here(), events.append)
    inside = [one for one in events if one.message.startswith("reading") and one.values["clips"]]
    assert inside, "before the source is done"
    for one in inside:
        assert one.done < 2
        assert 0 < one.values["MB"] < events[-1].values["MB"]
        assert one.values["clips"] < events[-1].values["clips"]
        assert min(one.values["frames/s"], one.values["left s"]) > 0
    assert all(one.values["MB"] <= two.values["MB"] for one, two in pairwise(inside))
    assert (events[-1].done, events[-1].total) == (2, 2)
    assert events[-1].values["quarantined"] == 1


def test_what_killed_uploads_left_is_tidied_where_that_is_allowed(
    store: LocalStore, videos: Path, tmp_path: Path
) -> None:
    class Strict(LocalStore):
        def abort_uploads(self, prefix: str, older_than_s: float) -> int:
            assert (prefix, older_than_s) == ("datasets/d/shards/", 86_400.0)
            raise StorageError("AccessDenied")

    events: list[ProgressEvent] = []
    strict = Strict(tmp_path / "strict")
    answer = ingest(config_for(strict, videos), strict, Here(), events.append)
    assert answer.snapshot == run(store, videos).snapshot
    assert any("left alone: AccessDenied" in one.message for one in events)
