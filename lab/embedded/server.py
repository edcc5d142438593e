"""The one HTTP endpoint of the embedded AWS: reads calls, meets faults, keeps the journal.

What an operation does lives elsewhere; a `Dispatch` answers. HTTP/1.1 with kept-alive connections,
as AWS's own endpoints, because every connection set-up would be measured as the project's latency.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import http.server
import select
import socket
import socketserver
import struct
import sys
import threading
import time
import traceback
from typing import TYPE_CHECKING

from lab.embedded.faults import FaultSwitch
from lab.embedded.journal import Call, Journal
from lab.embedded.wire import (
    Reply,
    Request,
    WireError,
    error_reply,
    guess_protocol,
    outcome_of,
    parse_request,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Dispatch = Callable[[Request], Reply]

_POLL_SECONDS = 0.1
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class PortError(Exception):
    """A port that somebody asked for cannot be had; the message is for them."""


@contextlib.contextmanager
def listening(bind: str, port: int) -> Iterator[None]:
    """Says in one line why it cannot be listened there."""
    try:
        yield
    except OSError as error:
        known = {errno.EADDRINUSE: "is in use already", errno.EACCES: "is for root alone"}
        why = known.get(error.errno or 0, f"cannot be had: {error.strerror}")
        raise PortError(f"port {port} of {bind} {why}; choose another one") from error


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    """Serves AWS API calls on one address until `close()`."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(
        self, bind: str, port: int, dispatch: Dispatch, journal: Journal, faults: FaultSwitch
    ) -> None:
        with listening(bind, port):
            super().__init__((bind, port), _Handler)
        self.dispatch = dispatch
        self.journal = journal
        self.faults = faults
        self.closing = threading.Event()
        self._thread = threading.Thread(
            target=self.serve_forever, args=(_POLL_SECONDS,), name="embedded-aws", daemon=True
        )

    def server_bind(self) -> None:
        """Bind without HTTPServer's reverse name look-up, which can hang without a network."""
        socketserver.TCPServer.server_bind(self)
        host, self.server_port = self.server_address[:2]
        self.server_name = str(host)

    @property
    def url(self) -> str:
        """The endpoint's URL."""
        return f"http://{self.server_name}:{self.server_port}"

    def start(self) -> None:
        """Serve on a thread of its own."""
        self._thread.start()

    def close(self) -> None:
        """Stop serving and let hanging calls go."""
        self.closing.set()
        self.shutdown()
        self.server_close()

    def handle_error(self, request: object, client_address: object) -> None:
        """Say what broke, unless it is only a client that went away."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # one packet for an answer instead of one for each header
    server: Server

    def setup(self) -> None:
        """Note when the connection was opened."""
        self.opened_at = time.monotonic()
        super().setup()

    def log_message(self, *_args: object) -> None:
        """Stay silent: the journal is the log."""

    def _answer(self) -> None:
        arrived, wall = time.monotonic(), time.time()
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        request: Request | None = None
        outcome = ""
        reply: Reply | None
        try:
            request = parse_request(self.command, self.path, headers, body)
            reply, outcome = self._carry_out(request)
        except WireError as error:
            protocol = request.protocol if request else guess_protocol(headers)
            reply = error_reply(protocol, error.code, error.message, error.status)
        except Exception:  # noqa: BLE001 - the top of a thread: what broke must become an answer
            text = traceback.format_exc()
            print(f"embedded AWS failed inside {request}:\n{text}", file=sys.stderr)
            protocol = request.protocol if request else guess_protocol(headers)
            reply = error_reply(protocol, "EmbeddedAwsBroke", text[-2000:], 500)
        call = Call(
            at=arrived,
            wall=wall,
            seconds=time.monotonic() - arrived,
            principal=request.principal if request else "?",
            service=request.service if request else "?",
            operation=request.operation if request else f"{self.command} {self.path}",
            outcome=outcome or (outcome_of(reply) if reply else "?"),
        )
        self.server.journal.append(call)
        if reply is None:
            self._reset()
        else:
            self._send(reply)

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = _answer  # noqa: N815 - http.server's names

    def _carry_out(self, request: Request) -> tuple[Reply | None, str]:
        """Do the call under the fault it meets; no reply means: reset the connection."""
        if self.server.faults.is_broken(request.principal, self.opened_at):
            self._hang(threading.Event())
            return None, "fault:dead connection"
        fault = self.server.faults.take(request.principal, request.service, request.operation)
        if fault is None:
            return self.server.dispatch(request), ""
        told = f"fault:{fault.mode}"
        if fault.mode == "slow":
            fault.ended.wait(fault.seconds)
            return self.server.dispatch(request), ""
        if fault.mode == "lost_reply":
            return None, f"{told}:{outcome_of(self.server.dispatch(request))}"
        if fault.mode in {"error", "throttle"}:
            code, status = fault.answer_to(request.service)
            reply = error_reply(request.protocol, code, "A fault set by the lab.", status)
            if fault.retry_after_ms is not None:
                pause = {"x-amz-retry-after": str(fault.retry_after_ms)}
                reply = dataclasses.replace(reply, headers={**reply.headers, **pause})
            return reply, f"{told}:{code}"
        if fault.mode == "blackhole":
            self._hang(fault.ended)
        return None, told

    def _hang(self, ended: threading.Event) -> None:
        """Wait until the client gives up, the fault ends or the server closes."""
        heard = select.poll()
        heard.register(self.connection, select.POLLIN)
        while not ended.is_set() and not self.server.closing.is_set():
            if heard.poll(_POLL_SECONDS * 1000):
                with contextlib.suppress(ConnectionError):
                    if self.connection.recv(1, socket.MSG_PEEK):
                        time.sleep(_POLL_SECONDS)
                        continue
                return

    def _reset(self) -> None:
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        # socketserver would shut the connection down in good order; closing it here resets it.
        self.rfile.close()
        self.wfile.close()
        self.connection.close()
        raise ConnectionAbortedError("reset by a fault")  # so that http.server lets go of it

    def _send(self, reply: Reply) -> None:
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            if name.lower() not in {"content-length", "date", "server", "connection"}:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(reply.body)
        self.wfile.flush()
