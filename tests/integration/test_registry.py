"""From a committed checkpoint to videos out of the registry: real MLflow on SQLite, real files."""

import json
import pickletools
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from mlflow.artifacts import download_artifacts
from registry_place import DATASET, NUM_FRAMES, PROTOCOL, Place

from videogen.artifacts import EvaluationReport, ModelRef
from videogen.config.settings import child_environment
from videogen.errors import ConfigError, CorruptObjectError, RegistryError
from videogen.mlflow_connection import connect
from videogen.progress import ProgressEvent, silent
from videogen.registry.loading import Format, GenerationRequest, generate_files, load_generator
from videogen.registry.stage import register
from videogen.registry.versions import list_versions, version_exists
from videogen.storage.local import LocalStore
from videogen.tracking import open_tracker, start_run

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    root = tmp_path_factory.mktemp("registry")
    return Place.make(LocalStore(root / "store"), f"sqlite:///{root}/mlflow.db", root / "scratch")


@pytest.fixture(scope="module")
def champion(place: Place) -> ModelRef:
    return place.register("first")


def request(model: str, out: Path, format_: Format = "mp4", **changes: object) -> GenerationRequest:
    values = {
        "model": model,
        "num_videos": 2,
        "seed": 0,
        "num_frames": None,
        "truncation": 1.0,
        "fps": None,
        "out": out,
        "format": format_,
    }
    return GenerationRequest(**{**values, **changes})  # type: ignore[arg-type]


def test_a_first_good_model_is_champion_and_leads_back_to_its_origin(
    place: Place, champion: ModelRef
) -> None:
    assert champion.decision == "champion"
    assert champion.aliases == ("challenger", "champion")
    assert champion.uri == "models:/tiny/1"
    (summary,) = list_versions(place.tracking_uri, "tiny")
    tags = summary.tags
    assert tags["videogen.run_id"] == "first"
    assert tags["videogen.dataset"] == "shapes"
    assert tags["videogen.snapshot"] == DATASET.snapshot
    assert tags["videogen.ingest_digest"] == DATASET.ingest_digest
    assert tags["videogen.clips_seen"] == "1000"
    assert tags["videogen.stage_key"] == "7" * 64
    assert float(tags["videogen.fvd"]) == 400.0
    assert float(tags["videogen.yardstick.blank"]) == 714.0
    assert json.loads(tags["videogen.protocol"])["name"] == "fvd64_16f"
    assert tags["videogen.code_version"]
    assert summary.mlflow_run_id == champion.mlflow_run_id


def test_previews_report_and_config_are_on_the_run(place: Place, champion: ModelRef) -> None:
    client = connect(place.tracking_uri)
    listed = {
        file.path
        for directory in ("previews", "documents")
        for file in client.list_artifacts(champion.mlflow_run_id, f"model/{directory}")
    }
    assert listed == {
        "model/previews/preview.mp4",
        "model/previews/preview.gif",
        "model/previews/sheet.png",
        "model/documents/config.yaml",
        "model/documents/evaluation.json",
    }


PREDICT = """
import json, sys
import mlflow, numpy as np
mlflow.set_tracking_uri(sys.argv[1])
model = mlflow.pyfunc.load_model("models:/tiny@champion")
four = model.predict(None, params={"num_videos": 4, "seed": 5})
assert four.dtype == np.uint8
assert four.shape == (4, 4, 32, 32, 3), four.shape
assert np.array_equal(four, model.predict(None, params={"num_videos": 4, "seed": 5}))
assert np.array_equal(four[2:3], model.predict(None, params={"seed": 7}))
assert np.array_equal(four[1:3], model.predict([6, 7]))
assert not np.array_equal(four[0], four[1])
assert model.predict([1], params={"num_frames": 9}).shape[1] == 9
longer = model.predict([1], params={"num_frames": 9})[:, :4].astype(int)
assert np.abs(longer - model.predict([1])).max() <= 1
assert model.predict(model.input_example).shape[0] == 2
for wrong in ({"num_videos": 0}, {"truncation": 9.0}, {"num_frames": 5000}, {"seed": -3}):
    try:
        model.predict(None, params=wrong)
    except mlflow.exceptions.MlflowException as error:
        assert next(iter(wrong)) in str(error), error
    else:
        raise AssertionError(wrong)
print(json.dumps({"videogen": "videogen" in sys.modules}))
"""


@pytest.mark.parametrize("start", [[], ["-I", "-S"]], ids=["with videogen", "without videogen"])
def test_the_champion_predicts_without_pickles(
    place: Place, champion: ModelRef, tmp_path: Path, start: list[str]
) -> None:
    program = tmp_path / "predict.py"
    libraries = Path(np.__file__).parents[1]
    program.write_text(f"import sys; sys.path.append({str(libraries)!r})\n{PREDICT}")
    ended = subprocess.run(
        [sys.executable, *start, str(program), place.tracking_uri],
        cwd=tmp_path,
        env=child_environment({"MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false"}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout) == {"videogen": False}


def test_nothing_in_a_version_is_a_pickle(place: Place, champion: ModelRef, tmp_path: Path) -> None:
    client = connect(place.tracking_uri)
    version = client.get_model_version("tiny", "1")
    location = client.get_logged_model(version.source.removeprefix("models:/")).artifact_location
    downloaded = Path(download_artifacts(artifact_uri=location, dst_path=str(tmp_path)))
    files = [path for path in downloaded.rglob("*") if path.is_file()]
    assert any(path.suffix == ".safetensors" for path in files)
    for path in files:
        assert path.suffix not in {".pkl", ".pickle", ".pt", ".pth", ".bin"}, path
        assert not unpickles(path.read_bytes()), path
    requirements = (downloaded / "requirements.txt").read_text().split()
    names = {line.partition("==")[0] for line in requirements}
    assert names <= {
        "mlflow", "numpy", "torch", "pydantic", "einops", "jaxtyping", "safetensors",
    }  # fmt: skip


def unpickles(data: bytes) -> bool:
    """Whether a file begins as pickles of protocol 2 and later do, and goes on as one."""
    if not data.startswith(b"\x80"):
        return False
    try:
        list(pickletools.genops(data))
    except ValueError:
        return False
    return True


def test_the_same_checkpoint_makes_no_second_version(place: Place, champion: ModelRef) -> None:
    again = place.register("first", fvd=1.0)
    assert again.version == champion.version
    assert again.reasons == champion.reasons
    assert len(list_versions(place.tracking_uri, "tiny")) == 1


def test_an_interrupted_registration_is_finished(place: Place) -> None:
    other = place.named("halfway")
    made = other.register("halfway-1")
    client = connect(place.tracking_uri)
    client.delete_model_version_tag("halfway", made.version, "videogen.decision")
    client.delete_registered_model_alias("halfway", "champion")
    again = other.register("halfway-1")
    assert (again.version, again.decision) == (made.version, "champion")
    assert again.aliases == ("challenger", "champion")


@pytest.mark.parametrize(
    ("fvd", "aliases"),
    [
        (399.0, ("challenger", "champion")),
        (401.0, ("challenger",)),
        (float("nan"), ("challenger",)),
        (None, ("challenger",)),
    ],
)
def test_a_later_version_is_champion_only_where_it_is_better(
    place: Place, fvd: float | None, aliases: tuple[str, ...]
) -> None:
    other = place.named(f"series {fvd}")
    assert other.register(f"one-{fvd}").decision == "champion"
    later = other.register(f"two-{fvd}", fvd)
    assert (later.version, later.aliases) == ("2", aliases)


def test_a_first_bad_model_is_no_champion(place: Place) -> None:
    model = place.named("bad's").register("bad", 9_999.0)
    assert (model.decision, model.aliases) == ("challenger", ("challenger",))
    assert "is not below" in model.reasons[0]


def test_a_generator_that_is_not_the_one_in_the_manifest_is_refused(place: Place) -> None:
    checkpoint = place.checkpoint("tampered")
    key = f"{checkpoint.prefix}/generator/generator.safetensors"
    place.store.put(key, place.store.get(key).data[:-1] + b"!")
    report = EvaluationReport(metrics={}, yardsticks={}, protocol=PROTOCOL)
    tracker = open_tracker(start_run(place.tracking_uri, "tests", None, "tampered"))
    with pytest.raises(CorruptObjectError, match=r"generator\.safetensors"):
        register(place.config, DATASET, checkpoint, report, place.store, tracker, silent)
    assert "tampered" not in {
        one.tags["videogen.run_id"] for one in list_versions(place.tracking_uri, "tiny")
    }


@pytest.mark.parametrize("format_", ["mp4", "gif", "webp", "png", "sheet"])
def test_files_are_written_in_every_format(
    place: Place, champion: ModelRef, tmp_path: Path, format_: Format
) -> None:
    events: list[ProgressEvent] = []
    paths = generate_files(
        request("models:/tiny@champion", tmp_path, format_),
        tracking_uri=place.tracking_uri,
        progress=events.append,
    )
    names = ["tiny-v1-seeds-000000-000001.png"]
    if format_ != "sheet":
        names = [f"tiny-v1-seed-00000{seed}.{format_}" for seed in (0, 1)]
    assert [path.name for path in paths] == names
    assert all(path.stat().st_size > 100 and b"ai_generated" in path.read_bytes() for path in paths)
    assert (events[-1].done, events[-1].total) == (2, 2)


def test_a_file_depends_on_its_seed_alone(place: Place, champion: ModelRef, tmp_path: Path) -> None:
    many = generate_files(
        request("models:/tiny/1", tmp_path / "many", num_videos=11, seed=3),
        tracking_uri=place.tracking_uri,
        progress=silent,
    )
    one = generate_files(
        request("models:/tiny/latest", tmp_path / "one", num_videos=1, seed=12),
        tracking_uri=place.tracking_uri,
        progress=silent,
    )
    assert many[9].name == one[0].name
    assert many[9].read_bytes() == one[0].read_bytes()


def test_a_directory_needs_no_registry(place: Place, tmp_path: Path) -> None:
    place.checkpoint("exported")
    directory = place.scratch / "exported"
    loaded = load_generator(str(directory), None)
    assert loaded.spec.num_frames == NUM_FRAMES
    paths = generate_files(
        request(str(directory), tmp_path, num_videos=1), tracking_uri=None, progress=silent
    )
    assert [path.name for path in paths] == ["exported-seed-000000.mp4"]


@pytest.mark.parametrize(
    ("source", "error", "message"),
    [
        ("models:/nobody@champion", RegistryError, r"models there: .*tiny"),
        (
            "models:/tiny@best",
            RegistryError,
            r"tiny: 1; .*@champion \(version 1\)",
        ),
        ("models:/tiny/77", RegistryError, "newest version of tiny: 1"),
        ("models:/tiny/one", RegistryError, "newest version of tiny: 1"),
        ("models:/tiny", ConfigError, "give models:/NAME@ALIAS"),
        ("/nowhere/at/all", ConfigError, "not a directory with a generator.json"),
    ],
)
def test_a_model_that_is_not_there_is_answered_with_what_is(
    place: Place, champion: ModelRef, source: str, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        load_generator(source, place.tracking_uri)


def test_version_exists_only_while_it_does(place: Place) -> None:
    model = place.named("gone").register("gone")
    assert version_exists(place.tracking_uri, "gone", model.version)
    connect(place.tracking_uri).delete_model_version("gone", model.version)
    assert not version_exists(place.tracking_uri, "gone", model.version)
    assert not version_exists(place.tracking_uri, "never", "1")
