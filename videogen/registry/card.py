"""What is written on a version: tags that lead back to what made it, and a page for people."""

from dataclasses import dataclass
from pathlib import Path

from videogen.artifacts import CheckpointRef, DatasetRef, EvaluationReport
from videogen.config.loading import to_yaml
from videogen.config.redaction import without_secrets
from videogen.config.run import RunConfig
from videogen.models.export import GeneratorSpec
from videogen.registry.versions import MANIFEST_TAG, TAG
from videogen.runs.code_version import code_version

_DIGITS = 12


@dataclass(frozen=True)
class VersionCard:
    """Everything that a version says about itself."""

    config: RunConfig
    dataset: DatasetRef
    checkpoint: CheckpointRef
    report: EvaluationReport
    stage_key: str | None

    @property
    def title(self) -> str:
        """One line for previews."""
        return f"{self.config.model_name} · {self.checkpoint.clips_seen:,} clips seen"

    @property
    def provenance(self) -> dict[str, str]:
        """What goes into the files of previews."""
        return {
            "ai_generated": "true",
            "generator": "videogen",
            "model": self.config.model_name,
            "run_id": self.checkpoint.run_id,
            "checkpoint": self.checkpoint.manifest_sha256,
            "snapshot": self.dataset.snapshot,
        }

    def tags(self) -> dict[str, str]:
        """The tags of the version, all below `videogen.`; figures that are missing are left out."""
        report, protocol = self.report, self.report.protocol
        tags = {
            "run_id": self.checkpoint.run_id,
            "config_digest": self.config.digest,
            "dataset": self.dataset.dataset,
            "snapshot": self.dataset.snapshot,
            "ingest_digest": self.dataset.ingest_digest,
            "code_version": code_version(),
            "model_kind": self.checkpoint.model_kind,
            "clips_seen": str(self.checkpoint.clips_seen),
            "checkpoint": self.checkpoint.prefix,
            "protocol_name": protocol.name,
            "protocol": protocol.model_dump_json(),
        }
        tags |= {name: repr(value) for name, value in report.metrics.items()}
        tags |= {f"yardstick.{name}": repr(value) for name, value in report.yardsticks.items()}
        if self.stage_key is not None:
            tags["stage_key"] = self.stage_key
        spelled = {f"{TAG}{name}": value for name, value in tags.items()}
        return {**spelled, MANIFEST_TAG: self.checkpoint.manifest_sha256}

    def description(self, spec: GeneratorSpec) -> str:
        """The version's page, in Markdown."""
        checkpoint, dataset, protocol = self.checkpoint, self.dataset, self.report.protocol
        fvd = self.report.metrics.get("fvd")
        rows = {"this generator": "missing" if fvd is None else f"{fvd:.1f}{self._interval()}"}
        rows |= {f"*{name}*": f"{value:.1f}" for name, value in self.report.yardsticks.items()}
        table = "\n".join(f"| {name} | {value} |" for name, value in rows.items())
        uri = f"models:/{self.config.model_name}@champion"
        return (
            f"**{checkpoint.model_kind}**, {spec.width}x{spec.height} pixels, {spec.num_frames} "
            f"frames at {spec.fps:g} fps; {checkpoint.clips_seen:,} clips seen of dataset "
            f"`{dataset.dataset}` ({dataset.clips:,} clips, snapshot "
            f"`{dataset.snapshot[:_DIGITS]}`), run `{checkpoint.run_id}`.\n\n"
            f"| {protocol.name}, {protocol.num_fake} clips | FVD, lower is better |\n|---|---|\n"
            f"{table}\n\n"
            f"How it looks: `artifacts/previews/` of this model (mp4, gif, png). {self._page()}\n\n"
            "```python\n"
            f'model = mlflow.pyfunc.load_model("{uri}")\n'
            'frames = model.predict(None, params={"num_videos": 4, "seed": 0})  # (n, t, h, w, 3)\n'
            "```\n\n"
            "Its videos are AI-generated.\n"
        )

    def _interval(self) -> str:
        ends = self.report.intervals.get("fvd")
        return "" if ends is None else f" (95 %: {ends[0]:.1f} to {ends[1]:.1f})"

    def _page(self) -> str:
        """Where all metrics are: with the MLflow run, or in the store."""
        run_id, key = self.checkpoint.mlflow_run_id, self.report.previews.get("report.html")
        if key is None:
            return "How it was judged: `evaluation.json` of its documents."
        if run_id is None:
            return f"How it was judged: `{key}` in the store."
        return f"How it was judged: `evaluation/report.html` of [its run](#/runs/{run_id})."

    def write_documents(self, directory: Path) -> None:
        """Write `config.yaml`, without passwords in URIs, and `evaluation.json`."""
        directory.mkdir(parents=True, exist_ok=True)
        config = without_secrets(to_yaml(self.config))
        (directory / "config.yaml").write_text(config, encoding="utf-8")
        (directory / "evaluation.json").write_text(self.report.model_dump_json(indent=2))
