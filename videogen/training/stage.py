"""The stage train: from a dataset's snapshot to a committed checkpoint."""

import functools
from collections.abc import Callable, Mapping
from dataclasses import replace
from time import monotonic

from videogen.artifacts import CheckpointRef, DatasetRef, EvaluationReport, GeneratorRef
from videogen.config.run import STAGE_FORMATS, RunConfig
from videogen.config.sections import StorageConfig
from videogen.config.train import TrainConfig
from videogen.errors import CorruptObjectError, TrainingError
from videogen.execution.ray_session import Cluster
from videogen.progress import Progress, ProgressEvent
from videogen.runs.pointer import (
    Committed,
    best_checkpoint,
    committed_checkpoints,
    take_pointer,
)
from videogen.runs.stages import StageRun
from videogen.storage.base import ObjectStore
from videogen.tracking_spec import TrackerSpec
from videogen.training import checkpoint, worker
from videogen.training.assembly import TrainTask
from videogen.training.checkpoint_store import read_document
from videogen.training.launcher import launch
from videogen.training.loop import SECONDS_PER_HOUR
from videogen.training.session import RunIdentity


def train(  # noqa: PLR0913 - what a stage of a run is given
    config: RunConfig,
    dataset: DatasetRef,
    store: ObjectStore,
    run: StageRun,
    tracker: TrackerSpec | None,
    cluster: Cluster,
    progress: Progress,
    judge: Callable[[GeneratorRef], EvaluationReport] | None = None,
) -> CheckpointRef:
    """Train on a snapshot, going on from where this run, or another of the same key, ended.

    `judge` is what `train.online_evaluation` calls, beside the training and in another process; it
    holds plain values only.

    Raises:
        ConfigError: the run's checkpoints were made with another config; the key is named.
        DatasetError: the snapshot has no clip that can be trained on.
        TrainingError: training cannot start, diverged, or its workers died again and again.
        LeaseHeldError: another process took the run over.
        StorageError: the store cannot be reached.
    """
    began = monotonic()
    identity = _identity(config, dataset, store, run)
    task = TrainTask(
        config=config,
        storage=StorageConfig(root=store.root, endpoint_url=config.storage.endpoint_url),
        dataset=dataset,
        identity=identity,
        tracker=tracker,
        judge=judge,
    )
    final = _last(store, identity)
    if final is None or final.clips_seen < config.train.total_clips:
        run_id = run.handle.run_id
        take_pointer(store, run_id, run.lease.token)
        attempt = launch(functools.partial(worker.run, task), cluster, config.execution, run_id)
        attempt.wait(progress)
        final = _last(store, identity)
    run.lease.check()
    if final is None or final.clips_seen < config.train.total_clips:
        raise _unfinished(config.train, run.handle.run_id, final, monotonic() - began)
    ended = ProgressEvent("train", final.clips_seen, config.train.total_clips, "clips")
    progress(replace(ended, message=_best(store, run.handle.run_id)))
    return CheckpointRef(
        run_id=run.handle.run_id,
        prefix=final.prefix,
        manifest_sha256=final.manifest_sha256,
        clips_seen=final.clips_seen,
        snapshot=dataset.snapshot,
        model_kind=config.train.model.kind,
        num_frames=config.train.num_frames,
        height=dataset.height,
        width=dataset.width,
        fps=dataset.fps,
        final_metrics=read_document(store, final).metrics,
        seconds=round(monotonic() - began, 3),
        mlflow_run_id=tracker.run_id if tracker else None,
    )


def _best(store: ObjectStore, run_id: str) -> str:
    """Where the run was best, for people; empty where nothing decides."""
    best = best_checkpoint(store, run_id)
    if best is None:
        return ""
    one = best.checkpoint
    return f"{best.metric} was lowest at {one.clips_seen:,} clips, {one.score:.4g}: {one.prefix}"


def _unfinished(
    config: TrainConfig, run_id: str, final: Committed | None, seconds: float
) -> TrainingError:
    """Why there is no result yet, and that nothing is lost."""
    hours, seen = config.max_hours, final.clips_seen if final else 0
    over = hours is not None and seconds >= hours * SECONDS_PER_HOUR
    why = f"stopped after train.max_hours ({hours:g})" if over else "was stopped"
    return TrainingError(
        f"training of run {run_id} {why} at {seen:,} of {config.total_clips:,} clips; the same "
        "command goes on from there"
    )


def _identity(
    config: RunConfig, dataset: DatasetRef, store: ObjectStore, run: StageRun
) -> RunIdentity:
    """Which checkpoints this run may go on from. Raises `ConfigError` where they do not fit."""
    run_id = run.handle.run_id
    document: Mapping[str, object] = {
        "train": config.stage_document("train"),
        "snapshot": dataset.snapshot,
        "format": STAGE_FORMATS["train"],
    }
    own = committed_checkpoints(store, run_id)
    goes_on = bool(run.unfinished)
    if goes_on and own:
        _require_same(store, own[-1], document)
    earlier = [
        one
        for other in run.unfinished
        if other != run_id
        for one in reversed(committed_checkpoints(store, other))
    ]
    return RunIdentity(
        run_id=run_id,
        lease_token=run.lease.token,
        document=document,
        total_clips=config.train.total_clips,
        keep_checkpoints=config.train.keep_checkpoints,
        best_metric=config.train.best_metric,
        earlier=tuple(earlier),
        ignored=frozenset() if goes_on else frozenset(one.prefix for one in own),
    )


def _require_same(store: ObjectStore, newest: Committed, document: Mapping[str, object]) -> None:
    """Refuse now what the workers would refuse later; whether it is whole is for them to see."""
    try:
        found = read_document(store, newest)
    except CorruptObjectError:
        return
    checkpoint.require_same(found, document)


def _last(store: ObjectStore, identity: RunIdentity) -> Committed | None:
    committed = committed_checkpoints(store, identity.run_id)
    usable = [one for one in committed if one.prefix not in identity.ignored]
    return usable[-1] if usable else None
