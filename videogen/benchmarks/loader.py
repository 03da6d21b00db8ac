"""`videogen bench loader`: the loader on S3 beside bare decoding, and beside `webdataset`.

Clips of generated footage (JPEG q98, 64 px, 72 to 120 frames) lie in shards on a SeaweedFS of the
bench's own; what is counted is windows of 16 frames. Each of these has a process of its own, pinned
to the same core as the others, and takes turns with them; the fastest turn of each counts:

- decode: the frames of such windows, their JPEGs cut out beforehand and held in memory, decoded
  to uint8 and nothing else. What any loader of JPEGs pays at least.
- batches: the same, then stacked and made batches of floats as the training step takes them.
- webdataset: the library of that name on copies of the same tars on this disk: its shuffle and
  its decoding loop with our decoder of a window, then batches of floats.
- warm: our loader, its shard cache filled by a turn before; batches of floats.
- cold: our loader with an empty cache, over one epoch; every clip comes from S3 and is verified.

The server runs on the other cores. Beside this, a snapshot of a million clips in 200 parts is
opened from the same server, twice, by a process that has opened a small one before; the faster
counts, and the memory by which its peak grows.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from videogen.artifacts import DatasetRef
from videogen.benchmarks import loader_runs
from videogen.benchmarks.bench_process import BenchProcess, Measured, Work
from videogen.benchmarks.clips import ClipSet, make_clips
from videogen.benchmarks.loader_runs import Source
from videogen.benchmarks.many_clips import random_rows, store_snapshot
from videogen.benchmarks.own_services import OwnServices, own_s3
from videogen.benchmarks.report import BenchReport, scratch_directory
from videogen.benchmarks.turns import fastest, take_turns
from videogen.progress import Progress, ProgressEvent

_NUM_PARTS = 200
_SMALL, _LARGE = "small", "large"


@dataclass(frozen=True)
class LoaderBench:
    """How much to measure."""

    turns: int = 7
    windows: int = 2048
    """A turn; `cold` takes one epoch, of at most as many."""
    clips: ClipSet = field(default_factory=ClipSet)
    snapshot_clips: int = 1_000_000
    """Of the snapshot that is opened."""


def bench_loader(bench: LoaderBench, progress: Progress) -> BenchReport:
    """Measure. Raises `VideogenError`, also where `webdataset` is not installed."""
    loader_runs.require_webdataset()
    report = BenchReport()
    with scratch_directory() as scratch, own_s3(scratch, progress) as place:
        dataset = make_clips(bench.clips, place, scratch, progress)
        source = _source(place, dataset, scratch)
        works: dict[str, Work] = {
            "decode": partial(loader_runs.decode_from_memory, source, bench.windows),
            "batches": partial(loader_runs.batches_from_memory, source, bench.windows),
            "webdataset": partial(loader_runs.webdataset_batches, source, bench.windows),
            "warm": partial(loader_runs.warm_batches, source, bench.windows),
            "cold": partial(loader_runs.cold_batches, source, min(bench.windows, dataset.clips)),
        }
        runs = take_turns(works, bench.turns, "windows, one core", progress)
        report.figures |= _figures(dataset, runs) | _opening(bench, place, source, progress)
    rates = {name: report.figures[f"{name}_windows_per_s"] for name in runs}
    report.ratios |= {
        "vs_memory_decode": round(rates["warm"] / rates["decode"], 3),
        "vs_webdataset": round(rates["warm"] / rates["webdataset"], 3),
        "cold_vs_memory_decode": round(rates["cold"] / rates["decode"], 3),
    }
    return report


def _source(place: OwnServices, dataset: DatasetRef, scratch: Path) -> Source:
    """The dataset as the measuring processes are told of it, with its tars on this disk."""
    tars = scratch / "tars"
    tars.mkdir()
    prefix = f"datasets/{dataset.dataset}/shards/"
    for shard in place.store.list(prefix):
        place.store.download(shard.key, tars / shard.key.removeprefix(prefix))
    return Source(
        root=place.store.root,
        endpoint_url=place.storage.endpoint_url,
        dataset=dataset.dataset,
        snapshot=dataset.snapshot,
        tars=tars,
        cache=scratch / "warm",
    )


def _opening(
    bench: LoaderBench, place: OwnServices, source: Source, progress: Progress
) -> dict[str, float]:
    """What it costs to open a large snapshot."""
    progress(ProgressEvent("bench", message=f"a snapshot of {bench.snapshot_clips:,} clips"))
    table = random_rows(bench.snapshot_clips)
    size = -(-len(table) // _NUM_PARTS)
    parts = [table.slice(start, size) for start in range(0, len(table), size)]
    store_snapshot(place.store, source.dataset, _SMALL, [table.slice(0, 1_000)])
    store_snapshot(place.store, source.dataset, _LARGE, parts)
    opens = partial(loader_runs.open_snapshot, source)
    with BenchProcess(os.sched_getaffinity(0)) as process:
        small = process.measure(partial(opens, _SMALL))
        first, second = (process.measure(partial(opens, _LARGE)) for _ in range(2))
    return {
        "open_snapshot_clips": bench.snapshot_clips,
        "open_snapshot_s": round(min(first.seconds, second.seconds), 3),
        "open_snapshot_growth_bytes": first.peak_rss_bytes - small.peak_rss_bytes,
    }


def _figures(dataset: DatasetRef, runs: Mapping[str, list[Measured]]) -> dict[str, float]:
    figures: dict[str, float] = {"clips": dataset.clips, "clip_frames": dataset.frames}
    for name, measured in runs.items():
        best = fastest(measured)
        windows = best.frames
        cpu_s = min(one.cpu_seconds for one in measured)
        figures |= {
            f"{name}_windows_per_s": round(windows / best.seconds, 1),
            f"{name}_cpu_ms_per_window": round(1e3 * cpu_s / windows, 4),
            f"{name}_peak_rss_bytes": max(one.peak_rss_bytes for one in measured),
        }
    return figures
