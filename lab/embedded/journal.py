"""What happened at the embedded AWS: every API call and every move of an address.

Only facts live here, in the order in which they became true; nothing in here decides anything.
"""

from __future__ import annotations

import dataclasses
import json
import threading
import time
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@dataclasses.dataclass(frozen=True, slots=True)
class Call:
    """One AWS API call, told when it ended.

    `outcome` is "ok", an AWS error code, "FunctionError", "partial:N" (PutEvents with N failed
    entries), or "fault:MODE" where a fault was met.
    """

    at: float
    """`time.monotonic()` when the call arrived, in seconds."""
    wall: float
    """`time.time()` when the call arrived, in seconds."""
    seconds: float
    principal: str
    service: str
    operation: str
    outcome: str


@dataclasses.dataclass(frozen=True, slots=True)
class Move:
    """One change of an Elastic IP's association, as EC2 carried it out."""

    at: float
    wall: float
    principal: str
    operation: str
    """AssociateAddress, DisassociateAddress, ReleaseAddress, TerminateInstances, or Displaced (by
    another address that took the private address)."""
    allocation_id: str
    public_ip: str
    from_interface: str
    from_instance: str
    to_interface: str
    to_instance: str
    to_private_ip: str
    association_id: str


Entry = Call | Move


class Journal:
    """Keeps entries in memory and, when given a path, as JSON lines in a file.

    All methods may be called from any thread.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._lock = threading.Lock()
        self._entries: list[Entry] = []
        self._subscribers: list[Callable[[Entry], None]] = []
        self._file: TextIO | None = path.open("a", buffering=1) if path else None

    def append(self, entry: Entry) -> None:
        """Record an entry and hand it to the subscribers, in order."""
        with self._lock:
            self._entries.append(entry)
            if self._file:
                line = {"kind": type(entry).__name__.lower(), **dataclasses.asdict(entry)}
                self._file.write(json.dumps(line) + "\n")
            subscribers = list(self._subscribers)
        for subscriber in subscribers:
            subscriber(entry)

    def subscribe(self, callback: Callable[[Entry], None]) -> None:
        """Call `callback` with every later entry, on the thread of the call. It must not block."""
        with self._lock:
            self._subscribers.append(callback)

    def calls(
        self,
        *,
        since: float = 0.0,
        principal: str = "*",
        service: str = "*",
        operation: str = "*",
        outcome: str = "*",
    ) -> list[Call]:
        """Return the calls since monotonic `since` that match the shell patterns."""
        with self._lock:
            entries = list(self._entries)
        return [
            e
            for e in entries
            if isinstance(e, Call)
            and e.at >= since
            and fnmatchcase(e.principal, principal)
            and fnmatchcase(e.service, service)
            and fnmatchcase(e.operation, operation)
            and fnmatchcase(e.outcome, outcome)
        ]

    def moves(self, *, since: float = 0.0, allocation_id: str = "*") -> list[Move]:
        """Return the changes of association at or after monotonic `since`."""
        with self._lock:
            entries = list(self._entries)
        return [
            e
            for e in entries
            if isinstance(e, Move) and e.at >= since and fnmatchcase(e.allocation_id, allocation_id)
        ]

    def now(self) -> float:
        """Return the clock that `since` is compared with."""
        return time.monotonic()

    def close(self) -> None:
        """Close the file; later entries stay in memory only."""
        with self._lock:
            if self._file:
                self._file.close()
                self._file = None
