"""Which roots are taken, and what is said of the others."""

from pathlib import Path

import pytest

from videogen.config.sections import StorageConfig
from videogen.errors import ConfigError, StorageError
from videogen.storage.connect import open_store
from videogen.storage.credentials import Credentials
from videogen.storage.s3 import S3Store
from videogen.storage.s3_errors import Place, missing_bucket


def test_a_directory_is_served_by_its_absolute_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))

    assert open_store(StorageConfig(root="sub/dir")).root == str(tmp_path / "sub" / "dir")
    assert open_store(StorageConfig(root="~/dir")).root == str(tmp_path / "home" / "dir")


@pytest.mark.parametrize(
    ("root", "said"),
    [
        (None, "not set"),
        ("", "not set"),
        ("gs://bucket/prefix", "unknown kind"),
        ("s3://", "no S3 bucket"),
        ("s3://ab", "no S3 bucket"),
        ("s3:///prefix", "no S3 bucket"),
        ("s3://Upper_case/prefix", "no S3 bucket"),
    ],
)
def test_a_root_that_is_none_is_a_config_error(root: str | None, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        open_store(StorageConfig(root=root))


def test_a_prefix_that_leads_out_is_refused() -> None:
    with pytest.raises(StorageError, match=r"'\.\.'"):
        S3Store("s3://bucket/a/../b", credentials=Credentials("a", "b"))


@pytest.mark.parametrize(
    ("root", "spelled"),
    [
        ("s3://bucket", "s3://bucket"),
        ("s3://bucket/", "s3://bucket"),
        ("s3://bucket/a/b/", "s3://bucket/a/b"),
    ],
)
def test_an_s3_root_has_one_spelling(root: str, spelled: str) -> None:
    assert S3Store(root, credentials=Credentials("a", "b")).root == spelled


def test_a_bucket_that_is_missing_may_be_one_of_sources() -> None:
    told = str(missing_bucket(Place("s3://footage", "footage", "http://127.0.0.1:1")))
    assert "no bucket 'footage' at http://127.0.0.1:1" in told
    assert "storage.root" not in told
