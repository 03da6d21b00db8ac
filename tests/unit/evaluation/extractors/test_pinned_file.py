import hashlib
import threading
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from videogen.errors import EvaluationError
from videogen.evaluation.extractors.pinned_file import fetch_pinned

DATA = bytes(range(256)) * 1000
HASH = hashlib.sha256(DATA).hexdigest()


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(self.path)
        if self.path == "/missing.pt":
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(DATA)))
        self.end_headers()
        self.wfile.write(DATA[:1000] if self.path == "/cut.pt" else DATA)

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as running:
        running.asked = []
        running.url = f"http://127.0.0.1:{running.server_port}"
        thread = threading.Thread(target=partial(running.serve_forever, poll_interval=0.01))
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def test_a_url_is_fetched_once_and_shows_its_progress(server, tmp_path):
    events = []
    path = fetch_pinned(f"{server.url}/model.pt?x=1", HASH, tmp_path / "cache", events.append)
    assert path.read_bytes() == DATA
    assert path.name == f"{HASH}.pt"
    assert (events[-1].done, events[-1].total, events[-1].unit) == (len(DATA), len(DATA), "bytes")
    assert fetch_pinned(f"{server.url}/model.pt?x=1", HASH, tmp_path / "cache") == path
    assert server.asked == ["/model.pt?x=1"]


def test_a_kept_file_that_is_damaged_is_fetched_again(server, tmp_path):
    path = fetch_pinned(f"{server.url}/model.pt", HASH, tmp_path)
    path.write_bytes(b"damaged")
    assert fetch_pinned(f"{server.url}/model.pt", HASH, tmp_path).read_bytes() == DATA


def test_another_hash_is_an_error_that_names_both_and_keeps_nothing(server, tmp_path):
    expected = f"model.pt has sha256 {HASH}, expected {'0' * 64}"
    with pytest.raises(EvaluationError, match=expected):
        fetch_pinned(f"{server.url}/model.pt", "0" * 64, tmp_path)
    assert list(tmp_path.iterdir()) == []
    local = tmp_path / "model.pt"
    local.write_bytes(DATA)
    with pytest.raises(EvaluationError, match=expected):
        fetch_pinned(str(local), "0" * 64, tmp_path)


@pytest.mark.parametrize(("name", "what"), [("missing", "404"), ("cut", "1,000 of 256,000")])
def test_a_download_that_fails_leaves_nothing_and_names_the_url(server, tmp_path, name, what):
    with pytest.raises(EvaluationError, match=f"{name}.pt.*{what}.*give its path"):
        fetch_pinned(f"{server.url}/{name}.pt", HASH, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_local_file_is_used_where_it_lies(tmp_path):
    local = tmp_path / "model.pt"
    local.write_bytes(DATA)
    assert fetch_pinned(str(local), HASH, tmp_path / "cache") == local
    assert not (tmp_path / "cache").exists()


def test_a_missing_local_file_is_named(tmp_path):
    with pytest.raises(EvaluationError, match=r"none.pt: No such file.*every worker"):
        fetch_pinned(str(tmp_path / "none.pt"), HASH, tmp_path)
