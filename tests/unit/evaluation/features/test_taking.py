"""Features of real clips and a real generator, by the real weights."""

import tracemalloc
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from judged_toy import toy_config, toy_dataset, toy_generator, toy_means

from videogen.config.sections import StorageConfig
from videogen.errors import CorruptObjectError, EvaluationError
from videogen.evaluation.clips.reals import read_reals
from videogen.evaluation.extractors.opening import open_i3d
from videogen.evaluation.extractors.weights import weights_dir
from videogen.evaluation.features.extraction import Batch, Source, batches_of, extract
from videogen.evaluation.features.store import Entry, load_column
from videogen.evaluation.features.taking import columns_of, take_all, take_features
from videogen.evaluation.features.workers import OneProcess
from videogen.evaluation.setting import choose_setting, require_same_frames
from videogen.runs.lease import hold_work
from videogen.storage.local import LocalStore

pytestmark = pytest.mark.integration

NUM = 3
REFERENCE = ("real", "floor", "shuffled", "frozen", "blank")


class Watched(OneProcess):
    """Counts the clips of each role that it takes features of."""

    def __init__(self):
        self.clips = Counter()

    def map(self, function, items, *, num_gpus=0):
        yield from super().map(self._counted(function), items, num_gpus=num_gpus)

    def _counted(self, function):
        def work(batch):
            self.clips[batch.source.role] += batch.num
            return function(batch)

        return work


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Seven clips to train on and one held out."""
    return LocalStore(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def dataset(store):
    return toy_dataset(store, 8, holdout=1)


@pytest.fixture(scope="module")
def generator(store):
    return toy_generator(store)


@pytest.fixture(scope="module")
def first(store, dataset, generator):
    """What the first evaluator takes, what it computes, and what it tells."""
    setting = choose_setting(store, dataset.dataset, dataset.snapshot, toy_config(NUM))
    workers, events = Watched(), []
    features = take_features(generator, setting, toy_means(store, workers, events.append))
    return setting, features, workers.clips, events


def test_every_role_has_its_clips_and_columns(first):
    _, features, _, _ = first
    assert {role: len(columns["i3d"]) for role, columns in features.items()} == {
        **dict.fromkeys((*REFERENCE, "fake"), NUM),
        "training": 7,
    }
    assert features["real"]["motion"].shape == features["fake"]["motion"].shape == (NUM, 5)
    assert all(x.dtype == np.float32 for columns in features.values() for x in columns.values())
    assert {role for role, columns in features.items() if "motion" in columns} == {"real", "fake"}


def test_training_clips_come_in_their_order_and_those_of_the_sets_are_not_taken_again(first, store):
    setting, features, counted, _ = first
    assert counted == {**dict.fromkeys((*REFERENCE, "fake"), NUM), "training": 1}
    i3d = open_i3d(weights_dir(toy_means(store, OneProcess()).settings))
    for row in (0, 4, 6):  # of the set A, of B, of neither
        frames = read_reals(store, setting.dataset, [setting.training[row]])
        assert features["training"]["i3d"][row].tobytes() == i3d(frames)[0].tobytes()
    assert features["training"]["i3d"][:NUM].tobytes() == features["real"]["i3d"].tobytes()


def test_progress_counts_every_clip_once_up_to_the_total_that_was_said_first(first):
    _, _, counted, events = first
    counts = [(event.done, event.total) for event in events if event.unit == "clips"]
    total = sum(counted.values())
    assert counts[0] == (0, total)
    assert counts[-1] == (total, total)
    assert [done for done, _ in counts] == sorted(done for done, _ in counts)


def test_another_generator_pays_for_its_own_clips_only_and_its_reals_are_the_same(
    first, store, generator
):
    setting, features, _, _ = first
    workers = Watched()
    both = take_all([generator, toy_generator(store, seed=1)], setting, toy_means(store, workers))
    assert workers.clips == {"fake": 2 * NUM}
    for one in both:
        for role in (*REFERENCE, "training"):
            assert one[role]["i3d"].tobytes() == features[role]["i3d"].tobytes()
    assert both[0]["fake"]["i3d"].tobytes() == features["fake"]["i3d"].tobytes()
    assert both[1]["fake"]["i3d"].tobytes() != features["fake"]["i3d"].tobytes()


def test_an_idle_evaluator_neither_waits_for_others_nor_makes_them_wait(store, dataset, generator):
    config = toy_config(2, seed=1, training_clips=0)
    setting = choose_setting(store, dataset.dataset, dataset.snapshot, config)
    sha256 = columns_of("real", setting)["i3d"]
    entry = Entry(dataset.dataset, setting.protocol, "real", "i3d", sha256)
    means = replace(toy_means(store, OneProcess()), is_idle=True)
    with hold_work(store, entry.lease_key):
        before = {one.key for one in store.list("features/") if one.key.endswith(".lease")}
        take_features(generator, setting, means)
        assert load_column(store, entry, 2) is not None
        after = {one.key for one in store.list("features/") if one.key.endswith(".lease")}
    assert after == before


def test_features_do_not_depend_on_how_clips_are_batched(first, store, dataset, generator):
    setting, features, _, _ = first
    assert setting.config.batch_size >= NUM
    by_two = replace(setting, config=toy_config(NUM, batch_size=2))
    for role, reals in (("real", setting.reals.a), ("shuffled", setting.reals.b), ("fake", ())):
        source = replace(
            source_of(store, by_two),
            role=role, generator=generator if role == "fake" else None,
            columns=tuple(features[role]),
        )  # fmt: skip
        parts = [extract(batch) for batch in batches_of(source, NUM, reals)]
        assert [len(part["i3d"]) for part in parts] == [2, 1]
        for name, whole in features[role].items():
            assert np.concatenate([part[name] for part in parts]).tobytes() == whole.tobytes()


def source_of(store, setting):
    return Source(
        weights_dir=weights_dir(toy_means(store, OneProcess()).settings),
        storage=StorageConfig(root=store.root), dataset=setting.dataset, config=setting.config,
        codec="raw", device="cpu", role="real", columns=("motion",),
    )  # fmt: skip


def test_memory_is_bounded_by_the_batch_however_many_clips_there_are(tmp_path):
    store = LocalStore(tmp_path)
    dataset = toy_dataset(store, 64, num_frames=128)
    peaks = {}
    for num in (8, 64):
        config = toy_config(num, num_frames=128, batch_size=4)
        setting = choose_setting(store, dataset.dataset, dataset.snapshot, config)
        source = source_of(store, setting)
        workers = OneProcess()
        tracemalloc.start()
        for _ in workers.map(extract, batches_of(source, num, setting.reals.a)):
            pass
        peaks[num] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    clip_bytes = 128 * 32 * 32 * 3
    assert peaks[64] < 1.1 * peaks[8]
    assert peaks[64] < 4 * 4 * clip_bytes


def test_on_a_cluster_with_gpus_each_task_asks_for_one_and_is_told_to_use_it(store, dataset):
    class OnGpus(OneProcess):
        asked = ()

        def num_gpus(self):
            return 2

        def map(self, function, items, *, num_gpus=0):
            self.asked = (num_gpus, {batch.source.device for batch in items})
            raise EvaluationError("seen")

    setting = choose_setting(store, dataset.dataset, dataset.snapshot, toy_config(NUM, seed=9))
    workers = OnGpus()
    with pytest.raises(EvaluationError, match="seen"):
        take_features(toy_generator(store), setting, toy_means(store, workers))
    assert workers.asked == (1, {"cuda"})


def test_a_generator_that_is_not_there_is_refused_before_any_clip_is_judged(
    store, dataset, generator
):
    setting = choose_setting(store, dataset.dataset, dataset.snapshot, toy_config(NUM, seed=8))
    workers = Watched()
    gone = generator.model_copy(update={"prefix": "runs/gone/checkpoints/1"})
    with pytest.raises(CorruptObjectError, match="runs/gone"):
        take_features(gone, setting, toy_means(store, workers))
    assert not workers.clips


def test_a_generator_of_another_size_is_refused(store, dataset, generator):
    setting = choose_setting(store, dataset.dataset, dataset.snapshot, toy_config(NUM))
    other = generator.model_copy(update={"height": 64, "width": 64, "model": "models:/m/3"})
    with pytest.raises(EvaluationError, match="models:/m/3 makes frames of 64x64, dataset toy has"):
        require_same_frames(setting, other)


def test_an_error_names_the_clips_that_it_is_about(store, dataset):
    setting = choose_setting(store, dataset.dataset, dataset.snapshot, toy_config(NUM))
    batch = Batch(source_of(store, setting), 4, 2, setting.reals.a[:2])
    assert repr(batch) == "clips 4 to 5 of real"
