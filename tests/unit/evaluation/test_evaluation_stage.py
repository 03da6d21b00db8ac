"""The stage with the real weights and a real generator, on one process."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from videogen.artifacts import DatasetRef, GeneratorRef
from videogen.config.evaluate import EvaluateConfig
from videogen.config.run import RunConfig
from videogen.config.sections import IngestConfig
from videogen.config.settings import Settings
from videogen.config.train import DcganConfig, TrainConfig
from videogen.data.shards.frame_codec import encode_clip
from videogen.data.shards.tar_shard import ShardWriter, shard_key
from videogen.data.snapshots.clip_table import ClipRow, table_of
from videogen.data.snapshots.snapshot import add_clips
from videogen.errors import CorruptObjectError, EvaluationError
from videogen.evaluation.stage import evaluate
from videogen.models.build import build_networks
from videogen.models.export import GeneratorSpec, save_weights
from videogen.runs import manifest
from videogen.storage.local import LocalStore

pytestmark = pytest.mark.integration

MODEL = DcganConfig(base_channels=8, latent_dim=8)


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
def dataset(store, tmp_path_factory):
    """Six clips of noise that drifts, 12 frames at 32 px."""
    rng = np.random.default_rng(0)
    scratch = tmp_path_factory.mktemp("shards")
    ids = [f"{index:02x}" * 32 for index in range(6)]
    with ShardWriter(scratch, 1 << 26) as writer:
        for clip_id in ids:
            still = rng.integers(0, 256, (32, 32, 3)).astype(np.uint8)
            clip = np.stack([np.roll(still, step, axis=0) for step in range(12)])
            writer.add(clip_id, {}, encode_clip(clip, "raw"))
        written = writer.finish()
    store.upload(shard_key("toy", written.sha256), written.path)
    rows = [
        ClipRow(
            clip_id=placed.clip_id, source=f"{placed.clip_id}.mp4", source_sha256=placed.clip_id,
            start_s=0, end_s=1.5, shard=written.sha256, offset=placed.offset, length=placed.length,
            sha256=placed.sha256, frames=12, fps=8, height=32, width=32, codec="raw",
            colour="bt601", split="train",
        )
        for placed in written.clips
    ]  # fmt: skip
    snapshot = add_clips(store, "toy", "d" * 64, table_of(rows))
    return DatasetRef(
        dataset="toy", snapshot=snapshot.digest, ingest_digest="d" * 64, sources=6, clips=6,
        frames=72, height=32, width=32, fps=8,
    )  # fmt: skip


@pytest.fixture(scope="module")
def checkpoint(store, tmp_path_factory):
    directory = tmp_path_factory.mktemp("checkpoint")
    generator = build_networks(MODEL, (32, 32), 9, seed=0).generator
    spec = GeneratorSpec(model=MODEL, height=32, width=32, num_frames=9, fps=8)
    save_weights(generator.state_dict(), directory / "generator", spec)
    prefix = "runs/r1/checkpoints/00000064"
    return GeneratorRef(
        run_id="r1", prefix=prefix, manifest_sha256=manifest.publish(store, prefix, directory),
        clips_seen=64, num_frames=9, height=32, width=32, fps=8,
    )  # fmt: skip


def config_of(num_clips=3, **changes):
    return RunConfig(
        name="toy",
        ingest=IngestConfig(min_clip_frames=9),
        train=TrainConfig(model=MODEL, num_frames=9),
        evaluate=EvaluateConfig(num_clips=num_clips, num_frames=9, **changes),
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
    assert logged["metrics"] == report.metrics
    for name, key in report.previews.items():
        assert key.startswith("runs/r1/evaluation/")
        assert store.get(key).data == notebook.files[f"evaluation/{name}"]
    assert report.previews.keys() >= {"report.html", "sheet.png", "real.mp4", "preview.mp4"}
    counts = [event.done for event in events if event.unit == "clips"]
    assert counts[0] == 0
    assert counts[-1] == events[-1].total == 6 * 3
    assert counts == sorted(counts)


def test_without_twice_the_clips_there_is_no_floor_and_the_notes_say_why(
    store, dataset, checkpoint
):
    report, _, _ = run(store, dataset, checkpoint, Inline(), config_of(num_clips=4))
    assert list(report.yardsticks) == ["shuffled", "frozen", "blank"]
    assert any("no floor" in note for note in report.notes)


def test_a_checkpoint_that_is_not_the_one_named_is_refused(store, dataset, checkpoint):
    other = checkpoint.model_copy(update={"manifest_sha256": "0" * 64})
    with pytest.raises(CorruptObjectError, match="MANIFEST"):
        run(store, dataset, other, Inline(), config_of())


def test_a_checkpoint_of_another_resolution_is_refused(store, dataset, checkpoint):
    other = checkpoint.model_copy(update={"height": 64, "width": 64})
    with pytest.raises(EvaluationError, match="makes frames of 64x64, dataset toy has 32x32"):
        run(store, dataset, other, Inline(), config_of())
