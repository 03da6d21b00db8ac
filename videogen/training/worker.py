"""What each training worker does: put dataset, networks, step and session together, and loop."""

import functools
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch

from videogen.artifacts import DatasetRef
from videogen.config.run import RunConfig
from videogen.config.sections import StorageConfig
from videogen.config.settings import Settings, environment_value
from videogen.data.loading.clip_index import open_clips
from videogen.data.loading.loader import Loader, Windows, WindowShape
from videogen.data.loading.order import RandomKey, Share
from videogen.data.loading.shard_cache import ShardCache
from videogen.models.build import build_networks
from videogen.models.export import GeneratorSpec, save_weights
from videogen.models.sampling import generate
from videogen.progress import ProgressEvent
from videogen.storage.base import ObjectStore
from videogen.storage.connect import open_store
from videogen.tracking_spec import TrackerSpec
from videogen.training import step as steps
from videogen.training.checkpoint import StepState
from videogen.training.compute import decide
from videogen.training.loop import train
from videogen.training.parallel import Parallel
from videogen.training.publisher import Outputs, Tracker
from videogen.training.samples import SAMPLE_SEEDS, SampleFiles
from videogen.training.session import Channel, RunIdentity, Session

_CACHE_BYTES = 20 << 30
_SEED_BITS = 63
_EMA_PREFIX = "ema."


@dataclass(frozen=True)
class TrainTask:
    """All that a worker needs to know, wherever it runs."""

    config: RunConfig
    storage: StorageConfig
    dataset: DatasetRef
    identity: RunIdentity
    tracker: TrackerSpec | None


def run(task: TrainTask, parallel: Parallel, channel: Channel) -> None:
    """Train from the run's newest checkpoint to the end, or until asked to stop.

    Raises as `videogen.training.stage.train` does.
    """
    work_dir = Path(tempfile.mkdtemp(prefix="videogen-train-"))
    try:
        _run(task, parallel, channel, work_dir)
    finally:
        shutil.rmtree(work_dir, ignore_errors=True)


def _run(task: TrainTask, parallel: Parallel, channel: Channel, work_dir: Path) -> None:
    config = task.config.train
    store = open_store(task.storage)
    windows = _windows(task, store)
    share = Share(config.global_batch_size, parallel.world_size, parallel.rank)
    step = _step(task, parallel, share, channel)
    session = Session(task.identity, step, parallel, store, _outputs(task, step), channel, work_dir)
    try:
        clips_seen = session.restore()
        session.say(_decisions(task, step, parallel, len(windows), clips_seen))
        with Loader(windows, share, parallel.device, clips_seen=clips_seen) as batches:
            train(config, step, batches, session.hooks, parallel=parallel, clips_seen=clips_seen)
    except BaseException:
        session.abandon()
        raise
    session.close()


def _windows(task: TrainTask, store: ObjectStore) -> Windows:
    config = task.config.train
    clips = open_clips(store, task.dataset.dataset, task.dataset.snapshot)
    cache_dir = Settings.from_environment().cache_dir / "shards"
    cache = ShardCache(store, cache_dir, max_bytes=_CACHE_BYTES)
    shape = WindowShape(config.num_frames, config.frame_stride)
    return Windows(clips, cache, shape, seed=config.seed)


def _step(task: TrainTask, parallel: Parallel, share: Share, channel: Channel) -> steps.TrainStep:
    config, micro_batch_clips = task.config.train, task.config.execution.micro_batch_clips
    resolution = (task.dataset.height, task.dataset.width)
    networks = build_networks(config.model, resolution, config.num_frames, seed=config.seed)
    words = RandomKey.of("training", config.seed, parallel.rank).words
    torch.manual_seed(words[0] >> (64 - _SEED_BITS))
    compute = decide(
        config,
        networks,
        parallel,
        batch_clips=min(share.size, micro_batch_clips or share.size),
        max_cpu_isa=environment_value("ONEDNN_MAX_CPU_ISA"),
        warn=lambda message: channel.tell(
            ProgressEvent("train", 0, config.total_clips, "clips", message)
        ),
    )
    return steps.TrainStep(
        config, networks, parallel, share, compute=compute, micro_batch_clips=micro_batch_clips
    )


def _outputs(task: TrainTask, step: steps.TrainStep) -> Outputs:
    config, dataset = task.config.train, task.dataset
    spec = GeneratorSpec(
        model=config.model,
        height=dataset.height,
        width=dataset.width,
        num_frames=config.num_frames,
        fps=dataset.fps,
    )
    return Outputs(
        export=lambda state, directory: save_weights(_ema(state), directory, spec),
        draw=lambda: generate(
            step.ema, SAMPLE_SEEDS, config.num_frames, fps_ratio=config.frame_stride
        ),
        files=SampleFiles(dataset.fps / config.frame_stride),
        open_tracker=functools.partial(_open_tracker, task.tracker) if task.tracker else None,
    )


def _ema(state: StepState) -> dict[str, torch.Tensor]:
    """The averaged generator's weights."""
    return {
        name.removeprefix(_EMA_PREFIX): value
        for name, value in state.items()
        if name.startswith(_EMA_PREFIX) and isinstance(value, torch.Tensor)
    }


def _open_tracker(spec: TrackerSpec) -> Tracker:
    from videogen.tracking import open_tracker  # noqa: PLC0415 - MLflow, which no step waits for

    return open_tracker(spec)


def _decisions(
    task: TrainTask, step: steps.TrainStep, parallel: Parallel, num_clips: int, clips_seen: int
) -> str:
    """All that was decided for this training, on one line."""
    config = task.config.train
    shares = [
        Share(config.global_batch_size, parallel.world_size, rank).size
        for rank in range(parallel.world_size)
    ]
    how = {"cuda": "NCCL", "cpu": "gloo"}[parallel.device.type]
    workers = f"{parallel.world_size} workers by {how}" if parallel.world_size > 1 else "1 worker"
    return (
        f"{config.model.kind}, {config.num_frames} frames of "
        f"{task.dataset.height}x{task.dataset.width} px at stride {config.frame_stride}; "
        f"{num_clips:,} clips; {workers} on {parallel.device.type} "
        f"({torch.get_num_threads()} threads each), {'+'.join(map(str, shares))} clips a step; "
        f"{step.compute.reason}; from {clips_seen:,} to "
        f"{config.total_clips:,} clips"
    )
