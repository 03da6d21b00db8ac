"""Fixtures of the tests of the stage."""

import shutil
from pathlib import Path

import pytest
from ingest_place import pad

from videogen.data.video.synthetic import write_samples
from videogen.progress import silent
from videogen.storage.local import LocalStore


@pytest.fixture(scope="session")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight videos of different sizes, each as large as a group; two clips a video."""
    directory = tmp_path_factory.mktemp("samples")
    for number, path in enumerate(write_samples(directory, 8, 0, silent, size=48, num_frames=40)):
        pad(path, 70_000 + number)
    return directory


@pytest.fixture
def videos(samples: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(samples, tmp_path / "videos"))


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "store")
