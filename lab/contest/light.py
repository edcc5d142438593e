"""How light the agent is: its memory and CPU while all is calm, and how soon it speaks.

Read from /proc and from Corosync's own log; the embedded AWS notes when a report arrived.
"""

from __future__ import annotations

import os
import re
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from lab.timeline import Timeline

if TYPE_CHECKING:
    from lab.contest.trials import Trials
    from lab.real_site import Place

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_LINK = re.compile(
    r"^(\w{3} \d\d \d\d:\d\d:\d\d\.\d+).*\[KNET.*\] link: host: \d+ link: \d+ is down"
)
_REST_SECONDS = 2.0
_NOTICE_SECONDS, _WORD_SECONDS = 4.0, 2.0


@dataclass(frozen=True)
class Lightness:
    """An agent while nothing happens: its own share of a core, and with all that it runs."""

    seconds: float
    resident_mb: float
    own_cpu_percent: float
    cpu_percent: float


def lightness(place: Place, seconds: float) -> dict[str, Lightness]:
    """Watches the agents of all nodes for a while; by node."""
    pids = {name: agent_pid(place, name) for name in place.cluster.nodes}
    before = {name: _cpu_seconds(pid) for name, pid in pids.items()}
    began = time.monotonic()
    time.sleep(seconds)
    lasted = time.monotonic() - began
    found = {}
    for name, pid in pids.items():
        own, all_of_it = (
            (after - earlier) / lasted * 100
            for after, earlier in zip(_cpu_seconds(pid), before[name], strict=True)
        )
        found[name] = Lightness(
            round(lasted, 1), _resident_mb(pid), round(own, 3), round(all_of_it, 3)
        )
    return found


def agent_pid(place: Place, node: str) -> int:
    """The agent's process on a node, by its number in here."""
    for pid in place.cluster.node(node).pids("eip-agent"):
        if b"run" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0"):
            return pid
    raise LookupError(f"no agent runs on {node}")


def corosync_to_wire(place: Place, trials: Trials, flaps: int) -> list[float]:
    """Seconds from Corosync's line "link is down" to the first report with that suspicion at AWS.

    Each flap is healed before the token is lost, so that nothing but the link changes.
    """
    found: list[float] = []
    timeline = Timeline(place.aws, place.world, quiet=True)
    trials.settle()
    for _ in range(flaps):
        time.sleep(_REST_SECONDS)
        read = {name: len(_lines(place, name)) for name in place.cluster.nodes}
        began = time.monotonic()
        place.cluster.partition(place.cluster.nodes[0])
        deadline = began + _NOTICE_SECONDS
        while not all(_downs(place, *one) for one in read.items()) and time.monotonic() < deadline:
            time.sleep(0.02)
        place.cluster.heal()
        time.sleep(_WORD_SECONDS)
        to_monotonic = time.monotonic() - time.time()
        for name, lines in read.items():
            downs, said = _downs(place, name, lines), timeline.since(began, "suspicion", name)
            if downs and said:
                found.append(round(said[0].at - downs[0] - to_monotonic, 4))
    return found


def _lines(place: Place, node: str) -> list[str]:
    path = place.cluster.node(node).disk / "var/log/corosync/corosync.log"
    return path.read_text(errors="replace").splitlines()


def _downs(place: Place, node: str, read: int) -> list[float]:
    """When Corosync on a node noticed that a link is down, in lines after those read before."""
    year = datetime.now().astimezone().year  # which the log leaves out
    found = []
    for line in _lines(place, node)[read:]:
        if match := _LINK.match(line):
            at = datetime.strptime(f"{year} {match[1]}", "%Y %b %d %H:%M:%S.%f").astimezone()
            found.append(at.timestamp())
    return found


def _cpu_seconds(pid: int) -> tuple[float, float]:
    """CPU of a process, and the same with all that it ran and waited for."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    user, system, child_user, child_system = (int(fields[i]) / _TICKS for i in range(11, 15))
    return user + system, user + system + child_user + child_system


def _resident_mb(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return round(pages * _PAGE_BYTES / 1e6, 1)
