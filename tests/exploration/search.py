"""Breadth first over all states, with the shortest way to a violation in words."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from exploration import calm, shipped
from exploration.steps import steps
from exploration.world import Budget, Limits, State, calm_world

PROGRESS_SECONDS = 15.0


@dataclass
class Found:
    """What a search found; `levels` counts the new states of each depth."""

    depth: int = 0
    levels: list[int] = field(default_factory=lambda: [1])
    transitions: int = 0
    seconds: float = 0.0
    rules: set[str] = field(default_factory=set)
    violation: str = ""
    trace: list[str] = field(default_factory=list)

    @property
    def states(self) -> int:
        """How many different states were visited."""
        return sum(self.levels)


def explore(
    limits: Limits,
    budget: Budget,
    depth: int,
    *,
    seconds: float = float("inf"),
    tell: Callable[[str], None] = lambda _: None,
) -> Found:
    """Visits every state within so many steps of a calm cluster, or stops at the first violation.

    States are told apart by their 64-bit hashes: two that fall together are one in a trillion for
    a million states.

    Args:
        limits: the bounds of the world.
        budget: how often what would never end may happen.
        depth: how many steps.
        seconds: no new depth is begun after this time.
        tell: is told about progress.
    """
    began = time.monotonic()
    start = calm_world(limits, budget)
    parents: dict[int, int] = {hash(start): 0}
    good: set[int] = set()
    found, frontier, told = Found(), [start], began
    while found.depth < depth and frontier and time.monotonic() - began < seconds:
        reached: list[State] = []
        for state in frontier:
            mark = hash(state)
            for label, after, broken in steps(state, limits):
                found.transitions += 1
                new = hash(after)
                if new in parents and not broken:
                    continue
                broken = broken or calm.does_not_settle(after, good)  # noqa: PLW2901
                if broken:
                    found.violation = broken
                    found.trace = [*trace(start, limits, parents, mark), label]
                    found.seconds = time.monotonic() - began
                    return found
                parents[new] = mark
                reached.append(after)
            if time.monotonic() - told > PROGRESS_SECONDS:
                told = time.monotonic()
                tell(f"depth {found.depth + 1}: {len(parents)} states, {told - began:.0f} s")
        frontier = reached
        found.depth += 1
        found.levels.append(len(reached))
        found.seconds = time.monotonic() - began
    found.rules = {call.rule for call, _ in shipped.PLANS}
    return found


def trace(start: State, limits: Limits, parents: dict[int, int], mark: int) -> list[str]:
    """The sentences from the begin to the state with this hash."""
    marks = [mark]
    while parents[marks[-1]]:
        marks.append(parents[marks[-1]])
    told, state = [], start
    for wanted in reversed(marks[:-1]):
        label, state = next(
            (label, after) for label, after, _ in steps(state, limits) if hash(after) == wanted
        )
        told.append(f"{label}  [{shipped.sentence(state.item)}]")
    return told
