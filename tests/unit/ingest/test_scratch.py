"""Working directories of workers."""

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from videogen.errors import StorageError
from videogen.ingest.worker.scratch import working_directory


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_a_working_directory_is_gone_at_the_end_and_after_errors(root: Path) -> None:
    with working_directory() as directory:
        (directory / "x").touch()
    with pytest.raises(RuntimeError), working_directory():
        raise RuntimeError
    assert list(root.iterdir()) == []


def test_what_a_killed_worker_left_is_swept_up_and_what_is_in_use_stays(root: Path) -> None:
    program = (
        "import os, signal, tempfile\n"
        f"tempfile.tempdir = {str(root)!r}\n"
        "from videogen.ingest.worker.scratch import working_directory\n"
        "with working_directory() as directory:\n"
        "    (directory / 'shard').write_bytes(b'x')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    killed = subprocess.run([sys.executable, "-c", program], check=False)
    assert killed.returncode == -signal.SIGKILL
    (left,) = root.iterdir()
    os.utime(left, (1, 1))
    with working_directory() as one:
        os.utime(one, (1, 1))
        with working_directory() as other:
            assert set(root.iterdir()) == {one, other}
    assert left not in (one, other)


def test_no_room_is_an_error_that_names_the_place(root: Path) -> None:
    with pytest.raises(StorageError, match=f"{root}.*No space left.*TMPDIR"), working_directory():
        raise OSError(28, "No space left on device")
