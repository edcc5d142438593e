"""Planted bugs: each breaks one rule, commit condition, move step or agent's rule on purpose.

The simulation must catch every one of them, and not by one lucky seed. A mutant replaces names of
the shipped modules, or conditions of the memory store that stand for those of the DynamoDB store,
while its runs last. Bugs that matter at an instant only (when exactly a challenge was opened, say)
are planted in front of the corpus, in tests/scenarios.
"""

# ruff: noqa: T201 - a command speaks to its terminal

from __future__ import annotations

import contextlib
import multiprocessing
from collections.abc import Iterator

from simulation import (
    mutant,
    planted_aimed,  # noqa: F401 - adds its own to the list, as the next ones do
    planted_moves,  # noqa: F401
    planted_nodes,  # noqa: F401
    planted_rules,  # noqa: F401
    planted_unkind,  # noqa: F401
)
from simulation.setup import make_setup
from simulation.shrink import broken
from simulation.world import run

AT_LEAST, ENOUGH = 2, 4
MUTANTS = mutant.MUTANTS


@contextlib.contextmanager
def planted(name: str) -> Iterator[None]:
    """While this lasts, the bug is there."""
    chosen = next(m for m in MUTANTS if m.name == name)
    patches = chosen.patches()
    kept = [(owner, attribute, owner.__dict__[attribute]) for owner, attribute, _ in patches]
    for owner, attribute, value in patches:
        setattr(owner, attribute, value)
    try:
        yield
    finally:
        for owner, attribute, value in kept:
            setattr(owner, attribute, value)


def catch(job: tuple[str, int]) -> tuple[str, int, set[str]]:
    """Runs one seed with one bug; returns what broke, or the error that stopped it."""
    name, seed = job
    with planted(name) if name else contextlib.nullcontext():
        setup = make_setup(seed)
        try:
            return name, seed, broken(run(setup).violations)
        except Exception as error:  # noqa: BLE001 - an assertion of the shipped code caught it
            return name, seed, {type(error).__name__}


def chase(job: tuple[str, int, int]) -> tuple[str, int, dict[int, set[str]]]:
    """Runs seeds with one bug until enough of them caught it; returns how many were run."""
    name, first, seeds = job
    hits: dict[int, set[str]] = {}
    for number, seed in enumerate(range(first, first + seeds), 1):
        problems = catch((name, seed))[2]
        # What breaks without the bug as well is not the bug's doing.
        if problems and (new := problems - catch(("", seed))[2]):
            hits[seed] = new
        if len(hits) >= ENOUGH:
            return name, number, hits
    return name, seeds, hits


def hunt(seeds: int, first: int, jobs: int, only: str) -> int:
    """Runs every mutant on at most so many seeds and tells which of them caught it."""
    work = [(m.name, first, seeds) for m in MUTANTS if only in m.name]
    missed = []
    with multiprocessing.Pool(jobs) as pool:
        for name, tried, hits in pool.imap_unordered(chase, work):
            by = ", ".join(sorted({problem for found in hits.values() for problem in found}))
            which = ", ".join(map(str, hits)) or "none"
            print(f"{name}: caught by {len(hits)} of {tried} seeds ({which}) {by}", flush=True)
            if len(hits) < AT_LEAST:
                missed.append(name)
    found = len(work) - len(missed)
    print(f"{found} of {len(work)} planted bugs caught by at least {AT_LEAST} seeds")
    if missed:
        print("NOT CAUGHT: " + ", ".join(sorted(missed)))
    return bool(missed)
