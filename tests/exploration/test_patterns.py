"""Liveness and safety over all constant patterns of two reports, exhaustively."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pytest

from exploration.patterns import START_WAIT_MS, Play, Said, only_claimant_is_quorate, pairs

Outcomes = dict[tuple[Said | None, Said], int | None]


@pytest.fixture(scope="module")
def outcomes() -> Outcomes:
    """After how long the claimant of each pair has the address."""
    play = Play()
    return {pair: play.granted_after_ms(*pair) for pair in pairs()}


def _kinds(found: Sequence[Said | None]) -> str:
    """Which words of a holder those are, each with how many patterns have it."""
    kinds = Counter(
        f"{said.state}, Pacemaker {said.pacemaker}{', unhealthy' if said.failing else ''}"
        if said
        else "dead"
        for said in found
    )
    return "; ".join(f"{kind}: {count}" for kind, count in sorted(kinds.items()))


def test_all_patterns_are_played(outcomes: Outcomes) -> None:
    assert len(outcomes) > 10_000


def test_a_holder_that_does_not_claim_is_replaced_while_a_start_waits(outcomes: Outcomes) -> None:
    late = [
        holder
        for (holder, _), after_ms in outcomes.items()
        if not (holder and holder.claims) and (after_ms is None or after_ms > START_WAIT_MS)
    ]
    assert not late, f"never replaced in time: {_kinds(late)}"


def _robbed(outcomes: Outcomes, within_ms: int) -> list[tuple[Said, Said]]:
    """Holders that claim at this cadence and lose it, unless only the claimant has real quorum."""
    return [
        (holder, claimant)
        for (holder, claimant), after_ms in outcomes.items()
        if holder
        and holder.claims
        and holder.within_ms == within_ms
        and after_ms is not None
        # An agent that suspects a peer reports each second.
        and not (holder.suspects and within_ms > 1_000)
        and not only_claimant_is_quorate(holder, claimant)
    ]


def test_a_holder_that_claims_each_second_keeps_it(outcomes: Outcomes) -> None:
    robbed = [holder for holder, _ in _robbed(outcomes, 1_000)]
    assert not robbed, f"{len(robbed)} patterns: {_kinds(robbed)}"


def test_a_calm_holder_is_taken_from_only_by_who_says_that_it_lost_it(outcomes: Outcomes) -> None:
    """The price of three seconds: a holder that sees no cut reports each ten.

    Two honest nodes see the same cut, so this takes a claimant that lies; see docs/security.md.
    """
    for holder, claimant in _robbed(outcomes, 10_000):
        assert "n2" in holder.members
        assert "n1" not in claimant.members or "n1" in claimant.suspects
