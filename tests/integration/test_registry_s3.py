"""The registry with its artifacts in a real S3 server, on SQLite and through an MLflow server."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from registry_place import Place

from videogen.config.settings import child_environment
from videogen.progress import silent
from videogen.registry.loading import load_generator
from videogen.registry.versions import list_models, list_versions
from videogen.stack import lifecycle
from videogen.stack.mlflow_server import MlflowServer, sqlite_uri
from videogen.storage.s3 import S3Store

pytestmark = pytest.mark.integration

PREDICT = """
import mlflow
model = mlflow.pyfunc.load_model("models:/tiny@champion")
frames = model.predict(None, params={"num_videos": 2, "seed": 7})
print(frames.dtype, frames.shape)
"""


@pytest.fixture(scope="module")
def tracking_uris(s3_service) -> Iterator[dict[str, str]]:
    """SQLite, and a server on the same file."""
    settings = s3_service.settings
    server = MlflowServer(f"{s3_service.root}/mlflow", s3_service.environment)
    try:
        record, _ = lifecycle.start(server, settings, silent)
        yield {"sqlite": sqlite_uri(settings), "server": server.address(record.ports)}
    finally:
        lifecycle.stop(server, settings)


@pytest.mark.parametrize("kind", ["sqlite", "server"])
def test_any_mlflow_loads_the_champion_from_s3(
    s3_service, s3_store: S3Store, tracking_uris: dict[str, str], tmp_path: Path, kind: str
) -> None:
    uri = tracking_uris[kind]
    location = f"{s3_service.root}/mlflow"
    place = Place.make(s3_store, uri, tmp_path, location).named(f"tiny {kind}")
    model = place.register(f"run-{kind}")
    assert model.decision == "champion"
    assert place.register(f"run-{kind}").version == model.version
    assert f"tiny {kind}" in list_models(uri)
    (summary,) = list_versions(uri, f"tiny {kind}")
    assert summary.aliases == ("challenger", "champion")
    assert load_generator(f"models:/tiny {kind}@champion", uri).label == f"tiny_{kind}-v1"
    ended = subprocess.run(
        [sys.executable, "-c", PREDICT.replace("tiny@", f"tiny {kind}@")],
        env=child_environment(
            {
                **s3_service.environment,
                "MLFLOW_TRACKING_URI": uri,
                "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
            }
        ),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.split("\n")[0] == "uint8 (2, 4, 32, 32, 3)"


REFUSED = """
import sys
from pathlib import Path
from videogen.errors import RegistryError
from videogen.tracking import open_tracker, start_run
tracker = open_tracker(start_run(sys.argv[1], "tests", sys.argv[2], "refused"))
try:
    tracker.log_artifact(Path(sys.argv[3]))
except RegistryError as error:
    print(error)
"""


def test_wrong_credentials_are_an_error_with_a_mend(s3_service, tmp_path: Path) -> None:
    credentials = tmp_path / "credentials"
    credentials.write_text(
        "[videogen]\naws_access_key_id = nobody\naws_secret_access_key = hunter2hunter2\n"
    )
    variables = {**s3_service.environment, "AWS_SHARED_CREDENTIALS_FILE": str(credentials)}
    location = f"{s3_service.root}/mlflow"
    ended = subprocess.run(
        [
            *(sys.executable, "-c", REFUSED),
            *(f"sqlite:///{tmp_path}/mlflow.db", location, str(credentials)),
        ],
        env=child_environment(variables),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert "uploading credentials failed" in ended.stdout
    assert "check the AWS_* credentials" in ended.stdout
    assert len(ended.stdout.splitlines()) == 1
    assert "hunter2" not in ended.stdout + ended.stderr
