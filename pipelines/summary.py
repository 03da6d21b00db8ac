"""The end of a run: one JSON document for programs, one Markdown artifact for people."""

import base64
from collections.abc import Mapping

from prefect.artifacts import create_markdown_artifact

from pipelines.running import FlowRun
from videogen.artifacts import CheckpointRef, EvaluationReport, ModelRef, StageResult
from videogen.config.redaction import without_secrets
from videogen.config.run import Stage
from videogen.evaluation.report.wording import alarms, ordered_yardsticks, spelled, with_interval
from videogen.stack import embedded

Results = Mapping[Stage, StageResult]

_MAX_INLINE_BYTES = 300_000


def run_document(run: FlowRun, results: Results) -> dict[str, object]:
    """`{run_id, root, tracking_uri, stages: {STAGE: {reused, seconds, artifact}}, links}`."""
    return {
        "run_id": run.run_id,
        "name": run.services.config.name,
        "root": run.services.store.root,
        "tracking_uri": without_secrets(run.services.tracking_uri),
        "stages": {
            stage: {
                "reused": result.reused_from is not None,
                "reused_from": result.reused_from,
                "seconds": result.seconds,
                "artifact": result.artifact,
            }
            for stage, result in results.items()
        },
        "links": _links(run, results),
    }


def publish_summary(run: FlowRun, results: Results) -> None:
    """Write the closing artifact of the flow run."""
    report = EvaluationReport.model_validate(results["evaluate"].artifact)
    parts = (
        f"# {run.services.config.name}: run {run.run_id}",
        _stages_table(results),
        _metrics_table(report),
        _preview(run, report),
        "\n".join(f"- [{name}]({address})" for name, address in _links(run, results).items()),
        f"Everything lasting is below `{run.services.store.root}`.",
    )
    create_markdown_artifact(
        "\n\n".join(part for part in parts if part),
        key="video-gan-summary",
        description=f"{run.services.config.name}, run {run.run_id}",
    )


def _stages_table(results: Results) -> str:
    rows = (
        f"| {stage} | {_outcome(result)} | {result.seconds:.0f} s |"
        for stage, result in results.items()
    )
    return "\n".join(("| stage | what came of it | time |", "|---|---|---|", *rows))


def _outcome(result: StageResult) -> str:
    if result.stage == "register":
        model = ModelRef.model_validate(result.artifact)
        outcome = f"{model.uri}, {model.decision}: {'; '.join(model.reasons)}".rstrip(": ")
    elif result.stage == "train":
        outcome = f"{CheckpointRef.model_validate(result.artifact).clips_seen:,} clips seen"
    else:
        outcome = "done"
    reused = f" (reused from run {result.reused_from})" if result.reused_from else ""
    return f"{outcome}{reused}".replace("|", "\\|")


def _metrics_table(report: EvaluationReport) -> str:
    protocol = report.protocol
    metrics = (
        f"| **{name}** | **{with_interval(value, report.intervals.get(name))}** |"
        for name, value in report.metrics.items()
    )
    yardsticks = (
        f"| FVD of {name} | {spelled(value)} |"
        for name, value in ordered_yardsticks(report.yardsticks).items()
    )
    title = f"| {protocol.name}, {protocol.num_fake} against {protocol.num_real} clips | |"
    found = alarms(report.metrics, report.yardsticks, protocol.num_fake)
    lines = ("\n".join((title, "|---|---|", *metrics, *yardsticks)), *found)
    return "\n\n".join(lines)


def _preview(run: FlowRun, report: EvaluationReport) -> str:
    """The sample sheet inside the page, since a browser has no keys to the store."""
    key = report.previews.get("sheet.png")
    if key is None:
        return ""
    image = run.services.store.get(key).data
    if len(image) > _MAX_INLINE_BYTES:
        return f"Samples: `{run.services.store.root}/{key}`"
    return f"![samples](data:image/png;base64,{base64.b64encode(image).decode()})"


def _links(run: FlowRun, results: Results) -> dict[str, str]:
    """Pages that can be opened in a browser now, by name."""
    pages = {
        service.name: service.page
        for service in embedded.status(run.services.settings)
        if service.page
    }
    links = {"Ray dashboard": pages["ray"]} if "ray" in pages else {}
    tracking_uri = without_secrets(run.services.tracking_uri).rstrip("/")
    if tracking_uri.startswith("http"):
        checkpoint = CheckpointRef.model_validate(results["train"].artifact)
        model = ModelRef.model_validate(results["register"].artifact)
        if checkpoint.mlflow_run_id:
            links["MLflow run"] = f"{tracking_uri}/#/runs/{checkpoint.mlflow_run_id}"
        links["model version"] = f"{tracking_uri}/#/models/{model.name}/versions/{model.version}"
    return links
