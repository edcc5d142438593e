"""What a decision makes of an address, and the steps that must never be committed."""

from __future__ import annotations

from dataclasses import replace

import pytest
from builders import N1, N2, NOW, POLICY, address, claiming, dead, decided, snapshot
from eip_arbiter.decision.outcome import Grant, Note, Release, ReportSeen
from eip_arbiter.decision.snapshot import Order, Phase, Refusal
from eip_arbiter.decision.transition import InvariantViolatedError, apply, settle

SEEN = (ReportSeen(N2, 1, 102),)


def grant(rule: str = "R070", holder: str = N2) -> Grant:
    return Grant(rule, "a sentence", SEEN, holder)


def test_a_grant_raises_the_term_by_one_and_moves_until_its_deadline() -> None:
    after = apply(address(), grant(), POLICY, NOW)
    assert (after.term, after.holder, after.phase) == (8, N2, Phase.MOVING)
    assert after.deadline_ms == NOW + POLICY.move_ms


def test_a_grant_remembers_where_ec2_has_the_address() -> None:
    after = apply(address(), grant(), POLICY, NOW)
    assert after.association_id == address().association_id


def test_a_grant_ends_the_challenge() -> None:
    refused = address(refusal=Refusal(N2, NOW - 1))
    assert apply(refused, grant(), POLICY, NOW).refusal is None


@pytest.mark.parametrize("change", [grant(), grant("R080", N1)], ids=["a move", "drift put right"])
def test_an_automatic_move_counts_for_the_flap_brake(change: Grant) -> None:
    assert apply(address(), change, POLICY, NOW).recent_moves_ms == (NOW,)


def test_a_grant_that_ends_an_order_remembers_it() -> None:
    order = Order("ops-1", N2, False, NOW - 9, NOW + 9)
    change = replace(grant("R061", N1), ends_order=True)
    after = apply(address(holder=N2, order=order), change, POLICY, NOW)
    assert (after.order, after.ended_orders) == (None, (order.mark,))
    assert after.recent_moves_ms == (NOW,)


@pytest.mark.parametrize(
    ("before", "change"),
    [
        (address(holder=None), grant("R050")),
        (address(order=Order("ops-1", N2, False, NOW - 9, NOW + 9)), grant("R020")),
        (address(order=Order("ops-1", N2, False, NOW - 9, NOW + 9)), grant("R061")),
    ],
    ids=["the first grant", "an order", "Pacemaker's move by order"],
)
def test_what_is_no_automatic_move_does_not_count(before: object, change: Grant) -> None:
    assert apply(before, change, POLICY, NOW).recent_moves_ms == ()  # type: ignore[arg-type]


def test_the_list_of_moves_stays_short() -> None:
    many = tuple(NOW - 1_000 + i for i in range(50))
    after = apply(address(recent_moves_ms=many), grant(), POLICY, NOW)
    assert len(after.recent_moves_ms) == POLICY.brake_moves + 1


def test_a_release_keeps_the_term_and_the_association_to_remove() -> None:
    after = apply(address(), Release("R090", "a sentence", SEEN), POLICY, NOW)
    assert (after.holder, after.term, after.phase) == (None, 7, Phase.MOVING)
    assert after.association_id == address().association_id


def test_a_note_moves_nothing() -> None:
    refusal = Refusal(N2, NOW)
    after = apply(address(), Note("R072", "a sentence", SEEN, refusal, None), POLICY, NOW)
    assert after == address(refusal=refusal)


def test_a_grant_without_evidence_is_never_committed() -> None:
    with pytest.raises(InvariantViolatedError, match="I3"):
        apply(address(), Grant("R070", "a sentence", (), N2), POLICY, NOW)


def test_settling_writes_where_ec2_has_it() -> None:
    moving = apply(address(), grant(), POLICY, NOW)
    settled = settle(moving, "eipassoc-8", "eni-2", NOW + 40)
    assert settled.phase is Phase.SETTLED
    assert (settled.association_id, settled.interface_id) == ("eipassoc-8", "eni-2")
    assert settled.term == 8


def test_a_grant_rests_on_the_holder_and_on_every_claimant() -> None:
    decision = decided(snapshot(dead(silent_ms=9_000), claiming()))
    assert isinstance(decision, Grant)
    assert {seen.instance_id for seen in decision.rested_on} == {N1, N2}
