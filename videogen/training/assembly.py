"""The parts of one worker's training, put together from a config: data, step, outputs."""

import functools
import logging
from collections.abc import Callable
from dataclasses import dataclass

import torch

from videogen.artifacts import DatasetRef, EvaluationReport, GeneratorRef
from videogen.config.run import RunConfig
from videogen.config.sections import StorageConfig
from videogen.config.settings import Settings, environment_value
from videogen.data.loading.clip_index import open_clips
from videogen.data.loading.order import RandomKey, Share
from videogen.data.loading.shard_cache import ShardCache
from videogen.data.loading.windows import Windows, WindowShape
from videogen.execution.aside import Aside
from videogen.models.build import build_networks
from videogen.models.export import GeneratorSpec, save_weights
from videogen.models.sampling import generate
from videogen.runs.pointer import Committed
from videogen.storage.base import ObjectStore
from videogen.tracking_spec import TrackerSpec
from videogen.training.checkpoint import StepState
from videogen.training.compute import decide
from videogen.training.judging import Online
from videogen.training.parallel import Parallel
from videogen.training.publisher import Outputs, Tracker
from videogen.training.samples import SAMPLE_SEEDS, SampleFiles
from videogen.training.session import RunIdentity
from videogen.training.step import TrainStep

Warn = Callable[[str], None]

_SEED_BITS = 63
_EMA_PREFIX = "ema."
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainTask:
    """All that a worker needs to know, wherever it runs."""

    config: RunConfig
    storage: StorageConfig
    dataset: DatasetRef
    identity: RunIdentity
    tracker: TrackerSpec | None
    judge: Callable[[GeneratorRef], EvaluationReport] | None = None
    """What `train.online_evaluation` calls, aside; holds plain values only, since it travels."""

    def share(self, parallel: Parallel) -> Share:
        """The worker's part of each step."""
        batch = self.config.train.global_batch_size
        return Share(batch, parallel.world_size, parallel.rank)


def open_windows(task: TrainTask, store: ObjectStore, warn: Warn = _log.warning) -> Windows:
    """The dataset's windows, through this node's cache of shards.

    Raises `DatasetError` where there is nothing to train on, and as the store does.
    """
    config = task.config.train
    clips = open_clips(store, task.dataset.dataset, task.dataset.snapshot)
    directory = Settings.from_environment().cache_dir / "shards"
    max_bytes = task.config.execution.cache_bytes
    cache = ShardCache(store, directory, max_bytes=max_bytes, warn=warn)
    shape = WindowShape(config.num_frames, config.frame_stride)
    return Windows(clips, cache, shape, seed=config.seed, warn=warn)


def build_step(task: TrainTask, parallel: Parallel, warn: Warn = _log.warning) -> TrainStep:
    """Networks with fresh weights and how they change; seeds this process's random state.

    How it computes is measured, which takes seconds. Raises `ConfigError` where the model cannot
    make such clips, or the generator cannot be compiled although it must.
    """
    config, micro_batch_clips = task.config.train, task.config.execution.micro_batch_clips
    share, dataset = task.share(parallel), task.dataset
    resolution = (dataset.height, dataset.width)
    networks = build_networks(config.model, resolution, config.num_frames, seed=config.seed)
    words = RandomKey.of("training", config.seed, parallel.rank).words
    torch.manual_seed(words[0] >> (64 - _SEED_BITS))
    compute = decide(
        config,
        networks,
        parallel,
        batch_clips=min(share.size, micro_batch_clips or share.size),
        max_cpu_isa=environment_value("ONEDNN_MAX_CPU_ISA"),
        warn=warn,
    )
    return TrainStep(
        config, networks, parallel, share, compute=compute, micro_batch_clips=micro_batch_clips
    )


def outputs_of(task: TrainTask, step: TrainStep) -> Outputs:
    """How the step's generator is exported and shown, and where figures go."""
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
        online=_online(task),
    )


def _online(task: TrainTask) -> Online | None:
    asked = task.config.train.online_evaluation
    if asked is None or task.judge is None:
        return None
    dataset, num_frames = task.dataset, task.config.train.num_frames

    def reference(committed: Committed) -> GeneratorRef:
        return GeneratorRef(
            run_id=task.identity.run_id,
            prefix=committed.prefix,
            manifest_sha256=committed.manifest_sha256,
            clips_seen=committed.clips_seen,
            num_frames=num_frames,
            height=dataset.height,
            width=dataset.width,
            fps=dataset.fps,
        )

    return Online(Aside(task.judge), reference, asked.interval_clips)


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
