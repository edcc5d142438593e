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


@pytest.mark.parametrize("within_ms", [1_000, 10_000], ids=["alert cadence", "calm cadence"])
def test_a_holder_that_claims_keeps_it(outcomes: Outcomes, within_ms: int) -> None:
    """Unless a real quorum is with the claimant alone."""
    robbed = [
        holder
        for (holder, claimant), after_ms in outcomes.items()
        if holder
        and holder.claims
        and holder.within_ms == within_ms
        and after_ms is not None
        # An agent that suspects a peer reports each second.
        and not (holder.suspects and within_ms > 1_000)
        and not only_claimant_is_quorate(holder, claimant)
    ]
    assert not robbed, f"{len(robbed)} patterns: {_kinds(robbed)}"
