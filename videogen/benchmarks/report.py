"""What every bench answers with, and the error of a disk that is too small for it."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from videogen.benchmarks.machine import describe_machine
from videogen.errors import VideogenError


@dataclass
class BenchReport:
    """What `--json` prints."""

    figures: dict[str, float] = field(default_factory=dict)
    ratios: dict[str, float] = field(default_factory=dict)
    machine: dict[str, str | int | float | dict[str, str]] = field(default_factory=describe_machine)


@contextmanager
def scratch_directory() -> Iterator[Path]:
    """A directory for the length of a bench.

    Raises `VideogenError` where it, or what the block writes there, finds no room.
    """
    try:
        with tempfile.TemporaryDirectory(prefix="videogen-bench-") as name:
            yield Path(name)
    except OSError as error:
        raise VideogenError(
            f"the bench cannot use {error.filename or tempfile.gettempdir()}: {error.strerror}: "
            "free some room there, or set TMPDIR to another disk"
        ) from error
