"""Which nodes Corosync's links reach right now, long before the membership says so.

Reads only: by Corosync's own library where it is installed, otherwise by `corosync-cfgtool -n`.
"""

from __future__ import annotations

import ctypes
import re
import socket
from collections.abc import Iterable, Mapping, Sequence

from eip_agent.calls.commands import ended

_CS_OK = 1
_CS_NOBODY = (2, 12)
"""CS_ERR_LIBRARY and CS_ERR_NOT_EXIST, to a new connection: nobody may listen. Any other error, as
CS_ERR_TRY_AGAIN of a Corosync that is busy, says nothing of the kind."""

_SOCKETS = (b"\0cfg".ljust(108, b"\0"), b"/run/cfg")
"""Where Corosync listens for the library, by libqb's default and with its socket files."""

_CS_LOST = (2, 5, 9)
"""CS_ERR_LIBRARY, CS_ERR_TIMEOUT and CS_ERR_BAD_HANDLE: this connection is of no more use."""

_NODE_STATUS_V1 = 1
_REACHABLE_OFFSET = 8
_NODE_STATUS_BYTES = 8192
"""`struct corosync_cfg_node_status_v1` of corosync/cfg.h: version (4), nodeid (4), reachable (1),
and up to 4,176 bytes in all; the buffer leaves room for a later version of the structure."""

_NOBODY = re.compile(r"error (?:2|CS_ERR_LIBRARY)\b")
_NODE_LINE = re.compile(r"^nodeid: *([0-9]+):? +(.*)$", re.MULTILINE)


class NoReadingError(Exception):
    """Corosync could not be asked, which is no word about its links, nor that it is gone."""


def nobody_listens(sockets: Iterable[bytes] = _SOCKETS) -> bool:
    """Whether no Corosync takes a connection here, and the kernel says so.

    The library and the tools give the same error for much else, as for a full /dev/shm, where
    Corosync goes on as before; and so does all that asks Pacemaker.
    """
    for address in sockets:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as channel:
            channel.settimeout(1.0)
            try:
                channel.connect(address)
            except (ConnectionRefusedError, FileNotFoundError):
                continue
            except OSError:
                return False
            return False
    return True


class LibraryLinks:
    """Asks Corosync through libcfg; one call per node costs some microseconds.

    Raises:
        OSError: at construction, when the library is not installed.
    """

    def __init__(self) -> None:
        self._cfg = ctypes.CDLL("libcfg.so.7")
        self._cfg.corosync_cfg_finalize.argtypes = [ctypes.c_uint64]
        self._cfg.corosync_cfg_node_status_get.argtypes = [
            ctypes.c_uint64,
            ctypes.c_uint,
            ctypes.c_int,
            ctypes.c_void_p,
        ]
        self._handle: ctypes.c_uint64 | None = None
        self._buffer = ctypes.create_string_buffer(_NODE_STATUS_BYTES)

    def read(self, node_ids: Iterable[int]) -> Mapping[int, bool] | None:
        """Reachability by node id, or None when Corosync is not there.

        Raises:
            NoReadingError: it is not known what Corosync would say.
        """
        if self._handle is not None:
            reachable = self._ask(self._handle, node_ids)
            if reachable is not None:
                return reachable
            # The connection is lost: whether Corosync is, a new one tells.
            self._cfg.corosync_cfg_finalize(self._handle)
            self._handle = None
        handle = ctypes.c_uint64()
        answer = self._cfg.corosync_cfg_initialize(ctypes.byref(handle), None)
        if answer in _CS_NOBODY and nobody_listens():
            return None
        if answer != _CS_OK:
            raise NoReadingError(f"Corosync takes no connection (error {answer})")
        self._handle = handle
        reachable = self._ask(handle, node_ids)
        if reachable is None:
            raise NoReadingError("Corosync does not answer over a new connection")
        return reachable

    def _ask(self, handle: ctypes.c_uint64, node_ids: Iterable[int]) -> dict[int, bool] | None:
        """Reachability by node id, or None when the connection is of no more use."""
        reachable = {}
        for node_id in node_ids:
            answer = self._cfg.corosync_cfg_node_status_get(
                handle, node_id, _NODE_STATUS_V1, self._buffer
            )
            if answer in _CS_LOST:
                return None
            # Any other error is about this one node, a Pacemaker Remote node for example.
            if answer == _CS_OK:
                reachable[node_id] = self._buffer[_REACHABLE_OFFSET] != b"\0"
        return reachable


class CommandLinks:
    """Asks Corosync through `corosync-cfgtool -n`, a process per question."""

    def __init__(self, command: Sequence[str], timeout_seconds: float = 2.0) -> None:
        self._command = [*command, "-n"]
        self._timeout_seconds = timeout_seconds

    def read(self, node_ids: Iterable[int]) -> Mapping[int, bool] | None:
        """Reachability by node id, or None when the tool says that Corosync is not there.

        Raises:
            NoReadingError: the tool could not be run, was too slow or says something else.
        """
        done = ended(self._command, self._timeout_seconds, with_errors=True)
        if done.status is None or "Local node ID" not in done.output:
            if done.status is not None and _NOBODY.search(done.output) and nobody_listens():
                return None
            raise NoReadingError(" ".join(done.output.split())[:200] or "the tool prints nothing")
        shown = parse_cfgtool(done.output)
        # The tool leaves out a node that it cannot reach.
        return {node_id: shown.get(node_id, False) for node_id in node_ids}


def parse_cfgtool(text: str) -> dict[int, bool]:
    """Reachability by node id from the output of `corosync-cfgtool -n`."""
    return {int(node): words.split()[0] == "reachable" for node, words in _NODE_LINE.findall(text)}
