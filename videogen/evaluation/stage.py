"""The stage evaluate: a checkpoint's generator against the data, with yardsticks beside it."""

import tempfile
import time
from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import Float

from videogen.artifacts import CheckpointRef, DatasetRef, EvaluationReport, Protocol
from videogen.config.run import RunConfig
from videogen.config.section import digest_of
from videogen.config.sections import StorageConfig
from videogen.config.settings import Settings
from videogen.data.snapshots.snapshot import load_snapshot
from videogen.errors import EvaluationError
from videogen.evaluation.extraction import (
    REFERENCE_ROLES,
    Batch,
    Source,
    batches_of,
    clips_of,
    extract,
    gather,
    reference_batches,
)
from videogen.evaluation.extractors.weights import EXTRACTOR, I3D_KINETICS, fetch_i3d, weights_dir
from videogen.evaluation.features import Features, ReferenceKey, load_features, save_features
from videogen.evaluation.metrics.frechet import (
    frechet_distance,
    kernel_distance,
    mean_pairwise_distance,
)
from videogen.evaluation.reals import Reals, choose_reals
from videogen.evaluation.report.previews import GRID_CLIPS, SHEET_ROWS, Preview, write_previews
from videogen.evaluation.yardsticks import YARDSTICKS
from videogen.execution.ray_session import Cluster
from videogen.progress import Progress, ProgressEvent
from videogen.storage.base import ObjectStore
from videogen.tracking import Tracker

_TRUSTED_CLIPS: Final = 2048


def evaluate(  # noqa: PLR0913 - a stage's surroundings
    config: RunConfig,
    dataset: DatasetRef,
    checkpoint: CheckpointRef,
    store: ObjectStore,
    tracker: Tracker,
    cluster: Cluster,
    progress: Progress,
    settings: Settings,
) -> EvaluationReport:
    """Judge a checkpoint by `config.evaluate`; the same report however many workers there are.

    Features are taken by tasks on the cluster; those of the reals come from the store where an
    earlier evaluation of this snapshot and protocol left them.

    Raises:
        VideogenError: the data, the checkpoint or the weights cannot be used.
    """
    started = time.monotonic()
    _require_same_frames(dataset, checkpoint)
    snapshot = load_snapshot(store, dataset.dataset, dataset.snapshot)
    reals = choose_reals(snapshot.rows(config.evaluate.split), config.evaluate)
    protocol = _protocol(config, dataset, reals)
    fetch_i3d(settings, progress)
    source = Source(
        weights_dir=weights_dir(settings),
        storage=StorageConfig(root=store.root, endpoint_url=config.storage.endpoint_url),
        dataset=dataset.dataset,
        checkpoint=checkpoint,
        config=config.evaluate,
        codec=reals.codec,
    )
    features = _features(source, reals, protocol, (store, cluster, progress))
    metrics, yardsticks = _measure(features, reals)
    made_of = {"protocol": protocol.model_dump(), "checkpoint": checkpoint.manifest_sha256}
    prefix = f"runs/{checkpoint.run_id}/evaluation/{digest_of(made_of)[:12]}"
    preview = _preview(source, reals, f"{protocol.name} {metrics['fvd']:.0f}")
    report = EvaluationReport(
        metrics=metrics,
        yardsticks=yardsticks,
        protocol=protocol,
        checkpoint_manifest_sha256=checkpoint.manifest_sha256,
        previews=write_previews(preview, store, prefix, tracker),
        notes=(*reals.notes, *_cautions(len(reals.a))),
        seconds=time.monotonic() - started,
    )
    _log(report, tracker, checkpoint.clips_seen)
    return report


def _features(
    source: Source,
    reals: Reals,
    protocol: Protocol,
    services: tuple[ObjectStore, Cluster, Progress],
) -> Features:
    """Features by role, of the reals from the store where it has them."""
    store, cluster, progress = services
    key = ReferenceKey(source.dataset, protocol)
    known = load_features(store, key, dict.fromkeys(REFERENCE_ROLES, len(reals.a)))
    batches = list(batches_of(source, "fake", protocol.num_fake))
    if known is None:
        batches += reference_batches(source, reals)
    found = gather(batches, _extract_all(batches, cluster, progress))
    if known is None:
        known = {role: found[role] for role in REFERENCE_ROLES}
        save_features(store, key, known)
    return {**known, "fake": found["fake"]}


def _extract_all(
    batches: list[Batch], cluster: Cluster, progress: Progress
) -> dict[int, Float[np.ndarray, "n 400"]]:
    total = sum(batch.num for batch in batches)
    results: dict[int, Float[np.ndarray, "n 400"]] = {}
    done = 0
    progress(ProgressEvent("evaluate", 0, total, "clips"))
    for index, features in cluster.map(extract, batches):
        results[index] = features
        done += batches[index].num
        progress(ProgressEvent("evaluate", done, total, "clips"))
    return results


def _measure(features: Features, reals: Reals) -> tuple[dict[str, float], dict[str, float]]:
    real, fake = features["real"], features["fake"]
    metrics = {"fvd": frechet_distance(real, fake), "kvd": kernel_distance(real, fake)}
    spread = mean_pairwise_distance(real)
    if spread > 0:
        metrics["diversity"] = mean_pairwise_distance(fake) / spread
    yardsticks: dict[str, float] = {
        role: frechet_distance(real, features[role])
        for role in YARDSTICKS
        if role != "floor" or reals.disjoint
    }
    return metrics, yardsticks


def _protocol(config: RunConfig, dataset: DatasetRef, reals: Reals) -> Protocol:
    asked, num = config.evaluate, len(reals.a)
    name = f"fvd{num}_{asked.num_frames}f"
    if asked.frame_stride > 1:
        shown = asked.num_frames * asked.frame_stride  # StyleGAN-V counts those between, too
        name = f"fvd{num}_{shown}f_subsample{asked.frame_stride}f"
    return Protocol(
        name=name,
        extractor=EXTRACTOR,
        extractor_sha256=I3D_KINETICS.member_sha256,
        num_real=num,
        num_fake=num,
        num_frames=asked.num_frames,
        frame_stride=asked.frame_stride,
        height=dataset.height,
        width=dataset.width,
        split=asked.split,
        seed=asked.seed,
        snapshot=dataset.snapshot,
        frame_codec=reals.codec,
    )


def _preview(source: Source, reals: Reals, title: str) -> Preview:
    fakes = Batch(source, "fake", 0, min(len(reals.a), GRID_CLIPS))
    rows = reals.a[:SHEET_ROWS]
    return Preview(
        reals=clips_of(Batch(source, "real", 0, len(rows), rows)),
        fakes=clips_of(fakes),
        fps=source.checkpoint.fps / source.config.frame_stride,
        title=f"{title}, {source.checkpoint.clips_seen:,} clips seen",
    )


def _cautions(num: int) -> tuple[str, ...]:
    if num >= _TRUSTED_CLIPS:
        return ()
    caution = (
        f"FVD is biased upwards at N = {num}: compare it with the yardsticks and with reports of "
        "the same protocol only"
    )
    return (caution,)


def _require_same_frames(dataset: DatasetRef, checkpoint: CheckpointRef) -> None:
    data, made = (dataset.height, dataset.width), (checkpoint.height, checkpoint.width)
    if data != made:
        raise EvaluationError(
            f"checkpoint {checkpoint.prefix} makes frames of {made[0]}x{made[1]}, dataset "
            f"{dataset.dataset} has {data[0]}x{data[1]}: evaluate on the data it was trained on"
        )


def _log(report: EvaluationReport, tracker: Tracker, clips_seen: int) -> None:
    values = report.metrics | {
        f"yardsticks/{role}": value for role, value in report.yardsticks.items()
    }
    tracker.log_metrics(values, clips_seen)
    with tempfile.TemporaryDirectory(prefix="videogen-report-") as scratch:
        path = Path(scratch) / "report.json"
        path.write_text(report.model_dump_json(indent=2))
        tracker.log_artifact(path, "evaluation")
