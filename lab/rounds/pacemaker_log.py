"""What Pacemaker's own log on each node says that it did with the resource.

`crm_mon` shows a moment; the log has every operation that was begun and how it ended, and outlives
a loss of power. A line's time is the machine's local time to the millisecond, without a year.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path

from lab.rounds.facts import Operation

_AT = r"^(?P<at>\w{3} +\d+ \d\d:\d\d:\d\d\.\d+) \S+ pacemaker-"
_BEGUN = re.compile(_AT + r"execd .*executing - rsc:(?P<rsc>\S+) action:(?P<action>\w+) ")
_ENDED = re.compile(
    _AT + r"controld .*Result of (?P<action>\w+) operation for (?P<rsc>\S+) on \S+: (?P<how>[^|]*)"
    r"(?:.*\brc=(?P<rc>\d+))?"
)
NO_RESULT = -1
"""The result of an operation that timed out or was lost."""


class PacemakerLogs:
    """The logs of all nodes, each read on from where the last look at it ended."""

    def __init__(self, files: Mapping[str, Path]) -> None:
        self._files = files
        self._read: dict[str, int] = dict.fromkeys(files, 0)

    def news(self, resource: str) -> list[Operation]:
        """The operations on a resource that were logged since the last look, in order."""
        found: list[Operation] = []
        for node, path in self._files.items():
            if not path.exists():
                continue
            with path.open("rb") as log:
                log.seek(self._read[node])
                # A line that is still being written is read next time.
                whole = log.read().rpartition(b"\n")[0] + b"\n"
            self._read[node] += len(whole) if len(whole) > 1 else 0
            found += operations(whole.decode(errors="replace").splitlines(), node, resource)
        return sorted(found, key=lambda operation: operation.at)


def operations(lines: Iterable[str], node: str, resource: str) -> Iterator[Operation]:
    """The operations in these lines of a node's log; cancelled ones never ran."""
    for line in lines:
        begun, ended = _BEGUN.match(line), _ENDED.match(line)
        if begun and begun["rsc"] == resource:
            yield Operation(_monotonic(begun["at"]), node, begun["action"], None)
        if ended and ended["rsc"] == resource and not ended["how"].startswith("Cancelled"):
            rc = int(ended["rc"]) if ended["rc"] else NO_RESULT
            yield Operation(_monotonic(ended["at"]), node, ended["action"], rc)


def _monotonic(text: str) -> float:
    """A line's time as `time.monotonic()`; the year is the one in which it lies nearest to now."""
    now = time.time()
    year = time.localtime(now).tm_year
    guesses = [
        datetime.strptime(f"{y} {text}", "%Y %b %d %H:%M:%S.%f").timestamp()  # noqa: DTZ007 - local
        for y in (year - 1, year)
    ]
    wall = min(guesses, key=lambda guess: abs(guess - now))
    return time.monotonic() - (now - wall)
