"""The stage evaluate: a checkpoint's generator against the data, with yardsticks beside it."""

import tempfile
import time
from pathlib import Path
from typing import Final

from videogen.artifacts import DatasetRef, EvaluationReport, GeneratorRef
from videogen.config.run import RunConfig
from videogen.config.section import digest_of
from videogen.config.sections import StorageConfig
from videogen.config.settings import Settings
from videogen.evaluation.extraction import Batch, Source, clips_of
from videogen.evaluation.extractors.weights import weights_dir
from videogen.evaluation.features import Columns, Role
from videogen.evaluation.judging import Means, take_features
from videogen.evaluation.metrics.diversity import mean_pairwise_distance
from videogen.evaluation.metrics.frechet import frechet_distance
from videogen.evaluation.metrics.kernel import kernel_distance
from videogen.evaluation.reals import read_reals
from videogen.evaluation.report.previews import Preview, grid_clips, write_previews
from videogen.evaluation.setting import Setting, choose_setting
from videogen.evaluation.yardsticks import YARDSTICKS
from videogen.execution.ray_session import Cluster
from videogen.progress import Progress
from videogen.storage.base import ObjectStore
from videogen.tracking import Tracker

_TRUSTED_CLIPS: Final = 2048


def evaluate(  # noqa: PLR0913 - a stage's surroundings
    config: RunConfig,
    dataset: DatasetRef,
    generator: GeneratorRef,
    store: ObjectStore,
    tracker: Tracker,
    cluster: Cluster,
    progress: Progress,
    settings: Settings,
) -> EvaluationReport:
    """Judge a generator by `config.evaluate`; the same report however many workers there are.

    Features are taken by tasks on the cluster; those of the reals come from the store where an
    earlier evaluation of this snapshot and protocol left them.

    Raises:
        VideogenError: the data, the generator or the weights cannot be used.
    """
    started = time.monotonic()
    storage = StorageConfig(root=store.root, endpoint_url=config.storage.endpoint_url)
    means = Means(store, storage, cluster, progress, weights_dir(settings))
    setting = choose_setting(store, dataset.dataset, dataset.snapshot, config.evaluate)
    features = take_features(generator, setting, means)
    metrics, yardsticks = _measure(features, setting)
    protocol = setting.protocol
    made_of = {"protocol": protocol.model_dump(), "checkpoint": generator.manifest_sha256}
    prefix = f"runs/{generator.run_id}/evaluation/{digest_of(made_of)[:12]}"
    preview = _preview(generator, setting, means, f"{protocol.name} {metrics['fvd']:.0f}")
    report = EvaluationReport(
        metrics=metrics,
        yardsticks=yardsticks,
        protocol=protocol,
        checkpoint_manifest_sha256=generator.manifest_sha256,
        model=generator.model,
        previews=write_previews(preview, store, prefix, tracker),
        notes=(*setting.notes, *_cautions(setting.num_clips)),
        seconds=time.monotonic() - started,
    )
    _log(report, tracker, generator.clips_seen)
    return report


def _measure(
    features: dict[Role, Columns], setting: Setting
) -> tuple[dict[str, float], dict[str, float]]:
    real, fake = features["real"]["i3d"], features["fake"]["i3d"]
    metrics = {"fvd": frechet_distance(real, fake), "kvd": kernel_distance(real, fake)}
    spread = mean_pairwise_distance(real)
    if spread > 0:
        metrics["diversity"] = mean_pairwise_distance(fake) / spread
    yardsticks: dict[str, float] = {
        role: frechet_distance(real, features[role]["i3d"])
        for role in YARDSTICKS
        if role != "floor" or setting.reals.disjoint
    }
    return metrics, yardsticks


def _preview(generator: GeneratorRef, setting: Setting, means: Means, title: str) -> Preview:
    source = Source(
        weights_dir=means.weights_dir,
        storage=means.storage,
        dataset=setting.dataset,
        config=setting.config,
        codec=setting.reals.codec,
        device="cpu",
        role="fake",
        columns=(),
        generator=generator,
    )
    protocol = setting.protocol
    num = min(setting.num_clips, grid_clips(protocol.num_frames, protocol.height, protocol.width))
    rows = setting.reals.a[:num]
    return Preview(
        reals=read_reals(means.store, setting.dataset, rows),
        fakes=clips_of(Batch(source, 0, num)),
        fps=generator.fps / setting.config.frame_stride,
        title=f"{title}, {generator.clips_seen:,} clips seen",
    )


def _cautions(num: int) -> tuple[str, ...]:
    if num >= _TRUSTED_CLIPS:
        return ()
    caution = (
        f"FVD is biased upwards at N = {num}: compare it with the yardsticks and with reports of "
        "the same protocol only"
    )
    return (caution,)


def _log(report: EvaluationReport, tracker: Tracker, clips_seen: int) -> None:
    values = report.metrics | {
        f"yardsticks/{role}": value for role, value in report.yardsticks.items()
    }
    tracker.log_metrics(values, clips_seen)
    with tempfile.TemporaryDirectory(prefix="videogen-report-") as scratch:
        path = Path(scratch) / "report.json"
        path.write_text(report.model_dump_json(indent=2))
        tracker.log_artifact(path, "evaluation")
