"""The share of the simulation that runs in CI; `make sim` runs as much as one likes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from simulation.mutants import MUTANTS, catch
from simulation.setup import make_setup
from simulation.world import Result, run

SEEDS = 50
TESTS = Path(__file__).parents[1]
CAUGHT_BY = {
    "any_counter_is_taken": (65, 166, 171),
    "author_is_forgotten": (3, 4, 11),
    "claimant_says_since_when_it_waits": (127, 179, 224),
    "never_resumed": (6, 8, 15),
    "no_time_to_answer": (13, 20, 21),
    "part_of_a_group_starts_for_ever": (19, 21, 108),
    "refused_after_it_was_written": (1, 3, 4),
    "settled_without_the_call": (2, 3, 4),
    "stale_answer_counts": (3, 4),
}
"""Planted bugs that must be caught here, each by one of these seeds."""


@pytest.fixture(scope="module")
def results() -> list[Result]:
    return [run(make_setup(seed)) for seed in range(1, SEEDS + 1)]


def test_no_invariant_breaks(results: list[Result]) -> None:
    broken = {r.setup.seed: r.violations[:2] for r in results if r.violations}
    assert not broken, "see python -m simulation --first SEED --seeds 1"


def test_the_runs_were_worth_their_time(results: list[Result]) -> None:
    """Enough happened that the invariants had something to judge."""
    grants = {rule for result in results for rule in result.moves}
    assert {"R020", "R050", "R060", "R061", "R070"} <= grants
    assert sum(result.injected.total() for result in results) > 10 * SEEDS
    assert sum(result.happened.total() for result in results) > 100 * SEEDS


def test_a_seed_is_the_same_in_another_process() -> None:
    """Nothing but the seed decides: neither this process's past nor the order of its sets."""
    here = run(make_setup(7), keep_timeline=True)
    script = (
        "from simulation.setup import make_setup\nfrom simulation.world import run\n"
        "print('\\n'.join(run(make_setup(7), keep_timeline=True).timeline))"
    )
    for hash_seed in ("1", "2"):
        environment = {
            **os.environ,
            "PYTHONHASHSEED": hash_seed,
            "PYTHONPATH": os.pathsep.join(sys.path),
        }
        there = subprocess.run(
            [sys.executable, "-c", script],
            env=environment,
            cwd=TESTS,
            check=True,
            capture_output=True,
            text=True,
        )
        assert there.stdout.splitlines() == "\n".join(here.timeline).splitlines()


@pytest.mark.parametrize("name", sorted(CAUGHT_BY))
def test_a_planted_bug_is_caught(name: str) -> None:
    assert name in {mutant.name for mutant in MUTANTS}
    assert any(catch((name, seed))[2] for seed in CAUGHT_BY[name])
