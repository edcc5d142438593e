"""Makes a failing schedule small: drops faults as long as the same invariant still fails."""

from __future__ import annotations

import dataclasses

from simulation.setup import Setup
from simulation.world import run

MOST_RUNS = 250


def broken(violations: list[str]) -> set[str]:
    """The names of the invariants that were broken."""
    return {text.split(" s: ", 1)[1].split(":", 1)[0] for text in violations}


def shrink(setup: Setup, violations: list[str]) -> Setup:
    """A setup with fewer faults, and no climate if it can be, that breaks the same invariant."""
    wanted = broken(violations)
    runs = 0

    def fails(candidate: Setup) -> bool:
        nonlocal runs
        runs += 1
        return runs <= MOST_RUNS and bool(wanted & broken(run(candidate).violations))

    calm = dataclasses.replace(setup, climate={})
    if fails(calm):
        setup = calm
    size = max(1, len(setup.faults) // 2)
    while size:
        index = 0
        while index < len(setup.faults):
            fewer = setup.faults[:index] + setup.faults[index + size :]
            candidate = dataclasses.replace(setup, faults=fewer)
            if fails(candidate):
                setup = candidate
            else:
                index += size
        size //= 2
    return setup
