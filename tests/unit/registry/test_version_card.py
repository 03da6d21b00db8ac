"""The page of a version: FVD with its interval, yardsticks, the way to the report."""

from videogen.artifacts import CheckpointRef, DatasetRef, EvaluationReport, Protocol
from videogen.config.models import DcganConfig
from videogen.models.export import GeneratorSpec
from videogen.presets import load_config
from videogen.registry.card import VersionCard

SPEC = GeneratorSpec(model=DcganConfig(), height=32, width=32, num_frames=16, fps=8.0)
KEY = "runs/r1/evaluation/0123/report.html"


def description(mlflow_run_id: str | None, **changes: object) -> str:
    """Markdown of a version."""
    protocol = Protocol(
        name="fvd256_16f",
        extractor="i3d",
        extractor_sha256="0" * 64,
        num_real=256,
        num_fake=256,
        num_frames=16,
        frame_stride=1,
        height=32,
        width=32,
    )
    fields: dict[str, object] = {
        "metrics": {"fvd": 431.25},
        "intervals": {"fvd": (401.3, 462.9)},
        "yardsticks": {"floor": 116.0, "blank": 714.0},
        "protocol": protocol,
        "previews": {"report.html": KEY},
    }
    dataset = DatasetRef(
        dataset="d",
        snapshot="17" * 32,
        ingest_digest="18" * 32,
        sources=3,
        clips=9,
        frames=90,
        height=32,
        width=32,
        fps=8.0,
    )
    checkpoint = CheckpointRef(
        run_id="r1",
        prefix="runs/r1/checkpoints/1",
        manifest_sha256="19" * 32,
        clips_seen=40,
        snapshot=dataset.snapshot,
        model_kind="dcgan",
        num_frames=16,
        height=32,
        width=32,
        fps=8.0,
        mlflow_run_id=mlflow_run_id,
    )
    report = EvaluationReport.model_validate(fields | changes)
    return VersionCard(load_config("demo", ()), dataset, checkpoint, report, None).description(SPEC)


def test_the_interval_stands_beside_fvd_and_the_floor_below() -> None:
    lines = description("m1").splitlines()
    assert "| this generator | 431.2 (95 %: 401.3 to 462.9) |" in lines
    assert "| *floor* | 116.0 |" in lines
    assert "| this generator | 431.2 |" in description("m1", intervals={}).splitlines()
    assert "| this generator | missing |" in description("m1", metrics={}).splitlines()


def test_the_page_of_the_report_can_be_found() -> None:
    assert "`evaluation/report.html` of [its run](#/runs/m1)" in description("m1")
    assert f"`{KEY}` in the store" in description(None)
    assert "`evaluation.json`" in description(None, previews={})
