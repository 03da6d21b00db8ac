"""The whole road on the `smoke` preset: interrupted, resumed, reused, loaded, drawn from."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from workplace import Workplace

from videogen.config.settings import child_environment
from videogen.data.video.reader import probe
from videogen.progress import ProgressEvent

pytestmark = [pytest.mark.machine, pytest.mark.timeout(900)]

PREDICT = """
import mlflow, numpy
model = mlflow.pyfunc.load_model("models:/smoke@challenger")
one = model.predict(None, params={"num_videos": 2, "seed": 5})
same = model.predict(None, params={"num_videos": 1, "seed": 6})
assert one.dtype == numpy.uint8 and one.shape == (2, 16, 32, 32, 3), (one.dtype, one.shape)
assert (one[1] == same[0]).all()
"""


def interrupted_in_training(workplace: Workplace) -> "subprocess.CompletedProcess[str]":
    """Start a run and send Ctrl-C after its first checkpoint."""
    process = workplace.start("run", "smoke", "--progress", "jsonl")
    assert process.stderr is not None
    for line in process.stderr:
        event = ProgressEvent.from_line(line)
        if event is not None and event.stage == "train" and event.done >= 40:
            break
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=120)
    return subprocess.CompletedProcess([], process.returncode, output, errors)


def test_the_road_from_videos_to_a_generator_that_anyone_can_load(workplace: Workplace) -> None:
    first = interrupted_in_training(workplace)
    assert first.returncode == 130, first.stderr
    assert workplace.processes() == []

    online = [f"train.online_evaluation.{key}" for key in ("interval_clips=32", "num_clips=4")]
    second = workplace.run("run", "smoke", "--json", *(w for one in online for w in ("--set", one)))
    assert second.returncode == 0, second.stderr
    assert "checkpoint at 64 clips: fvd4_16f " in second.stderr
    document = json.loads(second.stdout)
    stages = document["stages"]
    assert list(stages) == ["ingest", "train", "evaluate", "register"]
    assert stages["ingest"]["artifact"]["new_sources"] == 0
    assert stages["train"]["artifact"]["clips_seen"] == 64
    yardsticks = stages["evaluate"]["artifact"]["yardsticks"]
    assert set(yardsticks) == {"floor", "shuffled", "frozen", "blank"}
    assert stages["evaluate"]["artifact"]["protocol"]["name"] == "fvd4_16f"
    assert stages["register"]["artifact"]["version"] == "1"
    assert workplace.processes() == []

    began = time.monotonic()
    again = workplace.json("run", "smoke")
    assert time.monotonic() - began < 90
    assert all(
        again["stages"][stage]["reused_from"] == document["run_id"]
        for stage in ("train", "evaluate", "register")
    )
    assert (
        again["stages"]["ingest"]["artifact"]["snapshot"]
        == (stages["ingest"]["artifact"]["snapshot"])
    )


def test_a_plain_program_loads_the_version_without_pickles(workplace: Workplace) -> None:
    assert workplace.run("stack", "up").returncode == 0
    try:
        exports = workplace.run("stack", "env").stdout
        subprocess.run(
            ["bash", "-c", f'{exports}\nexec "$0" -c "$1"', sys.executable, PREDICT],
            env=child_environment({"MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false"}),
            check=True,
            timeout=180,
        )
    finally:
        assert workplace.run("stack", "down").returncode == 0
    assert workplace.processes() == []


@pytest.mark.parametrize("kind", ["mp4", "gif"])
def test_generate_writes_files_that_a_player_opens(
    workplace: Workplace, kind: str, tmp_path: Path
) -> None:
    model = ("--model", "models:/smoke@challenger", "-n", "2", "--seed", "3")
    document = workplace.json("generate", *model, "--out", str(tmp_path), "--format", kind)
    assert len(document["files"]) == 2
    for name in document["files"]:
        found = probe(Path(name))
        assert found.num_frames == 16
