"""What happened during a story, as people read it and as a scene judges it.

The recorder listens to the embedded AWS: events that a bus took, lines that functions logged, moves
that EC2 carried out. Times are `time.monotonic()` seconds.
"""

from __future__ import annotations

import heapq
import itertools
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from lab.embedded.cloud import EmbeddedAws
from lab.embedded.journal import Entry, Move
from lab.embedded.runtime import Invocation
from lab.embedded.world import World

CLIENT_SECONDS = 0.05
HOLD_SECONDS = 1.0
"""How long a line waits to be printed. What a function logged is known only once it ends, and the
lines are to be in the order in which things happened."""
LABEL_WIDTH = len("suspicion")
COLOURS = {"fault": "31", "node": "36", "rule": "33", "move": "32", "scene": "1"}


@dataclass(frozen=True)
class Happening:
    """One line of the timeline.

    `kind`: suspicion, claim and release of a node, grant and decision of the arbiter, move at EC2,
    fault, note of a scene, client of the address.
    """

    at: float
    kind: str
    node: str
    text: str
    rule: str = ""
    term: int = 0


class Timeline:
    """Records happenings, and prints them in order, each a little after it came.

    Args:
        aws: the embedded AWS to listen to.
        world: gives names to instances.
        quiet: print nothing.
    """

    def __init__(self, aws: EmbeddedAws, world: World, *, quiet: bool = False) -> None:
        self._names = {node.instance_id: node.name for node in world.nodes.values()}
        self._quiet = quiet
        self._colours = sys.stdout.isatty()
        self._lock = threading.Lock()
        self._seen: list[Happening] = []
        self._last: dict[str, str] = {}
        self._held: list[tuple[float, int, str, str]] = []
        self._number = itertools.count()
        self._began = time.monotonic()
        self.cold_starts = 0
        self.reports = 0
        self.listens_since = aws.journal.now()
        aws.events.subscribe(self._on_event)
        aws.subscribe_to_invocations(self._on_invocation)
        aws.journal.subscribe(self._on_entry)

    def scene(self, title: str) -> float:
        """Begins a scene: later times are printed relative to it; returns its monotonic begin."""
        with self._lock:
            self._print_until(float("inf"))
            self._began = time.monotonic()
            self._last.clear()
            self._print(f"\n{title}", "scene")
        return self._began

    def finish(self) -> None:
        """Prints what still waits for its turn."""
        with self._lock:
            self._print_until(float("inf"))

    def fault(self, text: str) -> float:
        """Notes that a fault is put on now, and restarts the scene's clock."""
        with self._lock:
            self._began = time.monotonic()
        self.add(Happening(self._began, "fault", "", text))
        return self._began

    def note(self, text: str) -> None:
        """Notes something that a scene saw."""
        self.add(Happening(time.monotonic(), "note", "", text))

    def watch_client(self, who_answers: Callable[[], str | None], ended: threading.Event) -> None:
        """Calls the Elastic IP again and again, and notes whenever somebody else answers."""
        last: str | None = None
        while not ended.wait(CLIENT_SECONDS):
            with self._lock:
                self._print_until(time.monotonic() - HOLD_SECONDS)
            answer = who_answers()
            if answer != last:
                last = answer
                text = f"a client of the address is answered by {answer or 'nobody'}"
                self.add(Happening(time.monotonic(), "client", answer or "", text))

    def since(self, at: float, kind: str = "", node: str = "") -> list[Happening]:
        """The happenings at or after a time, of one kind and node if given."""
        with self._lock:
            return [
                h
                for h in self._seen
                if h.at >= at and (not kind or h.kind == kind) and (not node or h.node == node)
            ]

    def name(self, instance_id: str) -> str:
        """The node's name, or "nobody"."""
        return self._names.get(instance_id, instance_id or "nobody")

    def _on_event(self, _bus: str, event: dict[str, Any]) -> None:
        detail = event.get("detail")
        if event.get("detail-type") != "Node Report" or not isinstance(detail, dict):
            return
        self.reports += 1
        at, node = time.monotonic(), str(detail["node_name"])
        suspects = ", ".join(s["node_name"] for s in detail["suspects"])
        self._change(at, "suspicion", node, suspects, f"{node} lost sight of {suspects}")
        claims = ", ".join(detail["awaiting"])
        self._change(at, "claim", node, claims, f"{node} claims {claims}")
        if detail["cause"] == "release":
            self.add(Happening(at, "release", node, f"{node} releases"))

    def _change(self, at: float, kind: str, node: str, value: str, text: str) -> None:
        """Notes a report's statement when it differs from the node's last one."""
        with self._lock:
            changed = self._last.get(f"{kind} {node}", "") != value
            self._last[f"{kind} {node}"] = value
        if changed and value:
            self.add(Happening(at, kind, node, text))

    def _on_invocation(self, invocation: Invocation) -> None:
        self.cold_starts += invocation.cold
        for line in invocation.logs:
            data = line.data or {}
            rule, text = str(data.get("rule", "")), str(data.get("message", ""))
            if not rule or data.get("level") not in ("INFO", "ERROR"):
                continue
            if text.startswith("not done"):
                continue  # Another invocation had a newer report, and decided.
            kind = "grant" if " gets " in text else "decision"
            with self._lock:
                # A sentence is repeated with each report while nothing changes.
                repeated = self._last.get("rule") == rule and kind == "decision"
                self._last["rule"] = rule if not text.startswith("settled") else ""
            if not repeated:
                at = time.monotonic() - (time.time() - _said_at(data, line.wall))
                term = int(data.get("term", 0))
                self.add(Happening(at, kind, "", text, rule, term))

    def _on_entry(self, entry: Entry) -> None:
        if isinstance(entry, Move):
            was, now = self.name(entry.from_instance), self.name(entry.to_instance)
            text = f"EC2 {entry.operation}: {entry.public_ip} {was} -> {now}"
            self.add(Happening(entry.at, "move", now, text))

    def add(self, happening: Happening) -> None:
        """Takes a happening in; its line is printed when its turn has come."""
        colours = {"fault": "fault", "move": "move", "grant": "rule", "decision": "rule"}
        label = happening.rule or happening.kind
        with self._lock:
            self._seen.append(happening)
            elapsed = happening.at - self._began
            line = f"  {elapsed:+8.2f} s  {label:{LABEL_WIDTH}}  {happening.text}"
            colour = colours.get(happening.kind, "node")
            heapq.heappush(self._held, (happening.at, next(self._number), line, colour))
            self._print_until(time.monotonic() - HOLD_SECONDS)

    def _print_until(self, at: float) -> None:
        """Prints what happened by then, the earliest first; the caller has the lock."""
        while self._held and self._held[0][0] <= at:
            _, _, line, colour = heapq.heappop(self._held)
            self._print(line, colour)

    def _print(self, text: str, colour: str) -> None:
        if self._quiet:
            return
        if self._colours:
            text = f"\033[{COLOURS[colour]}m{text}\033[0m"
        print(text, flush=True)


def _said_at(data: dict[str, Any], collected: float) -> float:
    """When a line was logged, by its own timestamp; else when it was collected."""
    try:
        said = datetime.strptime(str(data.get("timestamp")), "%Y-%m-%d %H:%M:%S,%f%z")
    except ValueError:
        return collected
    return said.timestamp()
