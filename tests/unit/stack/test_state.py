"""What is remembered is whole, private, and guarded by a lock."""

import stat
import threading
from pathlib import Path

import pytest

from videogen.config.settings import Settings
from videogen.errors import ServiceError
from videogen.stack import credentials, state
from videogen.stack.processes import ProcessRecord
from videogen.stack.state import ServiceRecord


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(tmp_path / "state", tmp_path / "cache", None, None, None)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_record_is_read_back(tmp_path: Path) -> None:
    record = ServiceRecord({"http": 20010}, ProcessRecord(7, 1.5), kept=True)

    state.remember(tmp_path, "mlflow", record)
    state.remember(tmp_path, "s3", ServiceRecord({"s3": 20000}))

    assert state.load(tmp_path).services["mlflow"] == record
    assert state.load(tmp_path).services["s3"].process is None


def test_records_written_side_by_side_are_all_kept(tmp_path: Path) -> None:
    threads = [
        threading.Thread(target=state.remember, args=(tmp_path, name, ServiceRecord({"a": port})))
        for port, name in enumerate(state.SERVICE_NAMES)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert set(state.load(tmp_path).services) == set(state.SERVICE_NAMES)
    assert not list(tmp_path.glob(".staged-*"))


@pytest.mark.parametrize("content", [b"", b"{", b'{"version": 99}', b"\xff"])
def test_a_file_that_is_no_state_is_named_with_the_mend(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "stack.json").write_bytes(content)

    with pytest.raises(ServiceError, match=r"stack\.json: remove it"):
        state.load(tmp_path)


def test_a_state_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with (
        pytest.raises(ServiceError, match="VIDEOGEN_HOME"),
        state.locked(tmp_path / "file" / "state", "s3"),
    ):
        pass


def test_the_state_directory_is_private(settings: Settings) -> None:
    credentials.ensure_credentials(settings)

    assert mode(credentials.credentials_file(settings)) == 0o600
    assert mode(settings.state_dir / "s3") == 0o700


def test_keys_are_drawn_once_and_at_random(settings: Settings, tmp_path: Path) -> None:
    first = credentials.ensure_credentials(settings)
    other = Settings(tmp_path / "other", tmp_path, None, None, None)

    assert credentials.ensure_credentials(settings) == first
    assert credentials.ensure_credentials(other) != first
    assert len(first.secret_access_key) >= 32


def test_a_damaged_credentials_file_is_named_without_its_content(settings: Settings) -> None:
    credentials.ensure_credentials(settings)
    credentials.credentials_file(settings).write_text("[videogen]\nsecret-looking")

    with pytest.raises(ServiceError) as caught:
        credentials.ensure_credentials(settings)
    assert "s3/credentials" in str(caught.value)
    assert "secret-looking" not in str(caught.value)


@pytest.fixture
def no_aws(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in (
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_PROFILE",
        "AWS_SHARED_CREDENTIALS_FILE",
        "AWS_ENDPOINT_URL",
        "AWS_REGION",
        "AWS_DEFAULT_REGION",
        "AWS_CONFIG_FILE",
        "AWS_CA_BUNDLE",
        "AWS_ENDPOINT_URL_S3",
    ):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def test_keys_of_the_environment_become_a_private_file(
    settings: Settings, no_aws: pytest.MonkeyPatch
) -> None:
    no_aws.setenv("AWS_ACCESS_KEY_ID", "THEKEY")
    no_aws.setenv("AWS_SECRET_ACCESS_KEY", "the%secret")
    no_aws.setenv("AWS_SESSION_TOKEN", "the-token")
    no_aws.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")

    variables = credentials.session_credentials(settings)

    path = Path(variables["AWS_SHARED_CREDENTIALS_FILE"] or "")
    assert mode(path) == 0o600
    assert path.read_text().split() == [
        "[videogen]",
        *("aws_access_key_id", "=", "THEKEY"),
        *("aws_secret_access_key", "=", "the%secret"),
        *("aws_session_token", "=", "the-token"),
    ]
    assert variables["AWS_ACCESS_KEY_ID"] is None
    assert variables["AWS_SESSION_TOKEN"] is None
    assert variables["AWS_ENDPOINT_URL"] == "http://127.0.0.1:1"
    assert not {"the%secret", "the-token", "THEKEY"} & set(variables.values())


def test_a_profile_is_handed_on_as_it_is(settings: Settings, no_aws: pytest.MonkeyPatch) -> None:
    no_aws.setenv("AWS_PROFILE", "work")

    assert credentials.session_credentials(settings) == {"AWS_PROFILE": "work"}
    assert not settings.state_dir.exists()
