"""What the writes to the state item have in common: their conditions, version and line."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from eip_contract import state_item as key

from eip_arbiter.aws import state_item as shape
from eip_arbiter.aws.state_table import Item
from eip_arbiter.decision.outcome import ReportSeen
from eip_arbiter.decision.snapshot import HistoryEntry, Snapshot


class Change:
    """What every change on a version writes beside its own content: the next one, and its line."""

    def __init__(self, snapshot: Snapshot, line: HistoryEntry | None) -> None:
        self.snapshot = snapshot
        self._version = snapshot.version + 1
        self.clauses = ["#v = :v"]
        self.names = {"#v": key.VERSION}
        self.values: dict[str, Any] = {":v": snapshot.version, ":next": self._version}
        self.sets = "#v = :next"
        self._line = shape.from_line(line) if line else None
        if line is None:
            return
        if line.version != self._version:
            raise ValueError(f"a line of version {line.version} in the change to {self._version}")
        if snapshot.waiting:
            self.names["#x"] = str(line.version)
            self.values[":x"] = self._line
            self.sets += f", {shape.WAITING}.#x = :x"
        else:
            # Whatever is there was told: who adds a line adds a version.
            self.values[":x"] = {str(line.version): self._line}
            self.sets += f", {shape.WAITING} = :x"

    def rest_on(self, seen: Collection[ReportSeen]) -> None:
        """Makes it conditional on these reports being the newest of their nodes."""
        for index, report in enumerate(seen):
            self.names |= {f"#j{index}": report.instance_id, "#inc": key.INCARNATION}
            self.names["#seq"] = key.SEQ
            self.values |= {f":inc{index}": report.incarnation, f":seq{index}": report.seq}
            self.clauses.append(f"{key.REPORTS}.#j{index}.#inc = :inc{index}")
            self.clauses.append(f"{key.REPORTS}.#j{index}.#seq = :seq{index}")

    def is_in(self, item: Item) -> bool:
        """Whether this change made the item: by its line, which no other change has."""
        version, lines = int(item[key.VERSION]), item.get(shape.WAITING, {})
        if self._line is None:
            return version == self._version
        return bool(lines.get(str(self._version)) == self._line)


def removed(told: Collection[int], names: dict[str, str]) -> str:
    """The clause that drops waiting lines; adds their names."""
    if not told:
        return ""
    numbered = {f"#w{index}": str(version) for index, version in enumerate(told)}
    names |= numbered
    return " REMOVE " + ", ".join(f"{shape.WAITING}.{name}" for name in numbered)
