"""Registered versions judged again, and side by side: the real command on a store and MLflow."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from videogen.artifacts import (
    CheckpointRef,
    ComparisonReport,
    DatasetRef,
    EvaluationReport,
    Protocol,
)
from videogen.cli import app
from videogen.config.loading import to_yaml
from videogen.config.models import DcganConfig
from videogen.config.run import RunConfig
from videogen.config.settings import apply_environment, child_environment
from videogen.data.shards.frame_codec import encode_clip
from videogen.data.shards.tar_shard import ShardWriter, shard_key
from videogen.data.snapshots.clip_table import ClipRow, table_of
from videogen.data.snapshots.snapshot import add_clips
from videogen.mlflow_connection import connect
from videogen.models.build import build_networks
from videogen.models.export import GeneratorSpec, save_weights
from videogen.progress import silent
from videogen.registry.stage import register
from videogen.runs import manifest
from videogen.storage.base import ObjectStore
from videogen.storage.local import LocalStore
from videogen.tracking import open_tracker, start_run

pytestmark = pytest.mark.machine

_SIZE = 32
_FRAMES = 9
_MODEL = DcganConfig(base_channels=8, latent_dim=8)


@dataclass(frozen=True)
class Shop:
    """A store with a dataset of drifting noise, and an MLflow with two versions trained on it."""

    root: Path
    tracking_uri: str

    @property
    def store(self) -> ObjectStore:
        return LocalStore(self.root / "store")

    def keys(self, prefix: str) -> list[str]:
        return sorted(info.key for info in self.store.list(prefix))


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    root = tmp_path_factory.mktemp("shop")
    shop = Shop(root, f"sqlite:///{root}/mlflow.db")
    config = _config(shop)
    dataset = _dataset(shop.store, root, config.ingest_digest)
    for seed in (1, 2):
        _register(shop, config, dataset, seed)
    (root / "config.yaml").write_text(to_yaml(config))
    return shop


@pytest.fixture(autouse=True)
def _environment(shop: Shop, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """A command changes its process's environment, and here that is everybody's."""
    before = child_environment({})
    monkeypatch.setenv("MLFLOW_TRACKING_URI", shop.tracking_uri)
    monkeypatch.setenv("VIDEOGEN_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(app, "_take_signals", lambda: None)
    yield
    apply_environment({name: before.get(name) for name in {*before, *child_environment({})}})


def _config(shop: Shop) -> RunConfig:
    return RunConfig.model_validate(
        {
            "name": "toy",
            "storage": {"root": shop.store.root},
            "ingest": {"min_clip_frames": _FRAMES},
            "train": {
                "model": _MODEL.model_dump(),
                "num_frames": _FRAMES,
            },
            "evaluate": {"num_clips": 3, "num_frames": _FRAMES},
        }
    )


def _dataset(store: ObjectStore, scratch: Path, ingest_digest: str) -> DatasetRef:
    """Six clips of noise that drifts, 12 frames each."""
    rng = np.random.default_rng(0)
    ids = [f"{index:02x}" * 32 for index in range(6)]
    with ShardWriter(scratch, 1 << 26) as writer:
        for clip_id in ids:
            still = rng.integers(0, 256, (_SIZE, _SIZE, 3)).astype(np.uint8)
            clip = np.stack([np.roll(still, step, axis=0) for step in range(12)])
            writer.add(clip_id, {}, encode_clip(clip, "raw"))
        written = writer.finish()
    store.upload(shard_key("toy", written.sha256), written.path)
    rows = [
        ClipRow(
            clip_id=placed.clip_id, source=f"{placed.clip_id}.mp4", source_sha256=placed.clip_id,
            start_s=0, end_s=1.5, shard=written.sha256, offset=placed.offset, length=placed.length,
            sha256=placed.sha256, frames=12, fps=8, height=_SIZE, width=_SIZE, codec="raw",
            colour="bt601", split="train",
        )
        for placed in written.clips
    ]  # fmt: skip
    snapshot = add_clips(store, "toy", ingest_digest, table_of(rows))
    return DatasetRef(
        dataset="toy", snapshot=snapshot.digest, ingest_digest=ingest_digest, sources=6, clips=6,
        frames=72, height=_SIZE, width=_SIZE, fps=8,
    )  # fmt: skip


def _save(directory: Path, seed: int, size: int = _SIZE) -> None:
    generator = build_networks(_MODEL, (size, size), _FRAMES, seed=seed).generator
    spec = GeneratorSpec(model=_MODEL, height=size, width=size, num_frames=_FRAMES, fps=8)
    save_weights(generator.state_dict(), directory, spec)


def _register(shop: Shop, config: RunConfig, dataset: DatasetRef, seed: int) -> None:
    directory = shop.root / f"seed-{seed}"
    _save(directory / "generator", seed)
    prefix = f"runs/trained-{seed}/checkpoints/00000064"
    checkpoint = CheckpointRef(
        run_id=f"trained-{seed}", prefix=prefix,
        manifest_sha256=manifest.publish(shop.store, prefix, directory), clips_seen=64,
        snapshot=dataset.snapshot, model_kind="dcgan", num_frames=_FRAMES, height=_SIZE,
        width=_SIZE, fps=8,
    )  # fmt: skip
    report = EvaluationReport(
        metrics={"fvd": 500.0},
        yardsticks={"blank": 700.0},
        protocol=Protocol(
            name="fvd3_9f", extractor="i3d", extractor_sha256="0" * 64, num_real=3, num_fake=3,
            num_frames=_FRAMES, frame_stride=1, height=_SIZE, width=_SIZE, split="train", seed=0,
            snapshot=dataset.snapshot,
        ),
    )  # fmt: skip
    tracker = open_tracker(start_run(shop.tracking_uri, "toy", None, f"trained-{seed}"))
    register(config, dataset, checkpoint, report, shop.store, tracker, silent)


def run(*arguments: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    code = app.run_command([*arguments, "--progress", "plain"])
    told = capsys.readouterr()
    return code, told.out, told.err


def test_a_version_is_judged_on_the_reals_of_its_tags_in_a_run_of_its_own(
    shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(
        "evaluate", "--model", "models:/toy@challenger", "--run-id", "again", "--json",
        capsys=capsys,
    )  # fmt: skip
    assert code == 0, err
    report = json.loads(out)
    assert report["protocol"]["name"] == "fvd3_9f"
    assert report["protocol"]["snapshot"] == _dataset_digest(shop)
    assert set(report["yardsticks"]) == {"floor", "shuffled", "frozen", "blank"}
    assert report["model"] == "models:/toy/2"
    assert report["metrics"]["fvd"] != 500.0
    assert not shop.keys("runs/again/models/")
    assert all(shop.store.head(key) for key in report["previews"].values())
    client = connect(shop.tracking_uri)
    experiment = client.get_experiment_by_name("toy").experiment_id
    (tracked,) = client.search_runs(
        [experiment], "tags.`videogen.model` = 'toy/2' AND tags.`videogen.run_id` = 'again'"
    )
    assert tracked.data.tags["videogen.snapshot"] == report["protocol"]["snapshot"]
    assert tracked.data.metrics["fvd"] == report["metrics"]["fvd"]

    code, out, _ = run(
        "evaluate", "--model", "models:/toy/2", "--run-id", "later", "--json", capsys=capsys
    )
    linked = json.loads(out)
    assert (code, linked["reused_from"], linked["metrics"]) == (0, "again", report["metrics"])


def _dataset_digest(shop: Shop) -> str:
    (key,) = shop.keys("datasets/toy/snapshots/")
    return Path(key).stem


def test_models_are_compared_on_one_set_of_reals_and_nothing_of_it_stays_in_the_store(
    shop: Shop, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    copied = tmp_path / "copied"
    shutil.copytree(shop.root / "seed-1" / "generator", copied)
    code, out, err = run(
        *("compare", "models:/toy/1", "models:/toy@challenger", "copied"),
        *("--out", "compared", "--json"),
        capsys=capsys,
    )
    assert code == 0, err
    report = ComparisonReport.model_validate_json(out)
    assert [one.model for one in report.models] == ["models:/toy/1", "models:/toy/2", "copied"]
    first, second, copy = report.models
    assert first.metrics["fvd"] != second.metrics["fvd"]
    assert copy.metrics == first.metrics
    assert set(report.yardsticks) == {"floor", "shuffled", "frozen", "blank"}
    by_pair = {(one.model, one.other): one for one in report.differences}
    assert list(by_pair) == [
        ("models:/toy/1", "models:/toy/2"),
        ("models:/toy/1", "copied"),
        ("models:/toy/2", "copied"),
    ]
    one = by_pair["models:/toy/1", "models:/toy/2"]
    assert one.difference == pytest.approx(first.metrics["fvd"] - second.metrics["fvd"])
    same = by_pair["models:/toy/1", "copied"]
    assert (same.difference, same.p_value, same.better) == (0, 1, None)
    assert report.notes[-1].startswith("3 pairs were tested, each by itself")

    assert {path.name for path in Path("compared").iterdir()} == {
        "comparison.html", "comparison.json", "sheet.png",
        "real.mp4", "model-1.mp4", "model-2.mp4", "model-3.mp4",
    }  # fmt: skip
    page = Path("compared/comparison.html").read_text()
    assert "models:/toy/2" in page
    assert json.loads(Path("compared/comparison.json").read_text()) == json.loads(out)
    assert {key.split("/")[1] for key in shop.keys("runs/")} <= {
        "trained-1", "trained-2", "again", "later",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["compare", "models:/toy/1"], 2, "name two models or more"),
        (["compare", "models:/toy/2", "models:/toy@challenger"], 2, "same model, models:/toy/2"),
        (["compare", "models:/toy/1", "models:/toi/1"], 1, "models there: bare, toy"),
        (["compare", "models:/toy/1", "models:/toy/9"], 1, "newest version of toy: 2"),
        (["evaluate"], 2, "give a CONFIG, whose checkpoint is then judged, or --model"),
        (["evaluate", "--model", "alone"], 2, "alone: nothing says on which data"),
        (["evaluate", "--model", "models:/bare/1"], 2, "models:/bare/1: nothing says on which"),
        (["compare", "alone", "large", "--out", "CONFIG"], 2, "cannot be written (Not a"),
        (["compare", "alone", "large", "--config", "CONFIG"], 1, "large makes frames of 64x64"),
        (
            ["evaluate", "--model", "models:/toy/1", "--set", "storage.root=elsewhere"],
            1,
            "models:/toy/1 was judged on data that is not in",
        ),
        (
            ["evaluate", "--model", "downloaded", "--set", "storage.root=elsewhere"],
            1,
            "downloaded was judged on data that is not in",
        ),
        (["evaluate", "--model", "older"], 2, "older carries a config that this videogen does not"),
        (
            ["evaluate", "--model", "alone", "--dry-run"],
            2,
            "--dry-run plans the stages of",
        ),
        (["evaluate", "CONFIG", "--model", "damaged"], 1, "generator.safetensors"),
    ],
)
def test_what_cannot_be_judged_is_answered_in_one_line(
    shop: Shop,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
    said: str,
) -> None:
    _bad_models(shop)
    arguments = [one.replace("CONFIG", str(shop.root / "config.yaml")) for one in arguments]
    arguments[1:1] = ["--set", f"storage.root={shop.store.root}"]
    found, _, err = run(*arguments, capsys=capsys)
    assert found == code, err
    (error,) = [line for line in err.splitlines() if line.startswith("error: ")]
    assert said in error


def _bad_models(shop: Shop) -> None:
    """In the working directory, and a version in the registry that says nothing of its data."""
    _save(Path("alone"), 3)
    _save(Path("large"), 3, 64)
    _save(Path("damaged"), 3)
    weights = Path("damaged/generator.safetensors")
    weights.write_bytes(weights.read_bytes()[:-100])
    for name, more in (("downloaded", ""), ("older", "bygone: 1\n")):
        shutil.copytree("alone", f"{name}/artifacts/generator")
        documents = Path(name, "artifacts", "documents")
        documents.mkdir()
        (documents / "evaluation.json").write_text(
            json.dumps({"protocol": {"snapshot": "5" * 64, "num_real": 3}})
        )
        (documents / "config.yaml").write_text(to_yaml(_config(shop)) + more)
    client = connect(shop.tracking_uri)
    if not client.search_registered_models("name = 'bare'"):
        shutil.copytree("alone", shop.root / "bare" / "artifacts" / "generator")
        client.create_registered_model("bare")
        client.create_model_version("bare", (shop.root / "bare").as_uri())
