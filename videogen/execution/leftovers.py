"""Temporary directories that a killed owner leaves, and the next one removes."""

import fcntl
import shutil
import tempfile
import time
from pathlib import Path
from typing import BinaryIO

_LOCK = "in-use"
_BEING_MADE_S = 10.0


def claim_directory(root: Path, prefix: str) -> tuple[Path, BinaryIO]:
    """A new directory below `root`, and the file whose lock says that it is in use.

    Its owner holds the file open for as long as it needs the directory. Those of the same prefix
    whose owner was killed are removed first.
    """
    _sweep(root, prefix)
    directory = Path(tempfile.mkdtemp(prefix=prefix, dir=root))
    lock = (directory / _LOCK).open("wb")
    fcntl.flock(lock, fcntl.LOCK_EX)
    return directory, lock


def _sweep(root: Path, prefix: str) -> None:
    for left in root.glob(f"{prefix}*"):
        try:
            with (left / _LOCK).open("rb") as lock:
                if time.time() - left.stat().st_mtime < _BEING_MADE_S:
                    continue
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(left, ignore_errors=True)
        except OSError:
            continue  # in use, or another user's
