"""Which nodes Corosync's links reach right now, long before the membership says so.

Reads only: by Corosync's own library where it is installed, otherwise by `corosync-cfgtool -n`.
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Iterable, Mapping, Sequence

from eip_agent.calls.commands import run

_CS_OK = 1
_CS_GONE = (2, 5, 9)
"""CS_ERR_LIBRARY, CS_ERR_TIMEOUT and CS_ERR_BAD_HANDLE: this connection is of no more use."""

_NODE_STATUS_V1 = 1
_REACHABLE_OFFSET = 8
_NODE_STATUS_BYTES = 8192
"""`struct corosync_cfg_node_status_v1` of corosync/cfg.h: version (4), nodeid (4), reachable (1),
and up to 4,176 bytes in all; the buffer leaves room for a later version of the structure."""

_NODE_LINE = re.compile(r"^nodeid: *([0-9]+):? +(.*)$", re.MULTILINE)


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
        """Reachability by node id, or None when Corosync does not answer here."""
        if self._handle is None:
            handle = ctypes.c_uint64()
            if self._cfg.corosync_cfg_initialize(ctypes.byref(handle), None) != _CS_OK:
                return None
            self._handle = handle
        reachable = {}
        for node_id in node_ids:
            answer = self._cfg.corosync_cfg_node_status_get(
                self._handle, node_id, _NODE_STATUS_V1, self._buffer
            )
            if answer in _CS_GONE:
                self._cfg.corosync_cfg_finalize(self._handle)
                self._handle = None
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
        """Reachability by node id, or None when Corosync does not answer here."""
        text = run(self._command, self._timeout_seconds)
        if "Local node ID" not in text:
            return None
        shown = parse_cfgtool(text)
        # The tool leaves out a node that it cannot reach.
        return {node_id: shown.get(node_id, False) for node_id in node_ids}


def parse_cfgtool(text: str) -> dict[int, bool]:
    """Reachability by node id from the output of `corosync-cfgtool -n`."""
    return {int(node): words.split()[0] == "reachable" for node, words in _NODE_LINE.findall(text)}
