"""Evaluators in processes of their own that need the same features at the same time."""

import hashlib
import json
import multiprocessing
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from judged_toy import toy_config, toy_dataset, toy_generator, toy_means

from videogen.artifacts import GeneratorRef
from videogen.evaluation.features.store import Columns, Role
from videogen.evaluation.features.taking import take_features
from videogen.evaluation.features.workers import OneProcess
from videogen.evaluation.setting import choose_setting
from videogen.progress import ProgressEvent
from videogen.storage.local import LocalStore

pytestmark = pytest.mark.integration

NUM = 2
ONCE = dict.fromkeys(("real", "floor", "shuffled", "frozen", "blank"), NUM)


class Counting(OneProcess):
    """Counts the clips that it takes features of; stops for good at the role `stop_at`."""

    def __init__(self, stop_at: str = "", stopped: Path | None = None) -> None:
        self.clips: Counter[str] = Counter()
        self.stop_at, self.stopped = stop_at, stopped

    def map(self, function, items, *, num_gpus=0):
        for index, batch in enumerate(items):
            role = batch.source.role
            if role == self.stop_at:
                self.stopped.touch()
                time.sleep(600)
            yield index, function(batch)
            self.clips[role] += batch.num


def evaluator(root: Path, snapshot: str, number: int, stop_at: str = "") -> None:
    """One process: waits until all are ready, evaluates, writes what it did."""
    torch.set_num_threads(1)
    store = LocalStore(root)
    setting = choose_setting(store, "toy", snapshot, toy_config(NUM, batch_size=2))
    workers = Counting(stop_at, root / "stopped")
    (root / f"ready-{number}").touch()
    while not (root / "go").exists():
        time.sleep(0.01)
    told: list[ProgressEvent] = []
    features = take_features(toy_generator(store), setting, toy_means(store, workers, told.append))
    last = [told[-1].done, told[-1].total]
    document = {"clips": workers.clips, "digest": digest(features), "last": last}
    (root / f"done-{number}").write_text(json.dumps(document))


def digest(features: dict[Role, Columns]) -> str:
    found = hashlib.sha256()
    for role, columns in sorted(features.items()):
        for name, values in sorted(columns.items()):
            found.update(f"{role} {name} {values.shape} {values.dtype}".encode())
            found.update(values.tobytes())
    return found.hexdigest()


def wait_for(*paths: Path) -> None:
    deadline = time.monotonic() + 60
    while not all(path.exists() for path in paths):
        assert time.monotonic() < deadline, f"no {paths}"
        time.sleep(0.01)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def place(root: Path) -> Iterator[tuple[LocalStore, str, GeneratorRef]]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    store = LocalStore(root)
    yield store, toy_dataset(store, 2 * NUM).snapshot, toy_generator(store)
    torch.set_num_threads(before)


def start(root: Path, snapshot: str, number: int, stop_at: str = ""):
    process = multiprocessing.get_context("spawn").Process(
        target=evaluator, args=(root, snapshot, number, stop_at), daemon=True
    )
    process.start()
    return process


def test_concurrent_evaluators_split_the_work_and_none_is_done_twice(root, place):
    _, snapshot, _ = place
    processes = [start(root, snapshot, number) for number in range(2)]
    wait_for(root / "ready-0", root / "ready-1")
    (root / "go").touch()
    for process in processes:
        process.join(120)
        assert process.exitcode == 0
    told = [json.loads((root / f"done-{number}").read_text()) for number in range(2)]
    clips = [Counter(one["clips"]) for one in told]
    assert clips[0] + clips[1] == {**ONCE, "fake": 2 * NUM}
    assert told[0]["digest"] == told[1]["digest"]
    assert all(done == total for done, total in (one["last"] for one in told))
    assert all(one.keys() - {"fake"} for one in clips)  # each had a share


def test_what_a_dead_evaluator_left_is_taken_over_and_what_it_finished_is_kept(root, place):
    store, snapshot, generator = place
    owner = start(root, snapshot, 0, stop_at="frozen")
    (root / "go").touch()
    wait_for(root / "stopped")
    notes = []

    def progress(event: ProgressEvent) -> None:
        if event.total is None and event.unit == "clips":
            notes.append(event.message)
            owner.kill()
            owner.join()

    workers = Counting()
    setting = choose_setting(store, "toy", snapshot, toy_config(NUM, batch_size=2))
    features = take_features(generator, setting, toy_means(store, workers, progress))

    assert workers.clips == {"frozen": NUM, "blank": NUM, "fake": NUM}
    assert len(notes) == 1
    assert "waiting for the features of frozen clips" in notes[0]
    assert f"process {owner.pid} on" in notes[0]
    assert {role: len(columns["i3d"]) for role, columns in features.items()} == {
        **ONCE, "fake": NUM, "training": 2 * NUM,
    }  # fmt: skip
