"""An HTTP proxy that answers in a server's stead with errors, or lets a request wait for ever."""

import http.client
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal
from urllib.parse import parse_qs, urlsplit

Fault = Literal["500", "503", "slow down", "lost request", "lost answer"]

_ANSWERS = {
    "500": (500, "InternalError", "We encountered an internal error."),
    "503": (503, "ServiceUnavailable", "Service is unable to handle request."),
    "slow down": (503, "SlowDown", "Please reduce your request rate."),
}
_HOP_BY_HOP = ("connection", "expect", "keep-alive", "transfer-encoding", "content-length")


class FaultyProxy:
    """Forwards to a port of this machine; `fault_of(request, number)` chooses what goes wrong.

    `request` is the method with the kind of request ("PUT part", "GET list", "GET"), `number` how
    often this very request (method, path, query) came, from 1.
    """

    def __init__(self, upstream: int) -> None:
        self.upstream = upstream
        self.fault_of: Callable[[str, int], Fault | None] = lambda request, number: None
        self.seen: dict[tuple[str, str], list[float]] = {}
        """When each request came, by method and target."""
        self.faults: list[tuple[str, Fault]] = []
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()
        self.closed = threading.Event()

    def close(self) -> None:
        self.closed.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def choose(self, method: str, target: str) -> Fault | None:
        with self._lock:
            times = self.seen.setdefault((method, target), [])
            times.append(time.monotonic())
            fault = self.fault_of(_kind(method, target), len(times))
            if fault is not None:
                self.faults.append((_kind(method, target), fault))
            return fault

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_one_request(self) -> None:
                try:
                    super().handle_one_request()
                except OSError:
                    self.close_connection = True

            def _forward(self) -> None:
                _serve(self, proxy)

            do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _forward  # noqa: N815 - by the base

            def log_message(self, *_: object) -> None:
                pass

        return Handler


def _kind(method: str, target: str) -> str:
    query = parse_qs(urlsplit(target).query, keep_blank_values=True)
    kinds = {
        "partNumber": "part",
        "list-type": "list",
        "versions": "versions",
        "uploads": "uploads",
        "uploadId": "upload",
        "versionId": "version",
    }
    named = [kind for name, kind in kinds.items() if name in query]
    return " ".join([method, *named[:1]])


def _serve(handler: BaseHTTPRequestHandler, proxy: FaultyProxy) -> None:
    body = handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
    fault = proxy.choose(handler.command, handler.path)
    if fault in _ANSWERS:
        _refuse(handler, fault)
        return
    if fault == "lost request":
        _hang(handler, proxy)
        return
    upstream = http.client.HTTPConnection("127.0.0.1", proxy.upstream, timeout=60)
    headers = {k: v for k, v in handler.headers.items() if k.lower() not in _HOP_BY_HOP}
    upstream.request(handler.command, handler.path, body=body, headers=headers)
    answer = upstream.getresponse()
    data = answer.read()
    upstream.close()
    if fault == "lost answer":
        _hang(handler, proxy)
        return
    handler.send_response(answer.status)
    for name, value in answer.getheaders():
        if name.lower() not in _HOP_BY_HOP:
            handler.send_header(name, value)
    length = answer.getheader("Content-Length") if handler.command == "HEAD" else str(len(data))
    handler.send_header("Content-Length", length or "0")
    handler.end_headers()
    handler.wfile.write(data)


def _refuse(handler: BaseHTTPRequestHandler, fault: str) -> None:
    status, code, message = _ANSWERS[fault]
    text = f'<?xml version="1.0"?><Error><Code>{code}</Code><Message>{message}</Message></Error>'
    data = b"" if handler.command == "HEAD" else text.encode()
    handler.send_response(status)
    handler.send_header("Content-Type", "application/xml")
    handler.send_header("Content-Length", str(len(data)))
    handler.end_headers()
    handler.wfile.write(data)


def _hang(handler: BaseHTTPRequestHandler, proxy: FaultyProxy) -> None:
    """Say nothing until the client has given up, or the test is over."""
    proxy.closed.wait(3)
    handler.close_connection = True
