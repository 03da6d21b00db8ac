"""`videogen bench features`: I3D beside a plain port of it, and what an evaluation costs.

- speed: logits of moving shapes at 64 px by a plain eager PyTorch port (see `i3d_plain`), by the
  extractor in fp32 and in bf16; each in a process of its own, with one thread, on the same core.
  They take turns, after one that warms up; the fastest turn of each counts. The largest difference
  between logits of port and extractor, on shapes and on noise, stands beside.
- memory: the most that a process held for two clips, after two that warm up, and by how much that
  grows for more clips, which are made two at a time.
- evaluations: features for the same reals taken twice on Ray, through the code of the stage, from
  an ingested dataset; the second finds those of the reals in the store.
- bf16: FVD at that N of two pairs of sets in fp32 and in bf16: real against other reals (near), and
  against reals frozen at one frame (as far as a fair generator is).
"""

import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from videogen.benchmarks import features_runs as runs
from videogen.benchmarks.bench_process import BenchProcess, Work
from videogen.benchmarks.evaluation_runs import Evaluation, Evaluations, prepare
from videogen.benchmarks.report import BenchReport, scratch_directory
from videogen.benchmarks.turns import fastest, take_turns
from videogen.config.evaluate import EvaluateConfig
from videogen.config.settings import Settings
from videogen.evaluation.extractors.weights import fetch_i3d, weights_dir
from videogen.evaluation.features.store import Role
from videogen.evaluation.metrics.frechet import frechet_distance
from videogen.execution.ray_session import Cluster, ClusterSpec
from videogen.progress import Progress, ProgressEvent

_PAIRS: dict[str, Role] = {"near": "floor", "far": "frozen"}


@dataclass(frozen=True)
class FeaturesBench:
    """How much to measure."""

    turns: int = 3
    clips: int = 6
    """A turn."""
    num_frames: int = 16
    memory_frames: tuple[int, ...] = (16, 128)
    memory_clips: tuple[int, int] = (2, 6)
    """First so many, then so many more."""
    evaluation_clips: int = 256


def bench_features(bench: FeaturesBench, settings: Settings, progress: Progress) -> BenchReport:
    """Measure. Raises `VideogenError`, also where the weights cannot be had."""
    report = BenchReport()
    fetch_i3d(settings, progress)
    directory = weights_dir(settings)
    _speed(bench, directory, report, progress)
    _memory(bench, directory, report, progress)
    config = EvaluateConfig(
        num_clips=bench.evaluation_clips, num_frames=bench.num_frames, training_clips=0
    )
    with scratch_directory() as scratch, Cluster(ClusterSpec()) as cluster:
        evaluations = prepare(config, scratch, cluster, settings, progress)
        progress(ProgressEvent("bench", message="starting Ray"))
        cluster.connect()
        first = _evaluations(evaluations, report)
        progress(ProgressEvent("bench", message="the same logits in bf16"))
        _bf16(evaluations, first, report)
    return report


def _speed(bench: FeaturesBench, directory: Path, report: BenchReport, progress: Progress) -> None:
    size = {"num": bench.clips, "num_frames": bench.num_frames}
    works: dict[str, Work] = {
        "eager": partial(runs.eager, directory, **size),
        "fp32": partial(runs.extractor, directory, "fp32", **size),
        "bf16": partial(runs.extractor, directory, "bf16", **size),
    }
    measured = take_turns(works, bench.turns, "clips, one core", progress)
    rates = {name: bench.clips / fastest(turns).seconds for name, turns in measured.items()}
    for name, turns in measured.items():
        cpu_s = min(turn.cpu_seconds for turn in turns)
        report.figures |= {
            f"{name}_clips_per_s": round(rates[name], 3),
            f"{name}_cpu_ms_per_clip": round(1e3 * cpu_s / bench.clips, 1),
            f"{name}_peak_rss_bytes": max(turn.peak_rss_bytes for turn in turns),
        }
    difference = runs.logit_difference(directory, bench.num_frames)
    report.figures["max_logit_difference"] = float(f"{difference:.2g}")
    report.ratios |= {
        "vs_eager": round(rates["fp32"] / rates["eager"], 3),
        "bf16_vs_fp32": round(rates["bf16"] / rates["fp32"], 3),
    }


def _memory(bench: FeaturesBench, directory: Path, report: BenchReport, progress: Progress) -> None:
    few, more = bench.memory_clips
    for num_frames in bench.memory_frames:
        progress(ProgressEvent("bench", message=f"memory for clips of {num_frames} frames"))
        with BenchProcess({max(os.sched_getaffinity(0))}) as process:
            process.measure(partial(runs.streamed, directory, few, num_frames))
            small = process.measure(partial(runs.streamed, directory, few, num_frames))
            large = process.measure(partial(runs.streamed, directory, more, num_frames))
        growth = large.peak_rss_bytes - small.peak_rss_bytes
        report.figures[f"memory_bytes_{num_frames}f"] = small.peak_rss_bytes
        report.figures[f"memory_growth_bytes_{num_frames}f"] = growth


def _evaluations(evaluations: Evaluations, report: BenchReport) -> Evaluation:
    """Two of them; the first."""
    first, second = evaluations.run(), evaluations.run()
    for name, one in (("first", first), ("cached", second)):
        report.figures[f"evaluation_{name}_clips"] = one.clips
        report.figures[f"evaluation_{name}_s"] = round(one.seconds, 2)
    report.ratios |= {
        "cached_clips_per_fake": round(second.clips / evaluations.setting.num_clips, 3),
        "cached_vs_first_s": round(second.seconds / first.seconds, 3),
    }
    return first


def _bf16(evaluations: Evaluations, first: Evaluation, report: BenchReport) -> None:
    real = evaluations.logits_in_bf16("real")
    for name, role in _PAIRS.items():
        exact = frechet_distance(first.features["real"]["i3d"], first.features[role]["i3d"])
        near = frechet_distance(real, evaluations.logits_in_bf16(role))
        report.figures |= {f"fvd_{name}_fp32": round(exact, 4), f"fvd_{name}_bf16": round(near, 4)}
        report.ratios[f"bf16_fvd_error_{name}"] = round(abs(near / exact - 1), 6)
