"""The ingest bench measures what it says: the same frames on both sides, footage that is filmed."""

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from videogen.benchmarks.bench_process import BenchProcess
from videogen.benchmarks.footage import Footage, write_footage, write_twin
from videogen.benchmarks.ingest import IngestBench, bench_ingest
from videogen.benchmarks.ingest_runs import decode, ingest_here
from videogen.data.video.reader import probe, read_video
from videogen.data.video.unusable import UnusableSourceError
from videogen.errors import SourceError, VideogenError
from videogen.progress import silent

SMALL = Footage(width=320, height=180, scene_seconds=(2, 1, 2))


@pytest.fixture(scope="module")
def footage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("footage") / "small.mp4"
    write_footage(path, SMALL)
    return path


def test_the_footage_has_texture_motion_and_the_cuts_it_says(footage: Path) -> None:
    facts = probe(footage)
    assert (facts.codec, facts.width, facts.height, facts.fps) == ("h264", 320, 180, 24.0)
    assert facts.num_frames == SMALL.num_frames == 120
    luma = [frame.mean(axis=-1) for frame in read_video(footage, height=45, width=80)]
    changes = [np.abs(one - other).mean() for one, other in pairwise(luma)]
    assert sorted(np.argsort(changes)[-2:] + 1) == [48, 72], "cuts after 2 s and after 3"
    assert min(changes) > 0.2, "no frame repeats another"
    assert np.mean([frame.std() for frame in luma]) > 20
    detail = np.stack(list(read_video(footage))[::40]).astype(float).mean(axis=-1)
    assert np.abs(np.diff(detail, axis=2)).mean() > 1.5


def test_twins_are_the_same_video_in_other_bytes(footage: Path, tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.mp4" for number in range(2)]
    for number, path in enumerate(paths):
        write_twin(path, footage, number)
    digests = {hashlib.sha256(path.read_bytes()).hexdigest() for path in (footage, *paths)}
    assert len(digests) == 3
    ours = np.stack(list(read_video(footage, height=18, width=32)))
    for path in paths:
        assert np.array_equal(np.stack(list(read_video(path, height=18, width=32))), ours)


def test_both_sides_go_through_every_frame(footage: Path, tmp_path: Path) -> None:
    assert decode(footage) == 120
    ingested = ingest_here((footage,), 32, 24.0, tmp_path)
    assert ingested == 120, "all frames, whichever of them form clips"
    assert not list(tmp_path.iterdir()), "the store is gone again"


def test_a_file_that_is_quarantined_is_no_measurement(footage: Path, tmp_path: Path) -> None:
    path = tmp_path / "bad.mp4"
    path.write_bytes(b"no video")
    with pytest.raises(SourceError, match=r"bad\.mp4 cannot be ingested: corrupt"):
        ingest_here((footage, path), 32, 24.0, tmp_path)
    with pytest.raises(VideogenError, match=r"bad\.mp4"):
        ingest_here((path,), 32, 24.0, tmp_path)
    with pytest.raises(UnusableSourceError, match=r"bad\.mp4"):
        bench_ingest(IngestBench(video=path), silent)


def test_a_bench_reports_ratios_of_what_it_measured_and_leaves_nothing(
    footage: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    bench = IngestBench(video=footage, turns=1, ray_turns=0, footage=SMALL)
    report = asdict(bench_ingest(bench, silent))
    assert json.loads(json.dumps(report)) == report
    figures = report["figures"]
    for prefix in ("", "given_"):
        for name in ("decode", "whole_64px", "whole_128px"):
            rate = figures[f"{prefix}{name}_frames_per_s"]
            assert rate * figures[f"{prefix}{name}_ms_per_frame"] == pytest.approx(1000, rel=0.01)
            assert 20 << 20 < figures[f"{prefix}{name}_peak_rss_bytes"] < 1 << 30
        for size in (64, 128):
            ratio = report["ratios"][f"{prefix}whole_vs_decode_{size}px"]
            whole = figures[f"{prefix}whole_{size}px_frames_per_s"]
            assert ratio == pytest.approx(whole / figures[f"{prefix}decode_frames_per_s"], rel=0.02)
    assert report["machine"]["cores"] == len(os.sched_getaffinity(0))
    assert report["machine"]["libraries"]["av"]
    assert not list(tmp_path.iterdir())


def test_a_measuring_process_stays_on_its_core_and_ends_with_its_owner(tmp_path: Path) -> None:
    core = min(os.sched_getaffinity(0))
    with BenchProcess({core}) as process:
        assert process.measure(partial(_core_now)).frames == 1 << core
    program = (
        "import os\nfrom functools import partial\n"
        "from videogen.benchmarks.bench_process import BenchProcess\n"
        "if __name__ == '__main__':\n"
        f"    process = BenchProcess({{{core}}}).__enter__()\n"
        "    print(process.measure(partial(os.getpid)).frames, flush=True)\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    script = tmp_path / "killed.py"
    script.write_text(program)
    run = subprocess.run(
        [sys.executable, str(script)], check=False, capture_output=True, text=True, timeout=60
    )
    child = Path("/proc", run.stdout.strip(), "stat")
    for _ in range(100):
        if not child.exists() or child.read_text().rpartition(")")[2].split()[0] == "Z":
            return
        subprocess.run(["sleep", "0.1"], check=True)
    raise AssertionError("the measuring process outlived its owner")


def _core_now() -> int:
    return sum(1 << core for core in os.sched_getaffinity(0))
