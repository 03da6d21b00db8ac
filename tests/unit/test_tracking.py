"""What MLflow holds after a tracker wrote to it, on SQLite and local artifacts."""

import math
import multiprocessing
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient

from videogen.errors import RegistryError
from videogen.mlflow_connection import connect, redacted
from videogen.tracking import MlflowTracker, TrackerSpec, open_tracker, start_run


@pytest.fixture(scope="module")
def tracking_uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/mlflow.db"


@pytest.fixture
def spec(tracking_uri: str, tmp_path: Path, request: pytest.FixtureRequest) -> TrackerSpec:
    return start_run(tracking_uri, "tests", None, request.node.name)


@pytest.fixture
def silent_server() -> Iterator[str]:
    """A port that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://user:secret@127.0.0.1:{server.getsockname()[1]}"


def history(spec: TrackerSpec, name: str) -> list[tuple[int, float]]:
    metrics = connect(spec.tracking_uri).get_metric_history(spec.run_id, name)
    return [(metric.step, metric.value) for metric in metrics]


def test_a_videogen_run_has_one_mlflow_run_however_often_it_starts(tracking_uri: str) -> None:
    first = start_run(tracking_uri, "tests", None, "run-1")
    assert start_run(tracking_uri, "tests", None, "run-1") == first
    assert start_run(tracking_uri, "tests", None, "run-2").run_id != first.run_id


def _start(tracking_uri: str, found: "multiprocessing.Queue[str]") -> None:
    found.put(start_run(tracking_uri, "parallel", None, "same").run_id)


def test_processes_that_start_at_once_on_no_database_share_one_run(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    found: multiprocessing.Queue[str] = context.Queue()
    uri = f"sqlite:///{tmp_path}/new/mlflow.db"
    processes = [context.Process(target=_start, args=(uri, found)) for _ in range(3)]
    for process in processes:
        process.start()
    run_ids = {found.get(timeout=60) for _ in processes}
    for process in processes:
        process.join()
    assert len(run_ids) == 1


def test_a_finished_run_is_opened_again(spec: TrackerSpec) -> None:
    open_tracker(spec).finish("FAILED")
    client = connect(spec.tracking_uri)
    assert client.get_run(spec.run_id).info.status == "FAILED"
    start_run(spec.tracking_uri, "tests", None, client.get_run(spec.run_id).info.run_name)
    assert client.get_run(spec.run_id).info.status == "RUNNING"


def test_steps_repeated_after_a_recovery_are_logged_once(spec: TrackerSpec) -> None:
    before = open_tracker(spec)
    for step in (100, 200, 300):
        before.log_metrics({"loss/d": step / 100}, step)
    after = open_tracker(spec)
    for step in (200, 300, 400):
        after.log_metrics({"loss/d": step / 100, "fps": 1.0}, step)
    assert history(spec, "loss/d") == [(100, 1), (200, 2), (300, 3), (400, 4)]
    assert [step for step, _ in history(spec, "fps")] == [200, 300, 400]


def test_values_that_are_not_finite_are_recorded(spec: TrackerSpec) -> None:
    open_tracker(spec).log_metrics({"fvd": math.nan, "loss": math.inf}, 1)
    assert math.isnan(history(spec, "fvd")[0][1])
    assert history(spec, "loss")[0][1] > 1e300


def test_params_are_flat_bounded_and_keep_their_first_value(spec: TrackerSpec) -> None:
    tracker = open_tracker(spec)
    tracker.log_params({"train": {"model": {"kind": "dcgan"}, "seed": 0}, "long": "x" * 9_000})
    tracker.log_params({"train": {"model": {"kind": "dcgan"}, "seed": 1}})
    data = connect(spec.tracking_uri).get_run(spec.run_id).data
    assert data.params["train.model.kind"] == "dcgan"
    assert data.params["train.seed"] == "0"
    assert data.tags["changed.train.seed"] == "1"
    assert "changed.train.model.kind" not in data.tags
    assert len(data.params["long"]) == 5_000


def test_many_params_go_in_several_requests(spec: TrackerSpec) -> None:
    open_tracker(spec).log_params({f"p{i}": i for i in range(250)})
    assert len(connect(spec.tracking_uri).get_run(spec.run_id).data.params) == 250


def test_names_that_mlflow_refuses_are_spelled_otherwise(spec: TrackerSpec) -> None:
    open_tracker(spec).log_metrics({"fvd@64#1": 2.0}, 1)
    assert history(spec, "fvd_64_1") == [(1, 2.0)]


def test_artifacts_lie_beside_the_database_by_default(spec: TrackerSpec, tmp_path: Path) -> None:
    preview = tmp_path / "preview.txt"
    preview.write_text("hello")
    open_tracker(spec).log_artifact(preview, "previews")
    open_tracker(spec).log_artifact(preview, "previews")
    client = connect(spec.tracking_uri)
    assert [one.path for one in client.list_artifacts(spec.run_id, "previews")] == [
        "previews/preview.txt"
    ]
    assert str(tmp_path.parent) in client.get_run(spec.run_id).info.artifact_uri


def test_a_server_that_refuses_connections_is_named_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    began = time.monotonic()
    with pytest.raises(RegistryError, match=rf"127.0.0.1:{port} does not answer.*stack up") as info:
        start_run(f"http://user:secret@127.0.0.1:{port}", "tests", None, "r")
    assert time.monotonic() - began < 20
    assert "secret" not in str(info.value)


def test_a_server_that_never_answers_is_given_up(silent_server: str) -> None:
    began = time.monotonic()
    with pytest.raises(RegistryError, match="does not answer") as info:
        start_run(silent_server, "tests", None, "r")
    assert time.monotonic() - began < 20
    assert "secret" not in str(info.value)


def test_a_server_that_goes_away_later_is_given_up(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    uri = f"http://user:secret@127.0.0.1:{port}"
    spec = TrackerSpec(uri, "tests", None, "0" * 32)
    began = time.monotonic()
    with pytest.raises(RegistryError, match="logging metrics failed") as info:
        MlflowTracker(spec, MlflowClient(uri)).log_metrics({"a": 1.0}, 1)
    assert time.monotonic() - began < 20
    assert "secret" not in str(info.value)


def test_a_database_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(RegistryError, match=r"file/mlflow\.db: .*may be written"):
        start_run(f"sqlite:///{tmp_path}/file/mlflow.db", "tests", None, "r")


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_text("no database" * 1000)
    with pytest.raises(RegistryError, match=r"mlflow\.db: file is not a database"):
        start_run(f"sqlite:///{tmp_path}/mlflow.db", "tests", None, "r")


def test_a_deleted_experiment_is_an_error_with_a_mend(tracking_uri: str) -> None:
    start_run(tracking_uri, "gone", None, "r")
    client = connect(tracking_uri)
    client.delete_experiment(client.get_experiment_by_name("gone").experiment_id)
    with pytest.raises(RegistryError, match="'gone' is deleted; restore it"):
        start_run(tracking_uri, "gone", None, "r")


def test_credentials_never_show() -> None:
    uri = "postgresql://me:secret@db/mlflow?password=other"
    assert redacted(uri) == "postgresql://db/mlflow"
    assert "secret" not in repr(TrackerSpec(uri, "e", None, "r"))
