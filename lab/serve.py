"""Serves the dashboard's widget on loopback, from the real function at the embedded AWS."""

from __future__ import annotations

import http.server
import secrets
import threading
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import parse_qs, urlsplit

from lab import widget_page
from lab.embedded.server import listening

if TYPE_CHECKING:
    from lab.embedded.cloud import EmbeddedAws

_LOOPBACK = "127.0.0.1"
_MOST_BYTES = 10_000


class WidgetServer(http.server.ThreadingHTTPServer):
    """One page for one person of this machine.

    Only loopback may ask, under a loopback name, and an order needs the page's own token: another
    page that is open in the same browser must not press a button here.
    """

    daemon_threads = True

    def __init__(self, aws: EmbeddedAws, port: int = 0) -> None:
        with listening(_LOOPBACK, port):
            super().__init__((_LOOPBACK, port), _Handler)
        self.aws = aws
        self.token = secrets.token_urlsafe()
        self._thread = threading.Thread(target=self.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        """Where the page is."""
        return f"http://{_LOOPBACK}:{self.server_address[1]}/"

    def __enter__(self) -> Self:
        """Looks once, since the watch's first minute is still to come, and serves."""
        self.aws.invoke("Watch", {})
        self._thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        """Stops serving."""
        self.shutdown()
        self.server_close()

    def page(self, *, dark: bool) -> str:
        """The widget as it is now."""
        context = {"theme": "dark" if dark else "light"}
        markup = self.aws.invoke("Widget", {"widgetContext": context}).result
        return widget_page.widget(str(markup), self.token, dark=dark)


class _Handler(http.server.BaseHTTPRequestHandler):
    server: WidgetServer

    def log_message(self, *_args: object) -> None:
        """Stays silent: what happens is on the page."""

    def do_GET(self) -> None:
        """The widget."""
        asked = urlsplit(self.path)
        if not self._is_local():
            self._send(403, "only this machine's own page")
        elif asked.path == "/":
            dark = parse_qs(asked.query).get("theme") == ["dark"]
            self._send(200, self.server.page(dark=dark))
        else:
            self._send(404, "no such page")

    def do_POST(self) -> None:
        """The question before an order, and the order."""
        length = min(int(self.headers.get("Content-Length") or 0), _MOST_BYTES)
        sent = parse_qs(self.rfile.read(length).decode("utf-8", "replace"))
        fields: dict[str, str] = {name: values[0] for name, values in sent.items()}
        token, dark = fields.pop("token", ""), fields.pop("theme", "") == "dark"
        if not self._is_local() or not secrets.compare_digest(token, self.server.token):
            self._send(403, "not from this page")
            return
        action = widget_page.Action(
            fields.get("endpoint", ""), fields.get("payload", ""), fields.get("confirmation", "")
        )
        if self.path == "/confirm":
            self._send(200, widget_page.question(action, token, dark=dark))
        elif self.path == "/call":
            self._send(200, widget_page.answer(self._call(action), dark=dark))
        else:
            self._send(404, "no such page")

    def _call(self, action: widget_page.Action) -> Any:
        return self.server.aws.functions.invoke(action.endpoint, action.payload.encode()).result

    def _is_local(self) -> bool:
        """Whether the browser asked for this machine by name, not for a name that leads here."""
        host = self.headers.get("Host", "").rpartition(":")[0]
        return host in {_LOOPBACK, "localhost"}

    def _send(self, status: int, page: str) -> None:
        body = page.encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        # The page needs no script, so that none may run even if a text slipped through.
        policy = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'"
        self.send_header("Content-Security-Policy", policy)
        self.end_headers()
        self.wfile.write(body)
