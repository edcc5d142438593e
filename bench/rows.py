"""The contest's samples as rows: each contender's median and spread, the goal, and whether it met.

Ratios and differences are those of one run on one machine; AWS is the embedded one.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

CONTENDERS = ("Dummy", "awseip", "EIP Arbiter")
OURS = CONTENDERS[-1]
Samples = Mapping[str, Mapping[str, Sequence[Any]]]
Values = dict[str, list[float | None]]


@dataclass(frozen=True)
class Row:
    """One line of the table. A value of None is what did not happen at all."""

    name: str
    values: Values
    goal: str
    met: bool | None

    def cell(self, contender: str) -> str:
        """Median and spread, or how often it never happened."""
        values = self.values.get(contender, [])
        there = [value for value in values if value is not None]
        if not values:
            return "-"
        never = f", never {len(values) - len(there)} of {len(values)}" if None in values else ""
        if not there:
            return never.removeprefix(", ")
        middle, low, high = statistics.median(there), min(there), max(there)
        return f"{middle:.4g} ({low:.4g} to {high:.4g}){never}"


def rows(samples: Samples) -> list[Row]:
    """All lines that these samples have something for."""
    made = [
        *_takeovers(samples),
        *_partition(samples),
        *_outages(samples),
        *_agent(samples),
    ]
    return [row for row in made if row.values.get(OURS)]


def _takeovers(samples: Samples) -> list[Row]:
    made = []
    for trial, spare in (
        ("planned stop", 0.3),
        ("power loss, token 1000", 1.0),
        ("power loss, token 3000", 1.0),
    ):
        address = _values(samples, trial, lambda t: t["address_seconds"])
        started = _values(samples, trial, lambda t: t["started_seconds"])
        goal = f"{spare} s beyond Dummy"
        made.append(_row(f"{trial}: fault to address, s", address, goal, _beyond(address, spare)))
        made.append(_row(f"{trial}: fault to Started, s", started, goal, _beyond(started, spare)))
    nobody = _values(samples, "planned stop", lambda t: t["nobody_seconds"], without=("Dummy",))
    made.insert(
        2, _row("planned stop: address with nobody, s", nobody, "0", _never_over(nobody, 0))
    )
    return made


def _partition(samples: Samples) -> list[Row]:
    def values(name: str) -> Values:
        return _values(samples, "partition", lambda t: t[name])

    moves, away, doubled = values("moves"), values("away_seconds"), values("doubled_seconds")
    idle, restarts, successor = (
        values("idle_seconds"),
        values("restarts"),
        values("successor_seconds"),
    )
    cut = "partition of 40 s"
    return [
        _row(f"{cut}: address moves", moves, "0 or 1", _never_over(moves, 1)),
        _row(f"{cut}: address off its healthy holder, s", away, "0", _never_over(away, 0)),
        _row(f"{cut}: both say Started, s", doubled, "0", _never_over(doubled, 0)),
        _row(f"{cut}: nobody says Started, s", idle, "0", _never_over(idle, 0)),
        _row("heal: starts and stops on the winner", restarts, "0", _never_over(restarts, 0)),
        _row("heal, then the winner dies: takeover, s", successor, "always", _always(successor)),
    ]


def _outages(samples: Samples) -> list[Row]:
    def values(trial: str, what: Callable[[Any], float | None]) -> Values:
        return _values(samples, trial, what)

    refused, swallowed = "AWS refused", "AWS blackholed"
    stops = values(refused, lambda t: t["operations"])
    serves = values(refused, lambda t: len(t["serves_on"]))
    disturbed = values(swallowed, lambda t: t["operations"])
    serving = values(swallowed, lambda t: len(t["serves_on"]))
    successor = values(swallowed, lambda t: t["successor_seconds"])
    both, alone = "AWS refused to both for 60 s", "AWS silent to the holder for 60 s"
    return [
        _row(f"{both}: starts and stops", stops, "0", _never_over(stops, 0)),
        _row(f"{both}: nodes that serve 10 s after", serves, "1", _only(serves, 1)),
        _row(f"{alone}: starts and stops", disturbed, "0", _never_over(disturbed, 0)),
        _row(f"{alone}: nodes that serve", serving, "1", _only(serving, 1)),
        _row("... and then it dies: takeover, s", successor, "always", _always(successor)),
    ]


def _agent(samples: Samples) -> list[Row]:
    monitor = _values(samples, "monitor CPU", lambda seconds: seconds * 1000)
    found = [one for node in samples.get("agent", {}).values() for one in node]
    memory: Values = {OURS: [one["resident_mb"] for one in found]}
    own: Values = {OURS: [one["own_cpu_percent"] for one in found]}
    cpu: Values = {OURS: [one["cpu_percent"] for one in found]}
    wire = _values(samples, "Corosync to the wire", lambda seconds: seconds * 1000)
    p99 = statistics.quantiles(wire[OURS], n=100)[98] if len(wire.get(OURS, [])) > 1 else 0.0  # type: ignore[type-var]
    return [
        _row("one monitor, ms of CPU", monitor, "20 or less", _never_over(monitor, 20)),
        _row("agent, calm: resident memory, MB", memory, "32 or less", _never_over(memory, 32)),
        _row("agent, calm: CPU, % of a core", own, "0.2", _never_over(own, 0.2)),
        _row("... with the crm_mon that it runs", cpu, "0.2", _never_over(cpu, 0.2)),
        _row(f"Corosync's line to PutEvents, ms (p99 {p99:.3g})", wire, "", None),
    ]


def _row(name: str, values: Values, goal: str, met: bool | None) -> Row:
    return Row(name, values, goal, met)


def _values(
    samples: Samples,
    trial: str,
    what: Callable[[Any], float | None],
    without: Sequence[str] = (),
) -> Values:
    by_contender = samples.get(trial, {})
    return {
        name: [what(one) for one in by_contender[name]]
        for name in CONTENDERS
        if name in by_contender and name not in without
    }


def _beyond(values: Values, spare: float) -> bool | None:
    ours = [v for v in values.get(OURS, []) if v is not None]
    bare = [v for v in values.get("Dummy", []) if v is not None]
    return statistics.median(ours) <= statistics.median(bare) + spare if ours and bare else None


def _never_over(values: Values, limit: float) -> bool:
    return all(value is not None and value <= limit for value in values.get(OURS, []))


def _only(values: Values, wanted: float) -> bool:
    return all(value == wanted for value in values.get(OURS, []))


def _always(values: Values) -> bool:
    return None not in values.get(OURS, [])
