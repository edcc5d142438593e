"""Every state that a small world can reach keeps the invariants, and planted bugs are found there.

CI goes as deep as takes some seconds; `python -m exploration` goes deeper.
"""

from __future__ import annotations

import pytest

from exploration import conditions, planted
from exploration.search import explore
from exploration.world import Budget, Limits

QUIET = Budget(stops=0, starts=0, orders=0, pauses=0, late=0, stalls=1)
"""No operator, no stopped instance, nothing late: deeper with the same number of states."""


@pytest.mark.parametrize(
    ("nodes", "budget", "depth", "at_least"),
    [(2, Budget(), 3, 10_000), (2, QUIET, 4, 5_000), (3, QUIET, 3, 5_000)],
    ids=["two nodes, everything", "two nodes, deeper", "three nodes"],
)
def test_no_state_within_reach_breaks_an_invariant(
    nodes: int, budget: Budget, depth: int, at_least: int
) -> None:
    found = explore(Limits(nodes), budget, depth)
    assert not found.violation, "\n".join([found.violation, *found.trace])
    assert found.depth == depth
    assert found.states > at_least, "the world has become smaller than it was"


def test_the_rules_that_move_an_address_act_within_reach() -> None:
    found = explore(Limits(2), Budget(), 3)
    assert {"R020", "R031", "R060", "R061", "R070", "R072"} <= found.rules


EVERYTHING = (Budget(), 3)
DEEPER = (QUIET, 5)
OPERATED = (Budget(stops=0, starts=0, late=0), 4)
ORDERED = (Budget(stops=0, starts=0, pauses=0, late=0, stalls=1), 5)
DEEPEST = (QUIET, 6)
LATE = (Budget(stops=0, starts=0, orders=0, pauses=0, stalls=0), 6)
BUGS = {
    "commit_without_version": OPERATED,
    "commit_without_reports": DEEPER,
    "commit_without_conditions": DEEPER,
    "settle_without_conditions": ORDERED,
    "any_old_claim_counts": DEEPER,
    "stale_answer_counts": EVERYTHING,
    "silence_lasts_until_now": LATE,
    "release_is_not_believed": EVERYTHING,
    "pause_forgotten": EVERYTHING,
    "order_does_not_pin": EVERYTHING,
    "never_resumed": EVERYTHING,
    "silent_holder_kept": EVERYTHING,
    "drift_kept": DEEPEST,
    "call_before_commit": EVERYTHING,
    "settled_without_the_call": EVERYTHING,
    "disassociated_first": EVERYTHING,
    "no_deadline_check": DEEPER,
    "term_stays": EVERYTHING,
}


@pytest.mark.parametrize("name", BUGS)
def test_a_planted_bug_is_found_with_the_way_to_it(name: str) -> None:
    budget, depth = BUGS[name]
    found = planted.hunted(name, Limits(2), budget, depth)
    assert found.violation
    assert 0 < len(found.trace) <= depth


def test_a_planted_bug_is_taken_out_again() -> None:
    before = conditions.may_commit
    with planted.planted("commit_without_conditions"):
        assert conditions.may_commit is not before
    assert conditions.may_commit is before
