"""What is said after an evaluation: the figure with its interval, yardsticks, alarms, the page."""

from videogen.artifacts import EvaluationReport, Protocol, StageResult
from videogen.cli.summary import stage_line


def said(**changes: object) -> list[str]:
    """The lines after an evaluation."""
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
        "metrics": {"fvd": 431.2, "diversity": 0.9},
        "intervals": {"fvd": (401.3, 462.9)},
        "yardsticks": {"blank": 714.0, "floor": 116.0, "frozen": 295.0, "shuffled": 205.0},
        "protocol": protocol,
        "previews": {"report.html": "runs/r1/evaluation/0123/report.html"},
    }
    report = EvaluationReport.model_validate(fields | changes)
    result = StageResult(
        stage="evaluate",
        key="k",
        run_id="r1",
        code_version="v",
        finished_at="now",
        seconds=1.0,
        artifact=report.model_dump(mode="json"),
    )
    return stage_line(result, "s3://bucket/root/").splitlines()


def test_an_evaluation_ends_with_its_figure_on_the_yardsticks_and_where_the_page_is() -> None:
    assert said() == [
        (
            "evaluate: fvd256_16f 431 (95 %: 401 to 463); floor 116, shuffled 205, frozen 295, "
            "blank 714; it lies between frozen clips (295) and blank clips (714)"
        ),
        "  page: s3://bucket/root/runs/r1/evaluation/0123/report.html",
    ]


def test_what_is_alarming_is_said_at_once() -> None:
    lines = said(metrics={"fvd": 431.2, "diversity": 0.1, "near_copies": 0.4})
    assert "collapse" in lines[1]
    assert "near-copies: 40%" in lines[2]


def test_an_evaluation_without_interval_yardsticks_or_page_has_its_line_too() -> None:
    assert said(intervals={}, yardsticks={}, previews={})[0].startswith("evaluate: fvd256_16f 431;")
