"""S3, MLflow, Prefect and Ray together: up, crashes, up again, down."""

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from videogen.config.settings import Settings, child_environment
from videogen.stack import embedded, processes, state
from videogen.stack.ray_head import token_file
from videogen.stack.service import marker_of

pytestmark = [pytest.mark.machine, pytest.mark.timeout(300)]

PNG = b"\x89PNG\r\n\x1a\n not a picture"
LOG_ARTIFACT = """
import sys, mlflow
from mlflow import MlflowClient
client = MlflowClient()
run = client.create_run(client.create_experiment("pictures"))
client.log_artifact(run.info.run_id, sys.argv[1])
print(run.info.run_id, run.info.artifact_uri)
"""
RAY_TASK = """
import os, ray
ray.init(address="auto", log_to_driver=False)
print(ray.get(ray.remote(lambda: os.environ.get("AWS_SECRET_ACCESS_KEY", "none")).remote()))
"""


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    directory = tmp_path_factory.mktemp("stack")
    settings = Settings(directory / "state", directory / "cache", None, None, None)
    yield settings
    embedded.down(settings)


@pytest.fixture
def running(settings: Settings) -> dict[str, embedded.ServiceStatus]:
    return {one.name: one for one in embedded.up(settings)}


def run(settings: Settings, code: str, *arguments: str) -> str:
    environment = child_environment({"PYTHONWARNINGS": "ignore", **embedded.environment(settings)})
    command = [sys.executable, "-c", code, *arguments]
    answer = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert answer.returncode == 0, answer.stderr
    return answer.stdout.strip().splitlines()[-1]


def get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=20) as answer:  # noqa: S310 - http on loopback
        body: bytes = answer.read()
    return body


def post(url: str, document: dict[str, Any]) -> dict[str, Any]:
    request = urllib.request.Request(  # noqa: S310 - http on loopback
        url, json.dumps(document).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310 - see above
        body: dict[str, Any] = json.load(answer)
    return body


def test_up_brings_four_healthy_services_with_pages(
    running: dict[str, embedded.ServiceStatus],
) -> None:
    assert [one.health for one in running.values()] == ["healthy"] * 4
    for name in ("mlflow", "prefect", "ray"):
        assert b"<html" in get(running[name].page or "").lower()
    prefect = running["prefect"]
    assert json.loads(get(f"{prefect.page}/ui-settings"))["api_url"] == prefect.address
    json.dumps([one.document() for one in running.values()])


def test_what_mlflow_holds_is_the_same_with_the_server_and_without(
    settings: Settings, running: dict[str, embedded.ServiceStatus], tmp_path: Path
) -> None:
    picture = tmp_path / "sheet.png"
    picture.write_bytes(PNG)

    run_id, artifact_uri = run(settings, LOG_ARTIFACT, str(picture)).split()

    page = running["mlflow"].page
    assert artifact_uri.startswith("s3://videogen/mlflow/")
    assert get(f"{page}/get-artifact?path=sheet.png&run_uuid={run_id}") == PNG
    without_server = (
        "import sys; from mlflow import MlflowClient; "
        "client = MlflowClient(sys.argv[1]); print(client.get_run(sys.argv[2]).info.artifact_uri)"
    )
    database = f"sqlite:///{settings.state_dir / 'mlflow' / 'mlflow.db'}"
    assert run(settings, without_server, database, run_id) == artifact_uri


def test_ray_takes_a_driver_with_the_token_and_its_workers_have_no_keys(
    settings: Settings,
    running: dict[str, embedded.ServiceStatus],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert token_file(settings).stat().st_mode & 0o777 == 0o600
    assert run(settings, RAY_TASK) == "none"
    leader = running["ray"].pid
    assert leader is not None
    secret = (settings.state_dir / "s3" / "credentials").read_text().split()[-1]
    assert secret not in str(psutil.Process(leader).environ())


def kill(status: embedded.ServiceStatus) -> None:
    assert status.pid is not None
    process = psutil.Process(status.pid)
    os.kill(status.pid, signal.SIGKILL)
    psutil.wait_procs([process], timeout=10)


def test_up_leaves_alone_what_still_runs(
    settings: Settings, running: dict[str, embedded.ServiceStatus]
) -> None:
    kill(running["s3"])

    again = {one.name: one for one in embedded.up(settings)}

    assert again["s3"].pid != running["s3"].pid
    for name in ("mlflow", "prefect", "ray"):
        assert again[name].pid == running[name].pid


def test_up_brings_back_all_that_was_killed_with_its_data(
    settings: Settings, running: dict[str, embedded.ServiceStatus]
) -> None:
    flow = post(f"{running['prefect'].address}/flows/", {"name": "remembered"})
    for one in running.values():
        kill(one)
    crashed = {one.name: one.health for one in embedded.status(settings)}

    again = {one.name: one for one in embedded.up(settings)}

    assert set(crashed.values()) == {"crashed"}
    assert {one.health for one in again.values()} == {"healthy"}
    assert [one.address for one in again.values()] == [one.address for one in running.values()]
    found = json.loads(get(f"{again['prefect'].address}/flows/{flow['id']}"))
    assert found["name"] == "remembered"


def test_down_leaves_nothing_running_after_a_crash(
    settings: Settings, running: dict[str, embedded.ServiceStatus]
) -> None:
    markers = [marker_of(settings, name) for name in state.SERVICE_NAMES]
    before = {process.pid for marker in markers for process in processes.members(marker)}
    kill(running["ray"])

    embedded.down(settings)

    left = [process for marker in markers for process in processes.members(marker)]
    assert left == []
    assert not [pid for pid in before if _runs(pid)]
    assert {one.health for one in embedded.status(settings)} == {"stopped"}


def _runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
