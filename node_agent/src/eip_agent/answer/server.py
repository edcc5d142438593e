"""The local socket: one JSON line in, one JSON line out, then the connection ends.

Who may ask is decided by the kernel's word on the peer. What is asked is answered by the agent.
"""

from __future__ import annotations

import grp
import json
import os
import pwd
import select
import socket
import struct
import threading
from collections.abc import Mapping
from typing import Any, Callable

_MAX_LINE = 4096
_ASK_SECONDS = 2.0
_MAX_CONNECTIONS = 32
_SO_PEERGROUPS = 59  # Linux 4.13 and later; Python has no name for it
_MAX_GROUPS = 256  # as many as Python reads at once

Alive = Callable[[], bool]
Handler = Callable[[Mapping[str, Any], Alive], Mapping[str, Any]]


class LocalServer(threading.Thread):
    """Listens on a unix socket and answers each connection in a thread of its own."""

    def __init__(self, path: str, handle: Handler, say: Callable[..., None]) -> None:
        super().__init__(name="server", daemon=True)
        self._reply_to, self._say = handle, say
        self._slots = threading.BoundedSemaphore(_MAX_CONNECTIONS)
        self._uids, self._gids = _allowed()
        if os.path.exists(path):
            os.unlink(path)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(path)
        # The service runs with group haclient, as Pacemaker's alert agents do.
        os.chmod(path, 0o660)
        self._listener.listen(_MAX_CONNECTIONS)

    def run(self) -> None:
        """The thread."""
        while True:
            connection, _ = self._listener.accept()
            if self._slots.acquire(blocking=False):
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()
            else:
                connection.close()

    def _serve(self, connection: socket.socket) -> None:
        try:
            with connection:
                connection.settimeout(_ASK_SECONDS)
                reply = self._answer(connection)
                connection.sendall(json.dumps(reply, separators=(",", ":")).encode() + b"\n")
        except OSError:
            pass  # the asker went away; what it asked for is done or given up
        finally:
            self._slots.release()

    def _answer(self, connection: socket.socket) -> Mapping[str, Any]:
        if not self._may_ask(connection):
            return {"outcome": "error", "reason": "only root and the cluster's users may ask"}
        line = b""
        while not line.endswith(b"\n") and len(line) < _MAX_LINE:
            part = connection.recv(_MAX_LINE)
            if not part:
                break
            line += part
        try:
            request = json.loads(line)
        except (ValueError, RecursionError):
            request = None
        if not isinstance(request, dict):
            return {"outcome": "error", "reason": "the request is not one line of JSON"}
        try:
            return self._reply_to(request, lambda: not _hung_up(connection))
        except Exception as error:  # noqa: BLE001 - whoever asks gets an answer, whatever fails here
            reason = f"{type(error).__name__}: {error}"[:200]
            self._say("A request could not be answered", op=request.get("op"), reason=reason)
            return {"outcome": "error", "reason": reason}

    def _may_ask(self, connection: socket.socket) -> bool:
        raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        _, uid, gid = struct.unpack("3i", raw)
        return uid in self._uids or not self._gids.isdisjoint({gid, *_groups(connection)})


def _groups(connection: socket.socket) -> tuple[int, ...]:
    """The peer's supplementary groups by the kernel's word; none where it does not tell."""
    try:
        raw = connection.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, _MAX_GROUPS * 4)
    except OSError:
        return ()
    return struct.unpack(f"{len(raw) // 4}I", raw)


def _hung_up(connection: socket.socket) -> bool:
    readable, _, _ = select.select([connection], [], [], 0)
    try:
        return bool(readable) and not connection.recv(1, socket.MSG_PEEK)
    except OSError:
        return True


def _allowed() -> tuple[frozenset[int], frozenset[int]]:
    uids, gids = {0, os.getuid()}, set()
    try:
        uids.add(pwd.getpwnam("hacluster").pw_uid)
        gids.add(grp.getgrnam("haclient").gr_gid)
    except KeyError:
        pass  # no Pacemaker is installed: only root and our own user ask
    return frozenset(uids), frozenset(gids)
