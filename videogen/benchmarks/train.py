"""`videogen bench train`: the whole of training beside nothing but its steps.

- pipeline beside bare. Pipeline: the stage `train` itself, one Ray worker with one thread of
  computation; clips (JPEG, more than the loader keeps decoded) in a SeaweedFS of the bench's own,
  metrics in MLflow on SQLite, a checkpoint in the middle of what is measured (at an interval far
  shorter than the presets'). Its speed is what its reports say after a warm-up. Bare: the same
  networks, step, clips a step and number format in one process with one thread, random clips in
  memory, no metrics read, nothing kept. Both may use every core of the machine; the second one
  serves loader and services.
- the same stage with a checkpoint that is judged beside it through half of what is measured, far
  more often than any preset: `online_evaluation_cost` is the share of the speed that this takes.
- 2 workers of one thread beside 1 worker of two threads: the same stage on the same clips a step.
- `mocogan` at its paper's setting: CPU seconds an iteration, beside the recipe done plainly (see
  `mocogan_plain`), each with one thread.
- memory: the most that a process held in two steps of each preset, on all of a step's clips, with
  the libraries of a worker loaded.

What is compared takes turns, after one that warms up; the fastest turn of each counts, and of the
time that was waited for data or checkpoints, all turns.
"""

import os
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch

from videogen.benchmarks import train_runs
from videogen.benchmarks.bench_process import BenchProcess, Measured
from videogen.benchmarks.clips import ClipSet, make_clips
from videogen.benchmarks.own_services import own_s3
from videogen.benchmarks.report import BenchReport, scratch_directory
from videogen.benchmarks.stage_runs import NUM_CPUS, Pace, StageRun, StageRunner
from videogen.benchmarks.turns import fastest, take_turns
from videogen.config.settings import Settings, environment_value
from videogen.config.train import OnlineEvaluationConfig, TrainConfig
from videogen.errors import VideogenError
from videogen.evaluation.extractors.weights import fetch_i3d
from videogen.presets import PRESETS, mocogan_64
from videogen.progress import Progress, ProgressEvent
from videogen.training.compute import bf16_unit

_WARM_UP_STEPS = 20
_REPORT_STEPS = 4


@dataclass(frozen=True)
class TrainBench:
    """How much to measure."""

    turns: int = 3
    steps: int = 40
    """That count in a turn."""
    train: TrainConfig = field(default_factory=TrainConfig)
    """What is trained by the stage and bare; intervals and budget are the bench's."""
    clips: ClipSet = field(default_factory=lambda: ClipSet(num_copies=14))
    mocogan: bool = True
    presets: tuple[str, ...] = tuple(PRESETS)
    """Whose memory is measured."""
    online_clips: int = 32
    """By which a checkpoint is judged."""


def bench_train(bench: TrainBench, progress: Progress) -> BenchReport:
    """Measure. Raises `VideogenError`."""
    if len(os.sched_getaffinity(0)) < NUM_CPUS:
        raise VideogenError(
            f"bench train compares {NUM_CPUS} workers and needs {NUM_CPUS} cores; this process may "
            "use one: allow it more (taskset, the container's limit)"
        )
    run = _Run(bench, progress)
    weights = fetch_i3d(Settings.from_environment(), progress).resolve().parent
    with scratch_directory() as scratch:
        cache = scratch / "cache" / "videogen"  # where `own_s3` has every process look for them
        cache.mkdir(parents=True)
        (cache / weights.name).symlink_to(weights)
        run.stages(scratch)
    if bench.mocogan:
        run.mocogan()
    run.memory()
    return run.report


class _Run:
    """One bench."""

    def __init__(self, bench: TrainBench, progress: Progress) -> None:
        self.report = BenchReport()
        self._bench = bench
        self._progress = progress

    def stages(self, scratch: Path) -> None:
        """What runs on Ray, and the bare process beside it."""
        with ExitStack() as stack:
            place = stack.enter_context(own_s3(scratch, self._progress))
            dataset = make_clips(self._bench.clips, place, scratch, self._progress)
            self._progress(ProgressEvent("bench", message="starting Ray"))
            runner = stack.enter_context(StageRunner(place, dataset, scratch))
            self._pipeline(runner)
            self._workers(runner)

    def _pipeline(self, runner: StageRunner) -> None:
        bench, config = self._bench, _config(self._bench)
        steps = partial(train_runs.bare_steps, config, bench.clips.size)
        bare: list[Measured] = []
        paces: list[Pace] = []
        judged: list[Pace] = []
        with BenchProcess(os.sched_getaffinity(0)) as process:
            process.measure(partial(steps, _REPORT_STEPS))
            for turn in range(bench.turns):
                self._show(turn, "the stage beside bare steps")
                paces.append(runner.run(_run_of(config, 1, 1)))
                judged.append(runner.run(_run_of(_judged(config, bench.online_clips), 1, 1)))
                bare.append(process.measure(partial(steps, bench.steps)))
        best = fastest(bare)
        self._add(
            {
                "bare_clips_per_s": best.frames / best.seconds,
                "bare_cpu_s_per_step": best.cpu_seconds / bench.steps,
                "pipeline_clips_per_s": max(pace.clips_per_s for pace in paces),
                "judged_clips_per_s": max(pace.clips_per_s for pace in judged),
                "online_evaluation_s": min(pace.judging_s for pace in judged),
            }
        )
        figures = self.report.figures
        with_it = figures["judged_clips_per_s"] / figures["pipeline_clips_per_s"]
        self.report.ratios["online_evaluation_cost"] = round(1 - with_it, 4)
        self._ratio("pipeline_vs_bare", "pipeline_clips_per_s", "bare_clips_per_s")
        for name in ("data_wait_fraction", "checkpoint_stall_fraction"):
            mean = sum(getattr(pace, name) for pace in paces) / len(paces)
            self.report.ratios[name] = round(mean, 5)

    def _workers(self, runner: StageRunner) -> None:
        config = _config(self._bench)
        paces: dict[tuple[int, int], list[Pace]] = {(2, 1): [], (1, 2): []}
        for turn in range(self._bench.turns):
            self._show(turn, "2 workers of 1 thread beside 1 worker of 2")
            for shape, measured in paces.items():
                measured.append(runner.run(_run_of(config, *shape)))
        for (workers, threads), measured in paces.items():
            rate = max(pace.clips_per_s for pace in measured)
            self._add({f"workers_{workers}x{threads}_clips_per_s": rate})
        self._ratio("workers_2x1_vs_1x2", "workers_2x1_clips_per_s", "workers_1x2_clips_per_s")

    def mocogan(self) -> None:
        """Ours, and the recipe done plainly."""
        preset = mocogan_64()
        config = preset.train.model_copy(update={"compile": "off"})
        size, turns = preset.ingest.resolution[0], max(self._bench.turns - 1, 1)
        works = {
            "mocogan": partial(train_runs.bare_steps, config, size, 1),
            "mocogan_plain": partial(train_runs.plain_mocogan),
        }
        runs = take_turns(works, turns, "mocogan beside its plain recipe", self._progress)
        for name, measured in runs.items():
            least = min(one.cpu_seconds for one in measured)
            self._add({f"{name}_cpu_seconds_per_iteration": least})

    def memory(self) -> None:
        """Of each preset, in a process of its own."""
        for name in self._bench.presets:
            self._progress(ProgressEvent("bench", message=f"memory of preset {name}"))
            preset = PRESETS[name]()
            config = preset.train.model_copy(update={"compile": "off"})
            work = partial(train_runs.preset_steps, config, preset.ingest.resolution[0])
            with BenchProcess(os.sched_getaffinity(0)) as process:
                self._add({f"peak_rss_bytes_{name}": process.measure(work).peak_rss_bytes})

    def _show(self, turn: int, message: str) -> None:
        self._progress(ProgressEvent("bench", turn, self._bench.turns, "turns", message))

    def _add(self, figures: Mapping[str, float]) -> None:
        self.report.figures |= {
            name: value if isinstance(value, int) else round(value, 3)
            for name, value in figures.items()
        }

    def _ratio(self, name: str, above: str, below: str) -> None:
        figures = self.report.figures
        self.report.ratios[name] = round(figures[above] / figures[below], 3)


def _config(bench: TrainBench) -> TrainConfig:
    """What the stage and the bare process train: a checkpoint lies amid what is measured.

    The number format is said, so that none of the two finds out for itself.
    """
    clips = bench.train.global_batch_size
    total = (_WARM_UP_STEPS + bench.steps) * clips
    bf16 = bf16_unit(torch.device("cpu"), environment_value("ONEDNN_MAX_CPU_ISA"))
    changes = {
        "total_clips": total,
        "log_interval_clips": _REPORT_STEPS * clips,
        "checkpoint_interval_clips": (_WARM_UP_STEPS + bench.steps // 2) * clips,
        "sample_interval_clips": total,
        "precision": "fp32" if bf16 is None else "bf16",
        "compile": "off",
    }
    return bench.train.model_copy(update=changes)


def _judged(config: TrainConfig, num_clips: int) -> TrainConfig:
    """The same, with its checkpoint in the middle judged."""
    interval_clips = config.checkpoint_interval_clips
    online = OnlineEvaluationConfig(interval_clips=interval_clips, num_clips=num_clips)
    return config.model_copy(update={"online_evaluation": online})


def _run_of(config: TrainConfig, num_workers: int, cpus_per_worker: int) -> StageRun:
    return StageRun(config, num_workers, cpus_per_worker, _WARM_UP_STEPS * config.global_batch_size)
