"""What is told of a round: its verdict, its figures, and a timeline that a person can read."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from lab.rounds.facts import Facts


@dataclasses.dataclass(frozen=True)
class Outcome:
    """One round, judged. `faults` are as they were put on; times are seconds."""

    seed: int
    number: int
    size: int
    plan: str
    kinds: tuple[str, ...]
    faults: str
    holder: str
    moves: int
    whole_seconds: float
    seconds: float
    violations: tuple[str, ...]
    timeline: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether no invariant was violated."""
        return not self.violations

    @property
    def replay(self) -> str:
        """The command that plays this one round again."""
        return f"make lab-faults SEED={self.seed} ROUNDS=1 ARGS='--first {self.number} --timeline'"


def outcome_of(facts: Facts, violations: tuple[str, ...], seconds: float) -> Outcome:
    """Sums a round up."""
    return Outcome(
        seed=facts.plan.seed,
        number=facts.plan.number,
        size=facts.plan.size,
        plan=str(facts.plan),
        kinds=tuple(fault.kind for fault in facts.plan.faults),
        faults=" + ".join(_with_role(facts, str(put), put.node) for put in facts.puts),
        holder=facts.holder,
        moves=len([move for move in facts.moves if move.source != move.target]),
        whole_seconds=round(facts.end.seconds, 2),
        seconds=round(seconds, 2),
        violations=violations,
        timeline=tuple(timeline(facts)),
    )


def timeline(facts: Facts) -> Iterator[str]:
    """All that happened in a round in the order of time, one line each."""
    lines: list[tuple[float, str, str]] = []
    for put in facts.puts:
        where = "" if put.kind.everywhere else f" on {put.node}"
        lines.append((put.put_at, "fault", f"{put.kind_name} is put{where}"))
        lines.append((put.lifting_at, "fault", f"{put.kind_name} is lifted{where}"))
    lines += [(heard.at, "report", f"{heard.node}: {heard.text}") for heard in facts.heard]
    for operation in facts.operations:
        what = "begins" if operation.rc is None else f"ends, rc {operation.rc}"
        if operation.rc is not None or operation.action != "monitor":
            text = f"Pacemaker on {operation.node}: {operation.action} {what}"
            lines.append((operation.at, "crm", text))
    lines += [(line.at, line.rule, line.sentence) for line in facts.lines]
    for move in facts.moves:
        text = f"{move.operation}: {move.source or 'nobody'} -> {move.target or 'nobody'}"
        lines.append((move.at, "EC2", text))
    for at, error in facts.function_errors:
        lines.append((at, "error", error[:200]))
    for at, mark, text in sorted(lines):
        yield f"{at - facts.began_at:+8.2f} s  {mark:6}  {text}"


def to_json(outcome: Outcome) -> dict[str, Any]:
    """As plain JSON."""
    return dataclasses.asdict(outcome)


def from_json(data: dict[str, Any]) -> Outcome:
    """What `to_json` gave."""
    lists = {name: tuple(data[name]) for name in ("kinds", "violations", "timeline")}
    return Outcome(**{**data, **lists})


def _with_role(facts: Facts, text: str, node: str) -> str:
    kind, _, rest = text.partition(f" {node} ")
    if not rest:
        return text
    return f"{kind} {node}{' (holder)' if node == facts.holder else ''} {rest}"
