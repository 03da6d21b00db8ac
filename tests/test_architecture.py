"""The shape of the code base: what import-linter and ruff do not see."""

import ast
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = sorted([*ROOT.glob("videogen/**/*.py"), *ROOT.glob("pipelines/**/*.py")])
MAX_LINES = 310
TOP_LEVEL = {
    "CHANGELOG.md", "LICENSE", "Makefile", "README.md", "infra", "pipelines", "pyproject.toml",
    "tests", "videogen",
}  # fmt: skip
DUMPING_GROUNDS = {"utils", "util", "common", "helpers", "helper", "manager", "misc"}
TRAINING_CORE = ("videogen.models.build", "videogen.losses", "videogen.training.loop")
BEYOND_THE_CORE = {"ray", "mlflow", "prefect", "boto3", "av", "pyarrow", "typer", "PIL"}


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_the_top_level_holds_nothing_beyond_what_was_agreed() -> None:
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    assert {name.split("/")[0] for name in tracked if not name.startswith(".")} <= TOP_LEVEL


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_a_module_stays_readable_in_one_sitting(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= MAX_LINES


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_a_module_says_what_it_owns(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text()))
    assert path.stem not in DUMPING_GROUNDS


@pytest.mark.parametrize("path", [one for one in SOURCES if one.name == "__init__.py"], ids=name_of)
def test_a_package_file_holds_a_docstring_only(path: Path) -> None:
    assert len(ast.parse(path.read_text()).body) == 1


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_nothing_unpickles(path: Path) -> None:
    text = path.read_text()
    assert not re.search(r"\b(pickle|joblib|dill)\.loads?\(", text)
    assert not re.search(r"allow_pickle\s*=\s*True|torch\.load\(", text)


def test_each_task_of_a_flow_is_one_call() -> None:
    for path in ROOT.glob("pipelines/*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef) and any(
                "task" in ast.unparse(decorator).split("(")[0] for decorator in node.decorator_list
            ):
                body = [one for one in node.body if not isinstance(one, ast.Expr)] or node.body
                assert len(body) == 1, f"{name_of(path)}: task {node.name} does more than one call"


def test_the_training_core_needs_neither_services_nor_codecs() -> None:
    program = (
        f"import sys; import {', '.join(TRAINING_CORE)}\n"
        f"print(sorted({BEYOND_THE_CORE!r} & set(sys.modules)))"
    )
    found = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert found.stdout.strip() == "[]"


def test_asking_for_help_imports_nothing_heavy() -> None:
    program = (
        "import sys; import videogen.cli.commands\n"
        f"print(sorted({(BEYOND_THE_CORE | {'torch'}) - {'typer'}!r} & set(sys.modules)))"
    )
    found = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert found.stdout.strip() == "[]"


def test_every_test_directory_mirrors_a_package() -> None:
    packages = {path.name for path in (ROOT / "videogen").iterdir() if path.is_dir()}
    mirrored = {path.name for path in (ROOT / "tests" / "unit").iterdir() if path.is_dir()}
    assert mirrored - {"__pycache__"} <= packages


def test_no_two_test_files_have_one_name() -> None:
    """They are no packages, so pytest would take one for the other."""
    files = [path for path in (ROOT / "tests").rglob("*.py") if path.name != "conftest.py"]
    names = Counter(path.name for path in files)
    assert [name for name, number in names.items() if number > 1] == []
