"""Working directories of workers: gone at the end, and swept up after workers that were killed."""

import fcntl
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from videogen.errors import StorageError

_PREFIX = "videogen-ingest-"
_LOCK = "in-use"
_BEING_MADE_S = 10.0


@contextmanager
def working_directory() -> Iterator[Path]:
    """A temporary directory; trouble with it is a `StorageError` that names it.

    Its owner holds a lock in it, so that one whose owner was killed can be told and is removed.
    """
    root = Path(tempfile.gettempdir())
    try:
        _sweep(root)
        with (
            tempfile.TemporaryDirectory(prefix=_PREFIX, dir=root) as name,
            (Path(name) / _LOCK).open("wb") as lock,
        ):
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield Path(name)
    except OSError as error:
        raise StorageError(
            f"working files in {root} cannot be written: {error.strerror or error}: "
            "free room there, or set TMPDIR to another disk"
        ) from error


def _sweep(root: Path) -> None:
    """Remove what killed workers left."""
    for left in root.glob(f"{_PREFIX}*"):
        try:
            with (left / _LOCK).open("rb") as lock:
                if time.time() - left.stat().st_mtime < _BEING_MADE_S:
                    continue
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(left, ignore_errors=True)
        except OSError:
            continue  # in use, just being made, or another user's
