"""What a person sees who types something wrong: one line that names the object, and 1 or 2."""

from dataclasses import replace
from pathlib import Path

import pytest
from workplace import Workplace

pytestmark = pytest.mark.machine


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["run", "nope"], 2, "no preset of that name"),
        (["run", "smoke", "--set", "ingest.resolutoin=3"], 2, "ingest.resolution"),
        (["run", "smoke", "--set", "train.seed=x"], 2, "train.seed"),
        (["run", "smoke", "--run-id", "../x"], 2, "run id"),
        (["run", "smoke", "--progress", "loud"], 2, "--progress"),
        (["run", "smoke", "--dry-run", "--set", "ingest.sources=[nowhere]"], 1, "nowhere"),
        (["frobnicate"], 2, "frobnicate"),
        (["generate"], 2, "--model"),
        (["generate", "--model", "models:/nothing@champion"], 1, "nothing"),
        (["generate", "--model", "x", "--format", "avi"], 2, "avi"),
        (["train", "smoke", "--set", "name=empty"], 1, "empty"),
        (["evaluate", "smoke", "--set", "name=empty"], 1, "empty"),
        (["fvd", "nowhere", "nowhere"], 1, "nowhere"),
        (["weights", "fetch", "inception"], 2, "inception"),
        (["run", "smoke", "--dry-run", "--set", "storage.root=gs://x"], 2, "gs://x"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_is_answered_in_one_line(
    workplace: Workplace, arguments: list[str], code: int, said: str
) -> None:
    done = workplace.run(*arguments)
    error = done.stderr.splitlines()[-1]
    assert error.startswith("error: "), done.stderr
    assert said in error
    assert "Traceback" not in done.stderr
    assert done.returncode == code
    assert done.stdout == ""


def test_debug_shows_the_traceback(workplace: Workplace) -> None:
    done = workplace.run("run", "nope", "--debug")
    assert "Traceback" in done.stderr
    assert done.returncode == 2


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({}, "AWS_ACCESS_KEY_ID"),
        ({"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "planted"}, "127.0.0.1:9"),
    ],
    ids=["no keys", "no server"],
)
def test_an_s3_root_that_cannot_be_used_is_an_error_and_no_fallback(
    workplace: Workplace, keys: dict[str, str], said: str
) -> None:
    done = replace(workplace, variables=keys).run(
        *("ingest", "smoke", "--set", "storage.root=s3://bucket/prefix"),
        *("--set", "storage.endpoint_url=http://127.0.0.1:9"),
    )
    assert done.returncode == 1
    assert said in done.stderr.splitlines()[-1]
    assert "embedded" not in done.stderr
    assert "planted" not in done.stderr


def test_a_directory_without_videos_is_named(workplace: Workplace, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no video")
    done = workplace.run("ingest", "smoke", "--set", f"ingest.sources=[{tmp_path}]")
    assert done.returncode == 1
    assert str(tmp_path) in done.stderr.splitlines()[-1]
