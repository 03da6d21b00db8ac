"""The flows as processes, with Prefect's real server and stages that are scripts."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
import yaml
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import Artifact, FlowRun, TaskRun
from prefect.settings import PREFECT_API_URL
from prefect.testing.utilities import prefect_test_harness

from videogen.config.settings import child_environment
from videogen.progress import ProgressEvent

pytestmark = pytest.mark.machine

_TIMEOUT_S = 120
_STAGE_SCRIPT = Path(__file__).parent / "miniature_stage.py"


@pytest.fixture(scope="session")
def prefect_server() -> Iterator[str]:
    with prefect_test_harness(server_startup_timeout=90):
        yield PREFECT_API_URL.value()


@dataclass
class Workplace:
    """A store, a config, and how to run a flow on them."""

    directory: Path
    api_url: str

    @property
    def root(self) -> Path:
        return self.directory / "root"

    def start(self, flow: str, run_id: str, mode: str = "") -> "subprocess.Popen[str]":
        config = self.directory / "config.yaml"
        config.write_text(yaml.safe_dump({"name": "mini", "storage": {"root": str(self.root)}}))
        self.root.mkdir(exist_ok=True)
        command = [
            *(sys.executable, "-m", f"pipelines.{flow}", "--config", str(config)),
            *("--run-id", run_id, "--progress", "jsonl"),
            *("--command", sys.executable, str(_STAGE_SCRIPT)),
        ]
        return subprocess.Popen(
            command,
            env=child_environment(
                {
                    "PREFECT_API_URL": self.api_url,
                    "PREFECT_HOME": str(self.directory / "prefect"),
                    "VIDEOGEN_HOME": str(self.directory / "state"),
                    "MINIATURE_MODE": mode,
                    "RAY_ADDRESS": None,
                    "MLFLOW_TRACKING_URI": None,
                }
            ),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, flow: str, run_id: str, mode: str = "") -> tuple[int, str, list[str]]:
        process = self.start(flow, run_id, mode)
        output, errors = process.communicate(timeout=_TIMEOUT_S)
        return process.returncode, output, errors.splitlines()

    def wait_for_stage(self) -> int:
        path, deadline = self.root / "pid", time.monotonic() + _TIMEOUT_S
        while not (path.exists() and path.read_text()):
            assert time.monotonic() < deadline, "the stage did not start"
            time.sleep(0.05)
        return int(path.read_text())


@pytest.fixture
def workplace(tmp_path: Path, prefect_server: str) -> Workplace:
    return Workplace(tmp_path, prefect_server)


def shown_by_prefect(run_id: str) -> tuple[FlowRun, list[TaskRun], list[Artifact]]:
    with get_client(sync_client=True) as client:
        (flow_run,) = [one for one in client.read_flow_runs() if one.name.endswith(f" {run_id}")]
        task_runs = [one for one in client.read_task_runs() if one.flow_run_id == flow_run.id]
        artifacts = [one for one in client.read_artifacts() if one.flow_run_id == flow_run.id]
    return flow_run, task_runs, artifacts


def test_the_parent_flow_runs_the_four_stages_in_order(workplace):
    code, output, errors = workplace.run("video_gan", "whole-1")

    assert code == 0, errors
    document = json.loads(output)
    assert document["run_id"] == "whole-1"
    assert list(document["stages"]) == ["ingest", "train", "evaluate", "register"]
    assert document["stages"]["train"]["artifact"]["clips_seen"] == 64
    events = [ProgressEvent.from_line(line) for line in errors]
    assert None not in events, errors
    assert [event.stage for event in events if event.done == 5] == list(document["stages"])
    kept = workplace.directory / "state" / "runs" / "whole-1" / "resolved.yaml"
    assert kept.stat().st_mode & 0o077 == 0

    flow_run, task_runs, artifacts = shown_by_prefect("whole-1")
    assert flow_run.state_name == "Completed"
    ordered = sorted(task_runs, key=lambda one: one.start_time)
    assert [one.name for one in ordered] == [
        f"{stage} mini (run whole-1)" for stage in document["stages"]
    ]
    (summary,) = [one for one in artifacts if one.type == "markdown"]
    assert "| **fvd** | **500** |" in summary.data
    assert "| FVD of blank | 700 |" in summary.data
    assert "data:image/png;base64," in summary.data
    assert [one.data for one in artifacts if one.type == "progress"] == [100.0] * 4


def test_a_stages_flow_runs_alone(workplace):
    code, output, errors = workplace.run("train", "alone-1")

    assert code == 0, errors
    assert json.loads(output)["stage"] == "train"
    assert shown_by_prefect("alone-1")[0].state_name == "Completed"


def test_a_failing_stage_stops_the_flow_with_its_error_line_last(workplace):
    code, output, errors = workplace.run("video_gan", "failing-1", mode="fail:train")

    assert (code, output) == (1, "")
    assert errors[-1] == "error: train: dataset d: no clips; add videos"
    assert not [line for line in errors[:-1] if not line.startswith("{")]
    flow_run, task_runs, _ = shown_by_prefect("failing-1")
    assert flow_run.state_name == "Failed"
    assert len(task_runs) == 2


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_cancels_the_stage_and_is_shown_as_the_end_of_the_flow_run(
    workplace, number, code
):
    run_id = f"signal-{int(number)}"
    process = workplace.start("video_gan", run_id, mode="wait:train")
    stage = workplace.wait_for_stage()

    process.send_signal(number)
    _, errors = process.communicate(timeout=_TIMEOUT_S)

    assert process.returncode == code, errors
    assert not psutil.pid_exists(stage)
    assert (workplace.root / "asked").exists()
    assert shown_by_prefect(run_id)[0].state_name in {"Crashed", "Cancelled"}


def test_a_killed_flow_leaves_no_stage(workplace):
    process = workplace.start("train", "killed-1", mode="wait:train")
    stage = psutil.Process(workplace.wait_for_stage())

    process.kill()
    process.communicate(timeout=_TIMEOUT_S)

    psutil.wait_procs([stage], timeout=20)
    assert not stage.is_running()


def test_a_config_that_is_wrong_is_refused_before_anything_runs(workplace):
    process = workplace.start("video_gan", "not/an/id")
    _, errors = process.communicate(timeout=_TIMEOUT_S)

    assert process.returncode == 2
    assert errors.splitlines()[-1].startswith("error: run id 'not/an/id'")
