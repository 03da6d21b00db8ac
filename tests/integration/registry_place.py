"""What registry tests share: a store and an MLflow, and how to get a model into them."""

from dataclasses import dataclass, replace
from pathlib import Path

import torch

from videogen.artifacts import CheckpointRef, DatasetRef, EvaluationReport, ModelRef, Protocol
from videogen.config.run import RunConfig
from videogen.models.build import build_generator
from videogen.models.export import GeneratorSpec, save_weights
from videogen.progress import silent
from videogen.registry.stage import register
from videogen.runs.manifest import publish
from videogen.storage.base import ObjectStore
from videogen.tracking import open_tracker, start_run

SIZE = 32
NUM_FRAMES = 4
FPS = 8.0
PROTOCOL = Protocol(
    name="fvd64_16f",
    extractor="i3d",
    extractor_sha256="0" * 64,
    num_real=64,
    num_fake=64,
    num_frames=16,
    frame_stride=1,
    height=SIZE,
    width=SIZE,
    snapshot="5" * 64,
)
DATASET = DatasetRef(
    dataset="shapes",
    snapshot="5" * 64,
    ingest_digest="6" * 64,
    sources=3,
    clips=9,
    frames=900,
    height=SIZE,
    width=SIZE,
    fps=FPS,
)


@dataclass(frozen=True)
class Place:
    """Where a test registers: a store, and MLflow."""

    store: ObjectStore
    tracking_uri: str
    config: RunConfig
    scratch: Path
    artifact_location: str | None = None

    @classmethod
    def make(
        cls,
        store: ObjectStore,
        tracking_uri: str,
        scratch: Path,
        artifact_location: str | None = None,
    ) -> "Place":
        """A place for a model named tiny."""
        model = {"kind": "r3gan-v", "generator_channels": [32, 16]}
        config = RunConfig.model_validate({"name": "tiny", "train": {"model": model}})
        return cls(store, tracking_uri, config, scratch, artifact_location)

    def checkpoint(self, run_id: str) -> CheckpointRef:
        """A committed checkpoint whose weights differ from those of other runs."""
        torch.manual_seed(sum(run_id.encode()))
        prefix = f"runs/{run_id}/checkpoints/000000001000"
        model = self.config.train.model
        generator = build_generator(model, (SIZE, SIZE), NUM_FRAMES)
        spec = GeneratorSpec(model=model, height=SIZE, width=SIZE, num_frames=NUM_FRAMES, fps=FPS)
        directory = self.scratch / run_id
        save_weights(generator.state_dict(), directory / "generator", spec)
        (directory / "optimizer.bin").write_bytes(b"not needed by anyone who generates")
        return CheckpointRef(
            run_id=run_id,
            prefix=prefix,
            manifest_sha256=publish(self.store, prefix, directory),
            clips_seen=1_000,
            snapshot=DATASET.snapshot,
            model_kind=model.kind,
            num_frames=NUM_FRAMES,
            height=SIZE,
            width=SIZE,
            fps=FPS,
        )

    def register(self, run_id: str, fvd: float | None = 400.0) -> ModelRef:
        """Register that checkpoint with a report of this FVD."""
        report = EvaluationReport(
            metrics={} if fvd is None else {"fvd": fvd},
            yardsticks={"floor": 116.0, "shuffled": 205.0, "frozen": 295.0, "blank": 714.0},
            protocol=PROTOCOL,
        )
        spec = start_run(self.tracking_uri, "tests", self.artifact_location, run_id)
        return register(
            self.config,
            DATASET,
            self.checkpoint(run_id),
            report,
            self.store,
            open_tracker(spec),
            silent,
            stage_key="7" * 64,
        )

    def named(self, name: str) -> "Place":
        """The same place under another model name."""
        document = self.config.model_dump(by_alias=True) | {"register": {"model_name": name}}
        return replace(self, config=RunConfig.model_validate(document))
