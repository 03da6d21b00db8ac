"""`videogen bench ingest`: the whole ingest of a file beside nothing but its decoding.

Both run in this one command, turn by turn, each in a process of its own on the same core. What
counts is the fastest turn of each: whatever else the machine does only adds. The whole is the stage
itself (listing, hashing, decoding, shots, resizing, clips, encoding, shards, upload to a directory,
snapshot), at the file's own rate, without Ray. Then Ray runs the stage over several files, with one
worker and with two.
"""

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from time import perf_counter

from videogen.benchmarks.bench_process import Measured, Work
from videogen.benchmarks.footage import Footage, write_footage, write_twin
from videogen.benchmarks.ingest_runs import FewerWorkers, decode, ingest_files, ingest_here
from videogen.benchmarks.report import BenchReport, scratch_directory
from videogen.benchmarks.turns import fastest, take_turns
from videogen.data.video.reader import probe
from videogen.execution.ray_session import Cluster, ClusterSpec
from videogen.progress import Progress, ProgressEvent

SIZES = (64, 128)
"""Pixels a side of the frames that come out."""
_NUM_WORKERS = 2
_WARM_UP = Footage(width=320, height=180, scene_seconds=(2,))


@dataclass(frozen=True)
class IngestBench:
    """How much to measure."""

    video: Path | None = None
    """A file to measure beside the generated one."""
    turns: int = 7
    ray_turns: int = 3
    """0 leaves Ray out."""
    num_files: int = 8
    """That Ray ingests in a turn: enough that start and end do not matter."""
    footage: Footage = field(default_factory=Footage)


def bench_ingest(bench: IngestBench, progress: Progress) -> BenchReport:
    """Measure. Raises `UnusableSourceError` for a file that is no video, and `VideogenError`."""
    if bench.video is not None:
        probe(bench.video)  # before minutes go by
    with scratch_directory() as scratch:
        return _Run(bench, scratch, progress).measure()


class _Run:
    """One bench in its scratch directory."""

    def __init__(self, bench: IngestBench, scratch: Path, progress: Progress) -> None:
        self._bench = bench
        self._scratch = scratch
        self._progress = progress
        self._report = BenchReport()

    def measure(self) -> BenchReport:
        self._progress(ProgressEvent("bench", message="generating an H.264 file"))
        generated = self._scratch / "generated.mp4"
        write_footage(generated, self._bench.footage)
        self._one_core("", generated)
        if self._bench.video is not None:
            self._one_core("given_", self._bench.video)
        if self._bench.ray_turns:
            self._workers(generated)
        return self._report

    def _one_core(self, prefix: str, path: Path) -> None:
        """Figures and ratios of one file."""
        fps = probe(path).fps
        works: dict[str, Work] = {"decode": partial(decode, path)}
        for size in SIZES:
            works[f"whole_{size}px"] = partial(ingest_here, (path,), size, fps, self._scratch)
        message = f"{path.name}, one core"
        runs = take_turns(works, self._bench.turns, message, self._progress)
        for name, measured in runs.items():
            frames = runs["decode"][0].frames  # of all paths: some are in no clip
            self._report.figures |= _figures(f"{prefix}{name}", frames, measured)
        for size in SIZES:
            ratio = fastest(runs["decode"]).seconds / fastest(runs[f"whole_{size}px"]).seconds
            self._report.ratios[f"{prefix}whole_vs_decode_{size}px"] = round(ratio, 3)

    def _workers(self, original: Path) -> None:
        """What a second Ray worker adds."""
        files = self._twins(original, "timed", self._bench.num_files)
        small = self._scratch / "small.mp4"
        write_footage(small, _WARM_UP)
        kind = (SIZES[0], probe(original).fps)
        seconds: dict[int, list[float]] = {number: [] for number in range(1, _NUM_WORKERS + 1)}
        frames = probe(original).num_frames * len(files)
        with Cluster(ClusterSpec(num_cpus=_NUM_WORKERS)) as cluster:
            self._progress(ProgressEvent("bench", message="starting Ray"))
            ingest_files(self._twins(small, "warm", 4), kind, self._scratch, cluster)
            for turn in range(self._bench.ray_turns):
                message = f"{len(files)} files on Ray"
                self._progress(
                    ProgressEvent("bench", turn, self._bench.ray_turns, "turns", message)
                )
                for number, took in seconds.items():
                    began = perf_counter()
                    tasks = FewerWorkers(cluster, number)
                    ingest_files(files, kind, self._scratch, tasks)
                    took.append(perf_counter() - began)
        for number, took in seconds.items():
            self._report.figures[f"workers_{number}_frames_per_s"] = round(frames / min(took), 1)
        ratio = min(seconds[1]) / min(seconds[_NUM_WORKERS])
        self._report.ratios["workers_2_vs_1"] = round(ratio, 3)

    def _twins(self, original: Path, name: str, number: int) -> list[Path]:
        """Files of the same video and other content, so that each is decoded."""
        paths = [self._scratch / f"{name}-{index}.mp4" for index in range(number)]
        for index, path in enumerate(paths):
            write_twin(path, original, index)
        return paths


def _figures(name: str, frames: int, runs: list[Measured]) -> dict[str, float]:
    best = fastest(runs)
    return {
        f"{name}_frames_per_s": round(frames / best.seconds, 1),
        f"{name}_ms_per_frame": round(1e3 * best.seconds / max(frames, 1), 4),
        f"{name}_cpu_ms_per_frame": round(1e3 * best.cpu_seconds / max(frames, 1), 4),
        f"{name}_peak_rss_bytes": max(run.peak_rss_bytes for run in runs),
    }
