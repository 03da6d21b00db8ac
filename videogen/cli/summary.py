"""What a command says at its end: what came of it, where it is, what to do next."""

from textwrap import indent
from typing import Any

from videogen.artifacts import (
    CheckpointRef,
    DatasetRef,
    EvaluationReport,
    ModelRef,
    StageResult,
)
from videogen.evaluation.report.wording import (
    alarms,
    fvd_of,
    ordered_yardsticks,
    spelled,
    standing,
)


def stage_json(result: StageResult) -> dict[str, Any]:
    """A stage's result as `--json` prints it: the artifact, with run, key and reuse beside it."""
    return {
        **result.artifact,
        "stage": result.stage,
        "run_id": result.run_id,
        "key": result.key,
        "reused_from": result.reused_from,
        "seconds": result.seconds,
    }


def stage_line(result: StageResult, root: str) -> str:
    """What came of a stage, for people: a line, and below it what must be looked at.

    `root` is where the store lies.
    """
    reused = f" (reused from run {result.reused_from})" if result.reused_from else ""
    lines = [f"{result.stage}: {_outcome(result)}{reused}"]
    if result.stage == "evaluate":
        report = EvaluationReport.model_validate(result.artifact)
        found = alarms(report.metrics, report.yardsticks, report.protocol.num_fake)
        lines += [f"  look here: {one}" for one in found]
        if page := report.previews.get("report.html"):
            lines.append(f"  page: {root.rstrip('/')}/{page}")
    return "\n".join(lines)


def _outcome(result: StageResult) -> str:
    match result.stage:
        case "ingest":
            return _ingested(DatasetRef.model_validate(result.artifact), result.seconds)
        case "train":
            trained = CheckpointRef.model_validate(result.artifact)
            return f"{trained.clips_seen:,} clips seen in {_duration(result.seconds)}"
        case "evaluate":
            return _judged(EvaluationReport.model_validate(result.artifact))
        case _:
            model = ModelRef.model_validate(result.artifact)
            aliases = ", ".join(f"@{alias}" for alias in model.aliases) or "no alias"
            return f"{model.name} version {model.version} ({aliases})"


def _ingested(dataset: DatasetRef, seconds: float) -> str:
    quarantined = ""
    if dataset.quarantined:
        first, num = dataset.quarantined[0], len(dataset.quarantined)
        quarantined = (
            f", {num} source{'s' * (num > 1)} quarantined, for instance "
            f"{first['source']!r}: {first['reason']} (`videogen ingest CONFIG --json` lists them)"
        )
    filtered = ", ".join(f"{number} {reason}" for reason, number in dataset.filtered.items())
    left_out = f", left out: {filtered}" if filtered else ""
    new = (
        f"{dataset.new_sources} new videos in {_duration(seconds)}"
        if dataset.new_sources
        else "nothing new"
    )
    return (
        f"{new}; dataset {dataset.dataset} has {dataset.clips} clips of {dataset.sources} "
        f"videos{left_out}{quarantined} (snapshot {dataset.snapshot[:12]})"
    )


def _judged(report: EvaluationReport) -> str:
    values = ordered_yardsticks(report.yardsticks)
    yardsticks = ", ".join(f"{name} {spelled(value)}" for name, value in values.items())
    return f"{report.protocol.name} {fvd_of(report)}; {yardsticks}; it {standing(report)}"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def run_summary(document: dict[str, Any]) -> str:
    """The closing lines of a run: what came of each stage, where things are, what to do next.

    `document` is what the flow prints: `{run_id, name, root, tracking_uri, stages, links}`.
    """
    stages = document["stages"]
    lines = [f"run {document['run_id']} of {document['name']}"]
    if all(one["reused_from"] for stage, one in stages.items() if stage != "ingest"):
        lines[0] += ": nothing was left to do"
    for stage, one in stages.items():
        result = StageResult.model_validate(
            {"stage": stage, "run_id": document["run_id"], **_UNSHOWN, **_fields_of(one)}
        )
        lines.append(indent(stage_line(result, document["root"]), "  "))
    model = ModelRef.model_validate(stages["register"]["artifact"])
    lines += [f"  {model.decision}: {reason}" for reason in model.reasons]
    lines += ["where it is", f"  everything lasting   {document['root']}"]
    lines += [f"  {name:<20} {address}" for name, address in document["links"].items()]
    lines.append(f"  MLflow tracking      {document['tracking_uri']}")
    best = next((alias for alias in ("champion", "challenger") if alias in model.aliases), None)
    chosen = f"@{best}" if best else f"/{model.version}"
    return "\n".join(
        [
            *lines,
            "what to do next",
            f"  videogen generate --model models:/{model.name}{chosen} -n 16 --out generated",
            '  eval "$(videogen stack env)"   then mlflow.pyfunc.load_model finds it too',
            "  videogen stack status | down   look at the services, or stop them",
        ]
    )


def _fields_of(stage: dict[str, Any]) -> dict[str, Any]:
    """The fields of a `StageResult` that the flow prints of a stage."""
    return {name: stage[name] for name in ("reused_from", "seconds", "artifact")}


_UNSHOWN = {"key": "", "code_version": "", "finished_at": ""}
