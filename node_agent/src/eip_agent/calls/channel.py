"""One kept HTTP connection to one server, with bounded time and told-apart failures.

What is said over it (AWS's JSON calls, the metadata service) lives in `aws` and `metadata`.
"""

from __future__ import annotations

import errno
import functools
import http.client
import itertools
import socket
import ssl
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from eip_agent.calls.ways import source_towards

NO_WAY = ("dns", "connect", "tls")
"""Kinds of failure by which a server was not reached at all."""

_ADDRESSES_PER_FAMILY = 2


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
    `read_seconds` between its parts. `server_date` is the date of the last answer, `peer` the
    address that it came from.

    A kept connection may be dead without a word: EC2 takes the public address away that it was
    made from. So one is not used again after that is known (`drop_ipv4`), nor from an address
    that this machine no longer has; and where the other side's kernel does not acknowledge what
    was sent for `connect_seconds`, the request is sent again over a new one. A server that is only
    slow does acknowledge.
    """

    def __init__(
        self,
        url: str,
        connect_seconds: float,
        read_seconds: float,
        family: int = socket.AF_UNSPEC,
    ) -> None:
        parts = urlsplit(url)
        self.host, self._name = parts.netloc, parts.hostname or ""
        self.server_date, self.peer = "", ""
        self._connect_seconds = connect_seconds
        self._read_seconds = read_seconds
        self._family = family
        self._ipv4_left = False
        self._is_secure = parts.scheme == "https"
        if self._is_secure:
            self._connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                parts.netloc, context=_trust()
            )
        else:
            self._connection = http.client.HTTPConnection(parts.netloc)

    def drop_ipv4(self) -> None:
        """Has the next request not use a connection over IPv4 again; from any thread."""
        self._ipv4_left = True

    def request(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]
    ) -> tuple[int, bytes]:
        """Status and body of the answer.

        Raises:
            ExchangeError: there was no answer in time.
        """
        self._drop_what_is_dead()
        kept = self._connection.sock is not None
        try:
            return self._exchange(method, path, body, headers)
        except OSError as error:
            self._connection.close()
            if not kept:
                raise ExchangeError("connection", _told(error)) from error
        # A connection that we kept had ended meanwhile: that is no failure of this call.
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
        except OSError as error:
            # A time-out with a number is the kernel's: nothing of what was sent has arrived.
            if not isinstance(error, socket.timeout) or error.errno == errno.ETIMEDOUT:
                raise
            self._connection.close()
            text = f"{self.host} did not answer within {self._read_seconds:g} s"
            raise ExchangeError("timeout", text) from error
        except http.client.HTTPException as error:
            self._connection.close()
            raise ExchangeError("connection", _told(error)) from error

    def _drop_what_is_dead(self) -> None:
        left, self._ipv4_left = self._ipv4_left, False
        sock = self._connection.sock
        if sock is None:
            return
        try:
            peer, own = sock.getpeername(), str(sock.getsockname()[0]).partition("%")[0]
        except OSError:  # it was reset
            self._connection.close()
            return
        family = sock.family
        if (left and family == socket.AF_INET) or source_towards(family, peer) != own:
            self._connection.close()

    def _connect(self) -> None:
        try:
            self._connection.sock = self._open()
            self.peer = str(self._connection.sock.getpeername()[0])
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
        self._connection.sock.settimeout(self._read_seconds)

    def _open(self) -> socket.socket:
        """A new connection, to the first of a few addresses that takes one.

        Raises:
            OSError: none does; the last one's error.
        """
        port = self._connection.port
        found = socket.getaddrinfo(self._name, port, self._family, socket.SOCK_STREAM)
        trouble: OSError = OSError("the name has no address")
        for family, _type, protocol, _name, address in _few(found):
            sock = socket.socket(family, socket.SOCK_STREAM, protocol)
            try:
                return self._greet(sock, address)
            except OSError as error:
                sock.close()
                trouble = error
        raise trouble

    def _greet(self, sock: socket.socket, address: Any) -> socket.socket:
        sock.settimeout(self._connect_seconds)
        # A request is small and answered at once: do not let Nagle's algorithm hold it back.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            milliseconds = int(self._connect_seconds * 1000)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)
        sock.connect(address)
        return _trust().wrap_socket(sock, server_hostname=self._name) if self._is_secure else sock


def _few(found: list[Any]) -> list[Any]:
    """A name's first addresses of each family, in the resolver's order.

    A name may have eight, and each one that is dead costs a time-out.
    """
    seen = {family: itertools.count() for family in {entry[0] for entry in found}}
    return [entry for entry in found if next(seen[entry[0]]) < _ADDRESSES_PER_FAMILY]


@functools.lru_cache(maxsize=1)
def _trust() -> ssl.SSLContext:
    """The system's certificate authorities, loaded once: they take 2 MB."""
    return ssl.create_default_context()


def _told(error: BaseException) -> str:
    return str(getattr(error, "strerror", None) or error or type(error).__name__)
