"""Keeps a report, its page and its pictures: in the store, and with the run in MLflow."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from videogen.artifacts import EvaluationReport
from videogen.evaluation.report.page import render
from videogen.evaluation.report.previews import Preview, draw_previews
from videogen.storage.base import ObjectStore
from videogen.tracking import Tracker

PAGE: Final = "report.html"
REPORT: Final = "report.json"
_ARTIFACT_DIR: Final = "evaluation"


def publish(
    report: EvaluationReport, preview: Preview, store: ObjectStore, prefix: str, tracker: Tracker
) -> EvaluationReport:
    """The report with the keys of its files, after all are kept below `prefix`.

    That is `runs/RUN_ID/evaluation/DIGEST`: what shows real clips is deleted there with them.

    Raises:
        VideogenError: a file cannot be made or kept.
    """
    pictures = draw_previews(preview)
    keys = {name: f"{prefix}/{name}" for name in sorted([*pictures, PAGE])}
    whole = report.model_copy(update={"previews": keys})
    files = {
        **pictures,
        PAGE: render(whole, pictures).encode(),
        REPORT: whole.model_dump_json(indent=2).encode(),
    }
    _keep(files, store, prefix, tracker)
    return whole


def _keep(files: Mapping[str, bytes], store: ObjectStore, prefix: str, tracker: Tracker) -> None:
    with tempfile.TemporaryDirectory(prefix="videogen-report-") as scratch:
        for name, content in sorted(files.items()):
            path = Path(scratch) / name
            path.write_bytes(content)
            store.upload(f"{prefix}/{name}", path)
            tracker.log_artifact(path, _ARTIFACT_DIR)
