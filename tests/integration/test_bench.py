"""The benches on what they stand for: real Ray workers, a real S3 server."""

import json
import tempfile
from dataclasses import asdict
from pathlib import Path

import pytest

from videogen.benchmarks.clips import ClipSet
from videogen.benchmarks.features import FeaturesBench, bench_features
from videogen.benchmarks.footage import Footage
from videogen.benchmarks.ingest import IngestBench, bench_ingest
from videogen.benchmarks.loader import LoaderBench, bench_loader
from videogen.benchmarks.train import TrainBench, bench_train
from videogen.config.models import R3ganVConfig
from videogen.config.settings import Settings, environment_value
from videogen.config.train import TrainConfig
from videogen.progress import silent

pytestmark = [
    pytest.mark.machine,
    # Ray leaves its log files to the garbage collector.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    # Ray Train copies Ray Data's context, which warns of its own deprecated fields.
    pytest.mark.filterwarnings("ignore::DeprecationWarning:ray"),
]


def test_two_workers_are_measured_beside_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    footage = Footage(width=320, height=180, scene_seconds=(8,))
    report = bench_ingest(IngestBench(turns=1, ray_turns=1, num_files=4, footage=footage), silent)
    one, two = (report.figures[f"workers_{number}_frames_per_s"] for number in (1, 2))
    assert report.ratios["workers_2_vs_1"] == pytest.approx(two / one, rel=0.02)
    assert min(one, two) > 0  # how much faster two are is not for a test on a shared machine
    assert not list(tmp_path.iterdir())


def test_the_loader_on_s3_is_measured_beside_decoding_and_webdataset(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    endpoint = environment_value("AWS_ENDPOINT_URL")
    clips = ClipSet(scene_seconds=(3, 3), num_copies=8, shard_size_bytes=1 << 20)
    bench = LoaderBench(turns=1, windows=64, clips=clips, snapshot_clips=20_000)
    report = asdict(bench_loader(bench, silent))
    assert json.loads(json.dumps(report)) == report
    figures, ratios = report["figures"], report["ratios"]
    assert (figures["clips"], figures["clip_frames"]) == (16, 16 * 72)
    assert figures["open_snapshot_s"] > 0
    assert 0 < figures["open_snapshot_growth_bytes"] < 200e6
    rates = {
        name: figures[f"{name}_windows_per_s"]
        for name in ("decode", "batches", "webdataset", "warm", "cold")
    }
    assert min(rates.values()) > 0  # how fast is not for a test on a shared machine
    assert ratios == {
        "vs_memory_decode": pytest.approx(rates["warm"] / rates["decode"], abs=1e-3),
        "vs_webdataset": pytest.approx(rates["warm"] / rates["webdataset"], abs=1e-3),
        "cold_vs_memory_decode": pytest.approx(rates["cold"] / rates["decode"], abs=1e-3),
    }
    assert not list(tmp_path.iterdir()), "the server has taken its data with it"
    assert environment_value("AWS_ENDPOINT_URL") == endpoint


def test_the_stage_on_ray_is_measured_beside_bare_steps_and_two_workers_beside_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    tiny = R3ganVConfig(generator_channels=(16,), discriminator_channels=(16,), tube_frames=2)
    bench = TrainBench(
        turns=1,
        steps=8,
        train=TrainConfig(model=tiny, num_frames=2, global_batch_size=2),
        clips=ClipSet(size=32, scene_seconds=(3,), num_copies=4),
        mocogan=False,
        presets=("smoke",),
        online_clips=2,
    )
    report = asdict(bench_train(bench, silent))
    assert json.loads(json.dumps(report)) == report
    figures, ratios = report["figures"], report["ratios"]
    for ratio, above, below in (
        ("pipeline_vs_bare", "pipeline", "bare"),
        ("workers_2x1_vs_1x2", "workers_2x1", "workers_1x2"),
    ):
        of_figures = figures[f"{above}_clips_per_s"] / figures[f"{below}_clips_per_s"]
        assert ratios[ratio] == pytest.approx(of_figures, rel=0.01)
    judged = figures["judged_clips_per_s"] / figures["pipeline_clips_per_s"]
    assert ratios["online_evaluation_cost"] == pytest.approx(1 - judged, abs=0.01)
    assert figures["online_evaluation_s"] > 0
    assert 0 < ratios["checkpoint_stall_fraction"] < 1
    assert 0 <= ratios["data_wait_fraction"] < 1
    assert 200 << 20 < figures["peak_rss_bytes_smoke"] < 4 << 30
    assert not list(tmp_path.iterdir())


def test_evaluations_are_measured_first_and_cached_and_in_bf16(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    bench = FeaturesBench(
        turns=1,
        clips=2,
        num_frames=9,
        memory_frames=(9,),
        memory_clips=(2, 6),
        evaluation_clips=2,
    )
    report = asdict(bench_features(bench, Settings.from_environment(), silent))
    assert json.loads(json.dumps(report)) == report
    figures, ratios = report["figures"], report["ratios"]
    rates = {name: figures[f"{name}_clips_per_s"] for name in ("eager", "fp32", "bf16")}
    assert ratios["vs_eager"] == pytest.approx(rates["fp32"] / rates["eager"], rel=0.01)
    assert ratios["bf16_vs_fp32"] == pytest.approx(rates["bf16"] / rates["fp32"], rel=0.01)
    assert 0 < figures["max_logit_difference"] < 1e-4
    assert (figures["evaluation_first_clips"], figures["evaluation_cached_clips"]) == (12, 2)
    assert ratios["cached_clips_per_fake"] == 1.0
    for name in ("near", "far"):
        exact, rough = figures[f"fvd_{name}_fp32"], figures[f"fvd_{name}_bf16"]
        assert ratios[f"bf16_fvd_error_{name}"] == pytest.approx(abs(rough / exact - 1), abs=1e-4)
        assert 0 < ratios[f"bf16_fvd_error_{name}"] < 0.1
    # At 224 px, the frames of four more clips are 22 MB, what the stem makes of them 128 MB.
    assert figures["memory_growth_bytes_9f"] < 40 << 20
    assert not list(tmp_path.iterdir())
