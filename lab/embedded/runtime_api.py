"""Lambda's Runtime API (2018-06-01), over which the runtime client fetches its work.

https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
"""

from __future__ import annotations

import http.server
import queue
import sys
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Work = tuple[dict[str, str], bytes] | None
"""The headers and the payload of an invocation; None ends the conversation."""


class RuntimeApi(http.server.ThreadingHTTPServer):
    """The Runtime API (2018-06-01) of one environment."""

    daemon_threads = True
    block_on_close = False

    def __init__(
        self,
        work: queue.SimpleQueue[Work],
        news: queue.SimpleQueue[tuple[str, Any]],
    ) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.work = work
        self.news = news
        threading.Thread(target=self.serve_forever, args=(0.5,), daemon=True).start()

    def close(self) -> None:
        """Stop serving."""
        self.shutdown()
        self.server_close()

    def handle_error(self, request: object, client_address: object) -> None:
        """Say what broke, unless it is only a client that was killed."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: RuntimeApi

    def log_message(self, *_args: object) -> None:
        pass

    def do_GET(self) -> None:
        """Serve `invocation/next`: the first one says that the init phase is over."""
        if not hasattr(self.server, "asked"):
            self.server.asked = True  # type: ignore[attr-defined]
            self.server.news.put(("ready", b""))
        work = self.server.work.get()
        if work is None:
            self.close_connection = True
            return
        headers, payload = work
        self._send(200, payload, headers)

    def do_POST(self) -> None:
        """Take a response, an error, or an error of the init phase."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = _read_chunks(self.rfile.readline, self.rfile.read)
        kind = "init_error" if self.path.endswith("/init/error") else self.path.rpartition("/")[2]
        self.server.news.put((kind, body))  # before the answer, after which the process may exit
        self._send(202, b"", {})

    def _send(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()


def _read_chunks(readline: Callable[[], bytes], read: Callable[[int], bytes]) -> bytes:
    body = b""
    while size := int(readline().split(b";")[0], 16):
        body += read(size)
        readline()
    readline()
    return body
