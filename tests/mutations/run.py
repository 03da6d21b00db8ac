"""Seeds faults into a copy of the library, one at a time, and requires that tests find each.

    python tests/mutations/run.py [PART-OF-A-NAME ...]

Tests that pass with a fault in the code they are about prove nothing. The copy without a fault is
tested first, and must pass. Exits 1 where a fault survives, or no longer fits the code.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter

from seeded import MUTATIONS, Mutation

from videogen.config.settings import child_environment

ROOT = Path(__file__).resolve().parents[2]
_COPIED = ("videogen", "tests", "pyproject.toml", "pipelines")
_TIMEOUT_S = 300
_PASSED, _FAILED = 0, 1


class MutationError(Exception):
    """The tests of the faults cannot be relied on; the message says why."""


def main(wanted: list[str]) -> int:
    """Run those whose names have a part that is wanted, or all; how the process is to end."""
    chosen = [one for one in MUTATIONS if not wanted or any(part in one.name for part in wanted)]
    with tempfile.TemporaryDirectory(prefix="vg-mutations-") as name:
        root = Path(name)
        for part in _COPIED:
            source = ROOT / part
            copy = shutil.copytree if source.is_dir() else shutil.copyfile
            copy(source, root / part)
        try:
            _check_that_the_copy_passes(root, chosen)
            survivors = [one.name for one in chosen if not _is_found(root, one)]
        except MutationError as error:
            sys.stderr.write(f"error: {error}\n")
            return 1
    sys.stderr.write(f"{len(chosen) - len(survivors)} of {len(chosen)} faults found\n")
    return 1 if survivors else 0


def _check_that_the_copy_passes(root: Path, chosen: list[Mutation]) -> None:
    tests = sorted({test for one in chosen for test in one.tests})
    code, output = _run_tests(root, tests)
    if code != _PASSED:
        raise MutationError(f"without any fault the tests do not pass:\n{output}")


def _is_found(root: Path, mutation: Mutation) -> bool:
    began, path = perf_counter(), root / mutation.path
    right = path.read_text()
    if (found := right.count(mutation.right)) != 1:
        raise MutationError(
            f"{mutation.name!r} fits {mutation.path} in {found} places, not in one; "
            "bring tests/mutations/seeded.py up to date"
        )
    path.write_text(right.replace(mutation.right, mutation.wrong))
    try:
        code, output = _run_tests(root, mutation.tests)
    finally:
        path.write_text(right)
    if code not in {_PASSED, _FAILED}:
        raise MutationError(f"{mutation.name!r}: the tests did not run:\n{output}")
    verdict = "found" if code == _FAILED else "SURVIVED"
    sys.stderr.write(f"{verdict:9}{mutation.name} ({perf_counter() - began:.0f} s)\n")
    return code == _FAILED


def _run_tests(root: Path, tests: list[str] | tuple[str, ...]) -> tuple[int, str]:
    """Those of the copy, on the copy's library, until the first that fails."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests]
    changes = {
        "PYTHONPATH": os.fspath(root),
        "PYTHONDONTWRITEBYTECODE": "1",  # an edit within a second would be taken for no edit
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(
        command,
        cwd=root,
        env=child_environment(changes),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_TIMEOUT_S,
        check=False,
    )
    return done.returncode, done.stdout[-4_000:]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
