"""What many runs add up to, in words and as JSON; and what one violation is shown with."""

from __future__ import annotations

import json
import statistics
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from simulation.world import Result


@dataclass
class Summary:
    """Figures of many runs."""

    runs: int = 0
    seconds: float = 0.0
    simulated_seconds: float = 0.0
    failed: dict[int, list[str]] = field(default_factory=dict)
    injected: Counter[str] = field(default_factory=Counter)
    happened: Counter[str] = field(default_factory=Counter)
    broken: Counter[str] = field(default_factory=Counter)
    moves: Counter[str] = field(default_factory=Counter)
    counts: Counter[str] = field(default_factory=Counter)
    moves_per_fault: Counter[int] = field(default_factory=Counter)
    claim_to_grant: list[float] = field(default_factory=list)
    wrong_place: list[float] = field(default_factory=list)
    settle: list[float] = field(default_factory=list)
    recovery: list[float] = field(default_factory=list)

    def add(self, result: Result) -> None:
        """Takes a run in."""
        self.runs += 1
        self.simulated_seconds += result.simulated_seconds
        for name in ("injected", "happened", "moves", "counts", "moves_per_fault"):
            getattr(self, name).update(getattr(result, name))
        self.claim_to_grant += result.claim_to_grant
        self.wrong_place += result.wrong_place
        self.settle.append(result.settle_seconds)
        self.recovery += result.recovery
        for name in {text.split(" s: ", 1)[1].split(":", 1)[0] for text in result.violations}:
            self.broken[name] += 1
        if result.violations:
            self.failed[result.setup.seed] = result.violations

    @property
    def faults(self) -> int:
        """How many faults were injected."""
        return self.injected.total()

    def as_json(self) -> dict[str, Any]:
        """All figures."""
        return {
            "runs": self.runs,
            "seconds": round(self.seconds, 1),
            "simulated_hours": round(self.simulated_seconds / 3600, 1),
            "faults": self.faults,
            "faults_by_kind": dict(self.injected.most_common()),
            "disturbances_by_kind": dict(self.happened.most_common()),
            "grants_by_rule": dict(sorted(self.moves.items())),
            "orders": {k: v for k, v in sorted(self.counts.items()) if k.startswith("order ")},
            "grants_off_a_node_that_ran_it": self.counts["moves off a node that ran it"],
            "claim_to_grant_seconds": _spread(self.claim_to_grant),
            "wrong_place_seconds_per_fault": _spread(self.wrong_place),
            "moves_per_fault": {str(k): v for k, v in sorted(self.moves_per_fault.items())},
            "all_well_after_faults_seconds": _spread(self.settle),
            "without_service_once_whole_seconds": _spread(self.recovery),
            "violations_by_kind": dict(self.broken.most_common()),
            "violations": {str(seed): found for seed, found in sorted(self.failed.items())},
        }

    def lines(self) -> Iterable[str]:
        """The same for people."""
        told = self.as_json()
        yield (
            f"{self.runs} runs, {self.faults} faults and {self.happened.total()} disturbances of "
            f"the network and of services, {told['simulated_hours']} simulated hours in "
            f"{self.seconds:.0f} s"
        )
        yield "faults by kind: " + _counted(told["faults_by_kind"])
        yield "disturbances: " + _counted(told["disturbances_by_kind"])
        yield "grants by rule: " + _counted(told["grants_by_rule"])
        yield "orders: " + _counted(told["orders"])
        for name, text in (
            ("claim_to_grant_seconds", "start on a node to its grant"),
            (
                "wrong_place_seconds_per_fault",
                "address elsewhere than the running resource, per fault",
            ),
            ("all_well_after_faults_seconds", "all well after the last fault"),
            ("without_service_once_whole_seconds", "without service once the cluster was whole"),
        ):
            yield f"{text}: " + _counted(told[name])
        yield "moves per fault, where one came at a time: " + _counted(told["moves_per_fault"])
        yield f"grants off a node that ran the resource: {told['grants_off_a_node_that_ran_it']}"
        yield "runs by broken invariant: " + _counted(told["violations_by_kind"])
        yield f"violations: {len(self.failed)} of {self.runs} runs"


def _spread(values: list[float]) -> dict[str, float]:
    if len(values) < 2:
        return {"count": len(values)}
    cuts = statistics.quantiles(values, n=1000, method="inclusive")
    return {
        "count": len(values),
        "mean": round(statistics.fmean(values), 3),
        "median": round(statistics.median(values), 3),
        "p90": round(cuts[899], 3),
        "p99": round(cuts[989], 3),
        "p99.9": round(cuts[998], 3),
        "max": round(max(values), 3),
    }


def _counted(values: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items()) or "none"


def write_json(path: str, told: dict[str, Any]) -> None:
    """Writes figures to a file."""
    Path(path).write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
