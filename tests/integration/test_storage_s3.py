"""What only S3 has: lost answers, broken streams, refusals, and messages for people."""

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from videogen.config.sections import StorageConfig
from videogen.errors import ConfigError, PreconditionFailedError, StorageError
from videogen.storage.connect import open_store
from videogen.storage.credentials import Credentials
from videogen.storage.s3 import S3Store

pytestmark = pytest.mark.integration


class Saboteur:
    """Forwards connections to the server, and spoils the answers that it is told to."""

    def __init__(self, upstream: int) -> None:
        self._upstream = upstream
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets: list[socket.socket] = [self._listener]
        self.port = self._listener.getsockname()[1]
        self.answers_to_drop = 0
        self.answers_to_cut = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        for open_socket in self._sockets:
            open_socket.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self._upstream))
            self._sockets += [client, server]
            for source, target, spoil in ((client, server, False), (server, client, True)):
                threading.Thread(
                    target=self._pump, args=(source, target), kwargs={"spoil": spoil}, daemon=True
                ).start()

    def _pump(self, source: socket.socket, target: socket.socket, *, spoil: bool) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                if spoil and not data.startswith(b"HTTP/1.1 100"):
                    if self.answers_to_drop:
                        self.answers_to_drop -= 1
                        break
                    if self.answers_to_cut and len(data) > 2000:
                        self.answers_to_cut -= 1
                        target.sendall(data[:2000])
                        break
                target.sendall(data)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def saboteur(s3_service) -> Iterator[Saboteur]:
    proxy = Saboteur(int(s3_service.endpoint_url.rpartition(":")[2]))
    yield proxy
    proxy.close()


@pytest.fixture
def spoiled(s3_service, s3_store: S3Store, saboteur: Saboteur) -> S3Store:
    """The same prefix as `s3_store`, through the saboteur."""
    return S3Store(
        s3_store.root,
        endpoint_url=f"http://127.0.0.1:{saboteur.port}",
        credentials=s3_service.credentials,
    )


def test_a_conditional_create_whose_answer_was_lost_is_recognised(
    spoiled: S3Store, s3_store: S3Store, saboteur: Saboteur
) -> None:
    saboteur.answers_to_drop = 1

    etag = spoiled.put_if_absent("pointer", b"mine")

    assert saboteur.answers_to_drop == 0
    assert s3_store.get("pointer").data == b"mine"
    assert s3_store.get("pointer").etag == etag


def test_a_conditional_replacement_whose_answer_was_lost_is_recognised(
    spoiled: S3Store, s3_store: S3Store, saboteur: Saboteur
) -> None:
    before = s3_store.put("pointer", b"before")
    saboteur.answers_to_drop = 1

    etag = spoiled.put_if_match("pointer", b"mine", before)

    assert s3_store.get("pointer").etag == etag


def test_a_lost_answer_does_not_turn_a_defeat_into_a_win(
    spoiled: S3Store, s3_store: S3Store, saboteur: Saboteur
) -> None:
    s3_store.put("pointer", b"theirs")
    saboteur.answers_to_drop = 1

    with pytest.raises(PreconditionFailedError):
        spoiled.put_if_absent("pointer", b"mine")
    assert s3_store.get("pointer").data == b"theirs"


def test_a_body_that_breaks_off_is_read_again(
    spoiled: S3Store, s3_store: S3Store, saboteur: Saboteur, tmp_path: Path
) -> None:
    data = bytes(range(256)) * 4096
    s3_store.put("big", data)

    saboteur.answers_to_cut = 2
    assert spoiled.get("big").data == data
    saboteur.answers_to_cut = 1
    assert spoiled.get_range("big", 5, 900_000) == data[5:900_005]
    saboteur.answers_to_cut = 1
    spoiled.download("big", tmp_path / "big")

    assert (tmp_path / "big").read_bytes() == data
    assert saboteur.answers_to_cut == 0


def test_a_body_that_keeps_breaking_off_is_an_error_and_leaves_no_file(
    spoiled: S3Store, s3_store: S3Store, saboteur: Saboteur, tmp_path: Path
) -> None:
    s3_store.put("big", bytes(1 << 20))
    saboteur.answers_to_cut = 1000

    with pytest.raises(StorageError, match="'big'"):
        spoiled.get("big")
    with pytest.raises(StorageError, match="'big'"):
        spoiled.download("big", tmp_path / "big")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "keys", [Credentials("videogen", "not-the-secret"), Credentials("nobody", "not-the-secret")]
)
def test_wrong_keys_are_said_without_the_secret(s3_service, keys: Credentials) -> None:
    store = S3Store(s3_service.root, endpoint_url=s3_service.endpoint_url, credentials=keys)

    for use in (
        lambda: store.get("key"),
        lambda: store.head("key"),
        lambda: store.put("key", b"x"),
        lambda: store.put_if_absent("key", b"x"),
        lambda: list(store.list("")),
        store.check_bucket,
    ):
        with pytest.raises(StorageError) as caught:
            use()
        message = str(caught.value)
        assert "refused access" in message
        assert "AWS_ACCESS_KEY_ID" in message
        assert "\n" not in message
        assert "not-the-secret" not in message
        assert "not-the-secret" not in repr(keys)


def test_a_missing_bucket_is_named(s3_service, tmp_path: Path) -> None:
    store = S3Store(
        "s3://no-such-bucket/prefix",
        endpoint_url=s3_service.endpoint_url,
        credentials=s3_service.credentials,
    )
    (tmp_path / "file").write_bytes(b"x")

    for use in (
        lambda: store.get("key"),
        lambda: store.head("key"),
        lambda: store.put("key", b"x"),
        lambda: store.put_if_absent("key", b"x"),
        lambda: store.upload("key", tmp_path / "file"),
        lambda: store.download("key", tmp_path / "target"),
        lambda: list(store.list("")),
    ):
        with pytest.raises(StorageError, match="no bucket 'no-such-bucket'"):
            use()


def test_an_endpoint_that_does_not_answer_is_named_without_its_password() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    store = S3Store(
        "s3://bucket/prefix",
        endpoint_url=f"http://user:hidden@127.0.0.1:{port}",
        credentials=Credentials("videogen", "secret"),
    )

    with pytest.raises(StorageError) as caught:
        store.get("key")

    message = str(caught.value)
    assert f"cannot reach S3 at http://127.0.0.1:{port}" in message
    assert "storage.endpoint_url" in message
    assert "hidden" not in message
    assert "\n" not in message


def test_a_store_opened_from_a_config_finds_keys_and_endpoint_by_itself(
    s3_storage: StorageConfig,
) -> None:
    assert s3_storage.root is not None
    store = open_store(StorageConfig(root=s3_storage.root + "/"))

    store.put("key", b"x")

    assert store.root == s3_storage.root
    assert open_store(s3_storage).get("key").data == b"x"


def test_prefixes_keep_stores_apart(s3_storage: StorageConfig) -> None:
    root = s3_storage.root
    store, neighbour = (open_store(StorageConfig(root=f"{root}/{name}")) for name in ("a", "ab"))
    store.put("key", b"a")
    neighbour.put("key", b"ab")

    assert [info.key for info in store.list("")] == ["key"]
    assert store.get("key").data == b"a"


def test_no_keys_at_all_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")

    with pytest.raises(StorageError, match="no usable S3 credentials"):
        open_store(StorageConfig(root="s3://bucket", endpoint_url="http://127.0.0.1:9")).get("key")

    monkeypatch.setenv("AWS_PROFILE", "absent")
    with pytest.raises(StorageError, match="absent"):
        open_store(StorageConfig(root="s3://bucket"))


@pytest.mark.parametrize("endpoint_url", ["localhost:1", "not an address", "http://"])
def test_an_endpoint_that_is_no_address_is_a_config_error(endpoint_url: str) -> None:
    with pytest.raises(ConfigError, match="endpoint_url"):
        S3Store("s3://bucket", endpoint_url=endpoint_url, credentials=Credentials("a", "b"))
