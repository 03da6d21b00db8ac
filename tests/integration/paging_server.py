"""An HTTP server that pages through as many keys as it is told to, as S3 does, holding none."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

_ITEM = (
    "<Contents><Key>{prefix}{number:08}.mp4</Key><LastModified>2026-01-01T00:00:00.000Z"
    "</LastModified><ETag>&quot;{number:032x}&quot;</ETag><Size>{number}</Size></Contents>"
)
_PAGE = (
    '<?xml version="1.0" encoding="UTF-8"?><ListBucketResult>'
    "<IsTruncated>{truncated}</IsTruncated>{token}{items}</ListBucketResult>"
)


class PagingServer:
    """Answers `list_objects_v2`; `pages` counts the answers."""

    def __init__(self, num_keys: int) -> None:
        self.num_keys = num_keys
        self.pages = 0
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                data = server.page(parse_qs(urlsplit(self.path).query))
                self.send_response(200)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.endpoint_url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def page(self, query: dict[str, list[str]]) -> bytes:
        self.pages += 1
        start = int(query.get("continuation-token", ["0"])[0])
        end = min(start + int(query.get("max-keys", ["1000"])[0]), self.num_keys)
        prefix = query.get("prefix", [""])[0]
        items = (_ITEM.format(prefix=prefix, number=number) for number in range(start, end))
        is_last = end == self.num_keys
        return _PAGE.format(
            truncated=str(not is_last).lower(),
            token="" if is_last else f"<NextContinuationToken>{end}</NextContinuationToken>",
            items="".join(items),
        ).encode()
