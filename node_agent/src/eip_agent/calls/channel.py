"""One kept HTTP connection to one server, with bounded time and told-apart failures.

What is said over it (AWS's JSON calls, the metadata service) lives in `aws` and `metadata`.
"""

from __future__ import annotations

import functools
import http.client
import socket
import ssl
from collections.abc import Mapping
from urllib.parse import urlsplit


class ExchangeError(Exception):
    """A call that brought no usable answer; `kind` is a short name for why.

    Kinds: `dns`, `connect`, `timeout`, `connection`, `tls`, and for answers `throttled`, `http`,
    `refused`, `credentials`.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(f"{kind}: {message}")
        self.kind = kind


class Channel:
    """Requests to one server over one connection that is kept; for one thread at a time.

    Establishing a connection takes at most `connect_seconds` per address, an answer at most
    `read_seconds` between its parts. `server_date` is the date of the last answer.
    """

    def __init__(self, url: str, connect_seconds: float, read_seconds: float) -> None:
        parts = urlsplit(url)
        self.host = parts.netloc
        self.server_date = ""
        self._connect_seconds = connect_seconds
        self._read_seconds = read_seconds
        if parts.scheme == "https":
            self._connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                parts.netloc, timeout=connect_seconds, context=_trust()
            )
        else:
            self._connection = http.client.HTTPConnection(parts.netloc, timeout=connect_seconds)

    def request(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]
    ) -> tuple[int, bytes]:
        """Status and body of the answer.

        Raises:
            ExchangeError: there was no answer in time.
        """
        kept = self._connection.sock is not None
        try:
            return self._exchange(method, path, body, headers)
        except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError) as error:
            self._connection.close()
            if not kept:
                raise ExchangeError("connection", _told(error)) from error
        # The server had closed a connection that we kept: that is no failure of this call.
        try:
            return self._exchange(method, path, body, headers)
        except (http.client.HTTPException, OSError) as error:
            self._connection.close()
            raise ExchangeError("connection", _told(error)) from error

    def _exchange(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]
    ) -> tuple[int, bytes]:
        if self._connection.sock is None:
            self._connect()
        try:
            self._connection.request(method, path, body=body, headers=dict(headers))
            answer = self._connection.getresponse()
            self.server_date = answer.getheader("Date", "")
            return answer.status, answer.read()
        except socket.timeout as error:
            self._connection.close()
            text = f"{self.host} did not answer within {self._read_seconds:g} s"
            raise ExchangeError("timeout", text) from error
        except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
            raise
        except (http.client.HTTPException, OSError) as error:
            self._connection.close()
            raise ExchangeError("connection", _told(error)) from error

    def _connect(self) -> None:
        try:
            self._connection.connect()
        except socket.gaierror as error:
            raise ExchangeError("dns", f"{self.host}: {error.strerror}") from error
        except socket.timeout as error:
            text = f"{self.host} took no connection within {self._connect_seconds:g} s"
            raise ExchangeError("connect", text) from error
        except ssl.SSLError as error:
            self._connection.close()
            raise ExchangeError("tls", f"{self.host}: {_told(error)}") from error
        except OSError as error:
            raise ExchangeError("connect", f"{self.host}: {_told(error)}") from error
        # A request is small and answered at once: do not let Nagle's algorithm hold it back.
        self._connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._connection.sock.settimeout(self._read_seconds)


@functools.lru_cache(maxsize=1)
def _trust() -> ssl.SSLContext:
    """The system's certificate authorities, loaded once: they take 2 MB."""
    return ssl.create_default_context()


def _told(error: BaseException) -> str:
    return str(getattr(error, "strerror", None) or error or type(error).__name__)
