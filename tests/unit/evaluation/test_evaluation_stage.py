"""The stage with the real weights and a real generator, on one process."""

import json
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from judged_toy import MODEL, toy_config, toy_dataset, toy_generator

from videogen.artifacts import EvaluationReport
from videogen.config.run import RunConfig
from videogen.config.sections import IngestConfig
from videogen.config.settings import Settings
from videogen.config.train import TrainConfig
from videogen.errors import CorruptObjectError, EvaluationError
from videogen.evaluation.judging import report_of
from videogen.evaluation.setting import choose_setting
from videogen.evaluation.stage import _place_of, evaluate
from videogen.storage.local import LocalStore

pytestmark = pytest.mark.integration


class Inline:
    """Runs tasks in this process, in an order of its own."""

    def __init__(self, *, backwards=False):
        self.backwards = backwards
        self.ran, self.columns = [], []

    def num_gpus(self):
        return 0

    def map(self, function, items, **_):
        numbered = list(enumerate(items))
        for index, item in reversed(numbered) if self.backwards else numbered:
            self.ran.append(item.source.role)
            self.columns.append(item.source.columns)
            yield index, function(item)


class Notebook:
    """Keeps what a tracker is told."""

    def __init__(self):
        self.metrics, self.files = {}, {}

    def log_metrics(self, values, step):
        self.metrics |= {(name, step): value for name, value in values.items()}

    def log_artifact(self, path, artifact_dir=""):
        self.files[f"{artifact_dir}/{path.name}"] = Path(path).read_bytes()


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return LocalStore(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def dataset(store):
    return toy_dataset(store, 6)


@pytest.fixture(scope="module")
def checkpoint(store):
    return toy_generator(store)


def config_of(num_clips=3, **changes):
    return RunConfig(
        name="toy",
        ingest=IngestConfig(min_clip_frames=9),
        train=TrainConfig(model=MODEL, num_frames=9),
        evaluate=toy_config(num_clips, **changes),
    )


def run(store, dataset, checkpoint, cluster, config):
    notebook, events = Notebook(), []
    settings = Settings.from_environment()
    report = evaluate(
        config, dataset, checkpoint, store, notebook, cluster, events.append, settings
    )
    return report, notebook, events


def test_a_report_is_the_same_in_any_order_of_tasks_and_takes_reals_from_the_store(
    store, dataset, checkpoint
):
    first, second = Inline(), Inline(backwards=True)
    report, notebook, events = run(store, dataset, checkpoint, first, config_of(batch_size=2))
    again, _, _ = run(store, dataset, checkpoint, second, config_of(batch_size=2))

    assert set(first.ran) == {"fake", "real", "floor", "shuffled", "frozen", "blank"}
    assert set(second.ran) == {"fake"}
    assert set(map(tuple, second.columns)) == {("i3d", "motion")}
    assert again.model_copy(update={"seconds": report.seconds}) == report

    assert report.protocol.name == "fvd3_9f"
    assert report.protocol.snapshot == dataset.snapshot
    assert report.checkpoint_manifest_sha256 == checkpoint.manifest_sha256
    assert list(report.yardsticks) == ["floor", "shuffled", "frozen", "blank"]
    assert report.yardsticks["blank"] > report.yardsticks["floor"] > 0
    assert notebook.metrics["fvd", 64] == report.metrics["fvd"]
    assert notebook.metrics["yardsticks/blank", 64] == report.yardsticks["blank"]
    logged = json.loads(notebook.files["evaluation/report.json"])
    assert EvaluationReport.model_validate(logged) == report
    ids = {f"{index:064x}" for index in range(6)}
    assert [pair.distance for pair in report.closest] == sorted(x.distance for x in report.closest)
    assert {pair.fake for pair in report.closest} == {0, 1, 2}
    assert {pair.clip_id for pair in report.closest} <= ids
    assert report.protocol.num_training == 6
    for name, key in report.previews.items():
        assert key.startswith("runs/r0/evaluation/")
        assert store.get(key).data == notebook.files[f"evaluation/{name}"]
    assert report.previews.keys() >= {"report.html", "sheet.png", "closest.png", "real.mp4"}
    counts = [event.done for event in events if event.unit == "clips"]
    assert counts[0] == 0
    assert counts[-1] == events[-1].total == 6 * 3
    assert counts == sorted(counts)


def test_without_twice_the_clips_there_is_no_floor_and_the_notes_say_why(
    store, dataset, checkpoint
):
    setting = choose_setting(store, dataset.dataset, dataset.snapshot, toy_config(4))
    rng = np.random.default_rng(0)
    roles = ("fake", "real", "floor", "shuffled", "frozen", "blank")
    features = {role: {"i3d": rng.normal(size=(4, 8)).astype(np.float32)} for role in roles}
    report = report_of(checkpoint, setting, features, time.monotonic())
    assert list(report.yardsticks) == ["shuffled", "frozen", "blank"]
    assert any("no floor" in note for note in report.notes)


def test_another_outcome_for_the_same_generator_is_kept_in_another_place(store, dataset):
    setting = choose_setting(store, dataset.dataset, dataset.snapshot, toy_config(2))
    one = EvaluationReport(metrics={"fvd": 1.0}, yardsticks={}, protocol=setting.protocol)
    later = one.model_copy(update={"seconds": 7.0})
    assert _place_of(one, "r") == _place_of(later, "r")
    assert _place_of(one, "r") != _place_of(one.model_copy(update={"metrics": {"fvd": 2.0}}), "r")


def test_a_checkpoint_that_is_not_the_one_named_is_refused(store, dataset, checkpoint):
    other = checkpoint.model_copy(update={"manifest_sha256": "0" * 64})
    with pytest.raises(CorruptObjectError, match="MANIFEST"):
        run(store, dataset, other, Inline(), config_of())


def test_a_checkpoint_of_another_resolution_is_refused(store, dataset, checkpoint):
    other = checkpoint.model_copy(update={"height": 64, "width": 64})
    with pytest.raises(EvaluationError, match="makes frames of 64x64, dataset toy has 32x32"):
        run(store, dataset, other, Inline(), config_of())
