"""R010, R020, R040: what operators set or ordered, and the brake that asks for one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from builders import (
    N1,
    N2,
    N3,
    NOW,
    address,
    claiming,
    dead,
    decided,
    going,
    holding,
    node,
    snapshot,
    standing_by,
)
from core.decision.expected import granted_to, kept, order
from eip_arbiter.decision.outcome import Grant, Note, Resume
from eip_arbiter.decision.snapshot import Address, Node, OrderKind, Phase, Snapshot
from eip_contract.report import OrderProgress


class TestR020Order:
    def test_a_failover_order_moves_the_address_off_a_healthy_holder(self) -> None:
        assert granted_to(decided(snapshot(at=address(order=order()))), "R020") == N2

    def test_an_unfit_target_ends_the_order_once_it_could_be_carried_out(self) -> None:
        cluster = snapshot(holding(), node(2, None), at=address(order=order()))
        decision = decided(cluster)
        assert isinstance(decision, Note)
        assert (decision.rule, decision.order) == ("R020", None)
        moving: dict[str, Any] = {"phase": Phase.MOVING, "deadline_ms": NOW + 1}
        waits = snapshot(holding(), node(2, None), at=address(order=order(), **moving))
        assert kept(decided(waits)) == "R030"

    def test_a_target_that_was_lost_and_has_not_answered_since_gets_nothing(self) -> None:
        lost = holding(suspects={"n2": 300}, ago_ms=50)
        at = address(order=order())
        silent = snapshot(lost, standing_by(2, ago_ms=500), at=at)
        assert kept(decided(silent)) == "R999", "the order waits for its answer"
        answers = decided(snapshot(lost, standing_by(2, ago_ms=100), at=at))
        assert granted_to(answers, "R020") == N2

    def test_the_order_is_not_closed_by_a_claim_from_before_its_grant(self) -> None:
        at = address(holder=N2, term=8, order=order(), changed_at_ms=NOW - 1_000)
        before = snapshot(standing_by(1), holding(2, ago_ms=1_001), at=at)
        assert kept(decided(before)) == "R020"
        after = decided(snapshot(standing_by(1), holding(2, ago_ms=999), at=at))
        assert isinstance(after, Note)

    def test_an_unfit_target_is_granted_with_force(self) -> None:
        cluster = snapshot(holding(), node(2, None), at=address(order=order(force=True)))
        assert granted_to(decided(cluster), "R020") == N2

    def test_the_order_pins_the_address_while_the_old_node_still_runs_it(self) -> None:
        at = address(holder=N2, term=8, order=order())
        assert kept(decided(snapshot(holding(1), standing_by(2), at=at))) == "R020"

    def test_the_order_ends_when_pacemaker_starts_elsewhere_for_long(self) -> None:
        at = address(holder=N2, term=8, order=order(), changed_at_ms=NOW - 30_000)
        elsewhere = claiming(1, lost=(), alarm_ms=29_000, state="started")
        decision = decided(snapshot(elsewhere, standing_by(2), at=at))
        assert granted_to(decision, "R061") == N1
        assert isinstance(decision, Grant)
        assert decision.ends_order
        early = replace(at, changed_at_ms=NOW - 29_999)
        assert kept(decided(snapshot(elsewhere, standing_by(2), at=early))) == "R020"

    def test_a_start_elsewhere_that_holds_pacemaker_up_ends_it_sooner(self) -> None:
        starts = claiming(1, lost=(), alarm_ms=12_000)
        at = address(holder=N2, term=8, order=order(), changed_at_ms=NOW - 12_000)
        decision = decided(snapshot(starts, standing_by(2), at=at))
        assert granted_to(decision, "R061") == N1
        assert "Pacemaker does not follow to n2, n1 claims" in decision.sentence
        early = replace(at, changed_at_ms=NOW - 11_999)
        assert kept(decided(snapshot(starts, standing_by(2), at=early))) == "R020"

    @pytest.mark.parametrize(
        ("target", "why"),
        [
            (going("terminated", standing_by(2)), "EC2 says that n2 is terminated"),
            (holding(2, resources={}), "n2 has said nothing of it for 11.0 s"),
            (
                standing_by(2, order=OrderProgress("ops-1", "failed", "exit status 1")),
                "Pacemaker did not follow to n2: exit status 1",
            ),
        ],
        ids=["terminated", "silent", "could not follow"],
    )
    def test_a_hopeless_order_ends_with_the_address_where_the_service_runs(
        self, target: Node, why: str
    ) -> None:
        at = address(holder=N2, term=8, order=order(), changed_at_ms=NOW - 11_000)
        runs = claiming(1, lost=(), alarm_ms=11_000, for_ms=11_000, ago_ms=0)
        decision = decided(snapshot(runs, target, at=at))
        assert isinstance(decision, Grant)
        assert (decision.holder, decision.ends_order) == (N1, True)
        assert decision.sentence.startswith(f"order ops-1 ends: {why}, n1 claims ")
        # Nobody to give it to: the order stands, and the copy elsewhere is not told that it lost.
        assert kept(decided(snapshot(holding(1), target, at=at))) == "R020"

    def test_a_hopeless_order_moves_nothing_while_paused(self) -> None:
        at = address(holder=N2, term=8, order=order(), changed_at_ms=NOW - 31_000)
        cluster = snapshot(claiming(1, lost=(), alarm_ms=500), standing_by(2), at=at)
        decision = decided(replace(cluster, paused_until_ms=NOW + 60_000))
        assert kept(decision) == "R010"

    def test_an_order_waits_for_a_move_whose_call_may_still_land(self) -> None:
        moving: dict[str, Any] = {"phase": Phase.MOVING, "changed_at_ms": NOW - 600}
        at = address(term=8, order=order(), deadline_ms=NOW + 1, **moving)
        assert kept(decided(snapshot(at=at))) == "R030"
        late = replace(at, deadline_ms=NOW)
        assert granted_to(decided(snapshot(at=late)), "R020") == N2

    @pytest.mark.parametrize("kind", list(OrderKind))
    def test_an_orders_end_waits_for_a_move_whose_call_may_still_land(
        self, kind: OrderKind
    ) -> None:
        given_meanwhile = order(target=N3, kind=kind, until_ms=NOW)
        moving: dict[str, Any] = {"phase": Phase.MOVING, "holder": N2, "changed_at_ms": NOW - 600}
        at = address(term=8, order=given_meanwhile, deadline_ms=NOW + 1, **moving)
        members = ("n1", "n3")
        majority: dict[str, Any] = {"members": members, "quorum_mode": "majority"}
        quorate = claiming(3, lost=("n2",), alarm_ms=500, **majority)
        cut_off = holding(2, members=("n2",), quorate=False, quorum_mode="majority")
        nodes = (standing_by(1), cut_off, quorate)
        assert kept(decided(snapshot(*nodes, at=at))) == "R030"
        landed = replace(at, phase=Phase.SETTLED)
        decision = decided(snapshot(*nodes, at=landed))
        assert isinstance(decision, Grant)
        assert (decision.holder, decision.ends_order) == (N3, True)

    def test_the_order_is_closed_when_its_target_claims(self) -> None:
        at = address(holder=N2, term=8, order=order())
        decision = decided(snapshot(standing_by(1), holding(2), at=at))
        assert isinstance(decision, Note)
        assert (decision.rule, decision.order) == ("R020", None)

    def test_the_order_is_closed_when_it_expires(self) -> None:
        decision = decided(snapshot(at=address(order=order(until_ms=NOW))))
        assert isinstance(decision, Note)
        assert decision.order is None

    def test_an_unfinished_move_of_an_order_is_resumed_like_any_other(self) -> None:
        at = address(holder=N2, term=8, order=order(), phase=Phase.MOVING, deadline_ms=NOW)
        assert isinstance(decided(snapshot(at=at)), Resume)


class TestR010Paused:
    def paused(self, *nodes: Node, at: Address | None = None) -> Snapshot:
        return replace(snapshot(*nodes, at=at), paused_until_ms=NOW + 60_000)

    def test_nothing_is_granted_and_the_sentence_says_what_would_have_been(self) -> None:
        decision = decided(self.paused(dead(), claiming()))
        assert kept(decision) == "R010"
        assert "by R070: n2 gets 203.0.113.10" in decision.sentence

    def test_an_order_is_carried_out_all_the_same(self) -> None:
        cluster = self.paused(holding(), standing_by(), at=address(order=order()))
        assert granted_to(decided(cluster), "R020") == N2

    def test_a_move_that_was_granted_before_goes_on(self) -> None:
        at = address(phase=Phase.MOVING, deadline_ms=NOW)
        assert isinstance(decided(self.paused(holding(), claiming(), at=at)), Resume)

    def test_drift_is_not_repaired_meanwhile(self) -> None:
        assert kept(decided(self.paused(holding(public_ips=()), standing_by()))) == "R010"

    def test_it_ends_by_itself(self) -> None:
        over = replace(snapshot(dead(), claiming()), paused_until_ms=NOW)
        assert granted_to(decided(over), "R070") == N2


class TestR040FlapBrake:
    MOVES = (NOW - 500_000, NOW - 400_000, NOW - 300_000)

    def going_holder(self) -> Node:
        return going("stopping", holding(ago_ms=10))

    def test_a_fourth_move_off_a_holder_that_still_runs_it_is_blocked(self) -> None:
        at = address(recent_moves_ms=self.MOVES)
        assert kept(decided(snapshot(self.going_holder(), claiming(), at=at))) == "R040"

    def test_a_holder_that_runs_it_unwell_keeps_it_too(self) -> None:
        at = address(recent_moves_ms=self.MOVES)
        unwell = holding(failing=("nginx",), ago_ms=10)
        assert kept(decided(snapshot(unwell, claiming(), at=at))) == "R040"

    def test_a_split_brain_is_still_called_one_with_the_brake_on(self) -> None:
        at = address(recent_moves_ms=self.MOVES)
        assert decided(snapshot(holding(ago_ms=10), claiming(), at=at)).rule == "R072"

    def test_two_moves_do_not_put_it_on(self) -> None:
        at = address(recent_moves_ms=self.MOVES[1:])
        cluster = snapshot(self.going_holder(), claiming(), at=at)
        assert granted_to(decided(cluster), "R060") == N2

    def test_old_moves_do_not_count(self) -> None:
        at = address(recent_moves_ms=(NOW - 600_000, *self.MOVES[1:]))
        cluster = snapshot(self.going_holder(), claiming(), at=at)
        assert granted_to(decided(cluster), "R060") == N2

    def test_a_dead_holder_is_left_all_the_same(self) -> None:
        at = address(recent_moves_ms=self.MOVES)
        cluster = snapshot(dead(silent_ms=30_000), claiming(), at=at)
        assert granted_to(decided(cluster), "R070") == N2
