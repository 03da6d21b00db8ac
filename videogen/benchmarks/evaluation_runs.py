"""Evaluations for `videogen bench features`: real features on Ray, of an ingested dataset."""

import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from videogen.artifacts import DatasetRef, GeneratorRef
from videogen.benchmarks.features_runs import SIZE
from videogen.benchmarks.ingest_runs import Here
from videogen.config.evaluate import EvaluateConfig
from videogen.config.models import R3ganVConfig
from videogen.config.run import RunConfig
from videogen.config.sections import IngestConfig, StorageConfig
from videogen.config.settings import Settings
from videogen.config.train import TrainConfig
from videogen.data.video.synthetic import FPS, write_samples
from videogen.evaluation.extractors.weights import weights_dir
from videogen.evaluation.features.extraction import Source, batches_of, extract
from videogen.evaluation.features.store import Column, Columns, Role
from videogen.evaluation.features.taking import Means, take_features
from videogen.evaluation.setting import Setting, choose_setting
from videogen.execution.ray_session import Cluster
from videogen.ingest.stage import ingest
from videogen.models.build import build_generator
from videogen.models.export import GeneratorSpec, save_weights
from videogen.progress import Progress, ProgressEvent, silent
from videogen.runs.manifest import publish
from videogen.storage.base import ObjectStore
from videogen.storage.connect import open_store


@dataclass(frozen=True)
class Evaluation:
    """One, as it went."""

    features: dict[Role, Columns]
    clips: int
    """Whose features were taken, as its progress told."""
    seconds: float


@dataclass(frozen=True)
class Evaluations:
    """Evaluations of one generator on one dataset, of this bench's own."""

    setting: Setting
    generator: GeneratorRef
    means: Means

    def run(self) -> Evaluation:
        """All features, those of the reals from the store where an earlier one left them."""
        totals = [0.0]

        def progress(event: ProgressEvent) -> None:
            totals.append(event.total or 0)
            self.means.progress(replace(event, stage="bench"))

        began = time.perf_counter()
        means = replace(self.means, progress=progress)
        features = take_features(self.generator, self.setting, means)
        return Evaluation(features, int(max(totals)), time.perf_counter() - began)

    def logits_in_bf16(self, role: Role) -> Column:
        """A role's logits as they are with `evaluate.precision` bf16."""
        config = self.setting.config.model_copy(update={"precision": "bf16"})
        reals = self.setting.reals
        source = Source(
            weights_dir=weights_dir(self.means.settings),
            storage=self.means.storage,
            dataset=self.setting.dataset,
            config=config,
            codec=reals.codec,
            device="cpu",
            role=role,
            columns=("i3d",),
        )
        clips = reals.a if role == "real" else reals.b
        batches = list(batches_of(source, len(clips), clips))
        found = dict(self.means.workers.map(extract, batches))
        return np.concatenate([found[index]["i3d"] for index in range(len(batches))])


def prepare(
    config: EvaluateConfig, scratch: Path, cluster: Cluster, settings: Settings, progress: Progress
) -> Evaluations:
    """Ingest twice as many moving shapes as are compared, and store an untrained generator."""
    storage = StorageConfig(root=str(scratch / "store"))
    store = open_store(storage)
    progress(ProgressEvent("bench", message=f"generating {2 * config.num_clips} clips"))
    dataset = _shapes(config, scratch, storage, store)
    return Evaluations(
        setting=choose_setting(store, dataset.dataset, dataset.snapshot, config),
        generator=_untrained(config.num_frames, scratch, store),
        means=Means(store, storage, cluster, progress, settings),
    )


def _shapes(
    config: EvaluateConfig, scratch: Path, storage: StorageConfig, store: ObjectStore
) -> DatasetRef:
    videos, num_frames = scratch / "videos", config.num_frames
    write_samples(videos, 2 * config.num_clips, 0, silent, num_frames=num_frames)
    settings = IngestConfig(
        sources=(str(videos),),
        resolution=(SIZE, SIZE),
        fps=FPS,
        min_clip_frames=num_frames,
        max_clip_frames=num_frames,
        holdout_fraction=0.0,
    )
    run = RunConfig(
        name="shapes", storage=storage, ingest=settings, train=TrainConfig(num_frames=num_frames)
    )
    return ingest(run, store, Here(), silent)


def _untrained(num_frames: int, scratch: Path, store: ObjectStore) -> GeneratorRef:
    model = R3ganVConfig(generator_channels=(32, 16))
    spec = GeneratorSpec(model=model, height=SIZE, width=SIZE, num_frames=num_frames, fps=FPS)
    weights = build_generator(model, (SIZE, SIZE), num_frames).state_dict()
    save_weights(weights, scratch / "checkpoint" / "generator", spec)
    prefix = "runs/bench/checkpoints/000000000000"
    return GeneratorRef(
        run_id="bench",
        prefix=prefix,
        manifest_sha256=publish(store, prefix, scratch / "checkpoint"),
        clips_seen=0,
        num_frames=num_frames,
        height=SIZE,
        width=SIZE,
        fps=FPS,
    )
