"""Each rule fires where it should, and narrowly does not where it should not."""

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
    last_report,
    node,
    snapshot,
    standing_by,
)
from eip_arbiter.decision.outcome import Decision, Grant, Keep, Note, Release, Resume
from eip_arbiter.decision.snapshot import Address, Node, Order, Phase, Refusal, Snapshot


def granted_to(decision: Decision, rule: str) -> str:
    assert isinstance(decision, Grant), decision
    assert decision.rule == rule, decision
    return decision.holder


def kept(decision: Decision) -> str:
    assert isinstance(decision, Keep), decision
    return decision.rule


def order(**changes: Any) -> Order:
    made = Order("ops-1", target=N2, force=False, issued_at_ms=NOW - 1_000, until_ms=NOW + 60_000)
    return replace(made, **changes)


def test_all_well_keeps_the_address() -> None:
    assert kept(decided(snapshot())) == "R999"


class TestR020Order:
    def test_a_failover_order_moves_the_address_off_a_healthy_holder(self) -> None:
        assert granted_to(decided(snapshot(at=address(order=order()))), "R020") == N2

    def test_an_unfit_target_is_passed_over_without_force(self) -> None:
        cluster = snapshot(holding(), node(2, None), at=address(order=order()))
        assert kept(decided(cluster)) == "R999"

    def test_an_unfit_target_is_granted_with_force(self) -> None:
        cluster = snapshot(holding(), node(2, None), at=address(order=order(force=True)))
        assert granted_to(decided(cluster), "R020") == N2

    def test_the_order_pins_the_address_while_the_old_node_still_runs_it(self) -> None:
        at = address(holder=N2, term=8, order=order())
        assert kept(decided(snapshot(holding(1), standing_by(2), at=at))) == "R020"

    def test_the_order_ends_when_pacemaker_starts_elsewhere_for_long(self) -> None:
        at = address(holder=N2, term=8, order=order(), changed_at_ms=NOW - 30_000)
        elsewhere = claiming(1, lost=(), alarm_ms=29_000)
        decision = decided(snapshot(elsewhere, standing_by(2), at=at))
        assert isinstance(decision, Note)
        assert decision.order is None
        early = replace(at, changed_at_ms=NOW - 29_999)
        assert kept(decided(snapshot(elsewhere, standing_by(2), at=early))) == "R020"

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


class TestR071QuorateSide:
    def sides(self, *, holder: bool, claimant: bool, mode: str = "majority") -> Snapshot:
        return snapshot(
            holding(ago_ms=100, quorate=holder, quorum_mode=mode),
            claiming(quorate=claimant, quorum_mode=mode),
        )

    def test_the_only_quorate_side_wins_over_an_answering_holder(self) -> None:
        assert granted_to(decided(self.sides(holder=False, claimant=True)), "R071") == N2

    def test_two_quorate_sides_are_a_split_brain(self) -> None:
        assert decided(self.sides(holder=True, claimant=True)).rule == "R072"

    def test_the_quorum_of_two_node_clusters_proves_nothing(self) -> None:
        cluster = self.sides(holder=False, claimant=True, mode="two_node")
        assert decided(cluster).rule == "R072"

    def test_a_claimant_that_sees_the_holder_again_waits_for_its_word(self) -> None:
        cluster = snapshot(
            holding(ago_ms=100, quorate=False, quorum_mode="majority"),
            claiming(lost=(), quorate=True, quorum_mode="majority"),
        )
        assert decided(cluster).rule != "R071"

    def test_a_claimant_without_quorum_wins_nothing(self) -> None:
        assert decided(self.sides(holder=False, claimant=False)).rule == "R072"


class TestR030AndR031Moving:
    def test_a_move_before_its_deadline_is_left_alone(self) -> None:
        at = address(phase=Phase.MOVING, deadline_ms=NOW + 1)
        assert kept(decided(snapshot(dead(), claiming(), at=at))) == "R030"

    def test_a_move_at_its_deadline_is_resumed(self) -> None:
        at = address(phase=Phase.MOVING, deadline_ms=NOW)
        decision = decided(snapshot(holding(), claiming(), at=at))
        assert isinstance(decision, Resume)
        assert decision.rule == "R031"

    def test_one_to_a_node_that_the_rules_would_leave_is_not(self) -> None:
        at = address(phase=Phase.MOVING, deadline_ms=NOW)
        assert granted_to(decided(snapshot(dead(), claiming(), at=at)), "R070") == N2

    def test_a_claimant_where_the_release_still_removes_it_waits(self) -> None:
        at = address(holder=None, phase=Phase.MOVING, deadline_ms=NOW + 5_000)
        assert kept(decided(snapshot(claiming(1), standing_by(2), at=at))) == "R030"

    def test_an_unfinished_release_does_not_keep_a_claimant_waiting(self) -> None:
        at = address(holder=None, phase=Phase.MOVING, deadline_ms=NOW + 5_000)
        assert granted_to(decided(snapshot(standing_by(1), claiming(), at=at)), "R050") == N2


class TestR050Unclaimed:
    def test_the_first_claim_of_an_address_that_nobody_holds_is_granted(self) -> None:
        cluster = snapshot(holding(), standing_by(), at=address(holder=None))
        assert granted_to(decided(cluster), "R050") == N1

    def test_nobody_gets_it_while_nobody_claims(self) -> None:
        cluster = snapshot(standing_by(1), standing_by(2), at=address(holder=None))
        assert kept(decided(cluster)) == "R999"

    def test_a_claim_that_is_no_longer_fresh_is_no_claim(self) -> None:
        gone = claiming(ago_ms=3_001)  # twice 500 ms, plus 2 s
        cluster = snapshot(standing_by(1), gone, at=address(holder=None))
        assert kept(decided(cluster)) == "R999"

    def test_a_node_marked_nofailover_is_never_granted(self) -> None:
        cluster = snapshot(
            standing_by(1), replace(claiming(), nofailover=True), at=address(holder=None)
        )
        assert kept(decided(cluster)) == "R999"

    @pytest.mark.parametrize(
        ("better", "worse"),
        [
            ({"quorate": True}, {"quorate": False}),
            ({"members": ("n2", "n3")}, {"members": ("n3",)}),
            ({"for_ms": 900}, {"for_ms": 100}),
        ],
        ids=["quorate", "larger membership", "earlier claim"],
    )
    def test_the_best_of_several_claimants_is_granted(
        self, better: dict[str, Any], worse: dict[str, Any]
    ) -> None:
        same: dict[str, Any] = {"members": ("n2", "n3"), "for_ms": 500}
        for first, second, best in ((better, worse, N2), (worse, better, N3)):
            cluster = snapshot(
                claiming(2, **(same | first)),
                claiming(3, **(same | second)),
                at=address(holder=None),
            )
            assert granted_to(decided(cluster), "R050") == best

    def test_priority_decides_among_equals_before_time(self) -> None:
        cluster = snapshot(
            claiming(2, for_ms=900), replace(claiming(3), priority=5), at=address(holder=None)
        )
        assert granted_to(decided(cluster), "R050") == N3


class TestR060InstanceGoes:
    @pytest.mark.parametrize("state", ["stopping", "stopped", "shutting-down", "terminated"])
    def test_a_claimant_need_not_wait_when_ec2_says_that_the_holder_goes(self, state: str) -> None:
        cluster = snapshot(going(state, holding()), claiming(alarm_ms=100))
        assert granted_to(decided(cluster), "R060") == N2

    def test_a_running_instance_is_no_evidence(self) -> None:
        cluster = snapshot(going("running", dead()), claiming(alarm_ms=100))
        assert kept(decided(cluster)) == "R999"

    def test_evidence_is_void_once_the_agent_started_anew(self) -> None:
        stopped = going("stopped", holding(ago_ms=10))
        assert stopped.report is not None
        back = replace(stopped, report=replace(stopped.report, incarnation=2))
        decision = decided(snapshot(back, claiming()))
        assert decision.rule == "R072"

    def test_a_claimant_whose_own_instance_goes_gets_nothing(self) -> None:
        cluster = snapshot(dead(silent_ms=9_000), going("stopping", claiming()))
        assert kept(decided(cluster)) == "R999"

    def test_without_a_claim_nothing_moves(self) -> None:
        assert kept(decided(snapshot(going("terminated", dead()), standing_by()))) == "R999"


class TestR061GaveUp:
    @pytest.mark.parametrize(
        "changes",
        [
            {"resources": {}, "pacemaker_state": "offline"},
            {"pacemaker_state": "unknown"},
            {"failing": ("nginx.service",)},
        ],
        ids=["pacemaker offline", "unreadable", "unhealthy"],
    )
    def test_a_holder_that_cannot_serve_loses_to_a_claim(self, changes: dict[str, Any]) -> None:
        assert granted_to(decided(snapshot(holding(**changes), claiming())), "R061") == N2

    def test_a_holder_that_joins_again_after_a_heal_has_not_given_up(self) -> None:
        joining = holding(pacemaker_state="pending", ago_ms=10, next_report_within_ms=1_000)
        assert decided(snapshot(joining, claiming())).rule == "R072"

    @pytest.mark.parametrize("state", ["stopped", "failed"])
    def test_a_release_or_a_failure_gives_way_at_once(self, state: str) -> None:
        released = node(1, last_report(1, state=state))
        calm = claiming(lost=(), alarm_ms=10)
        assert granted_to(decided(snapshot(released, calm)), "R061") == N2

    def test_a_resource_of_unknown_state_is_no_release(self) -> None:
        unclear = node(1, last_report(1, state="unknown", ago_ms=0))
        assert kept(decided(snapshot(unclear, claiming()))) == "R999"

    def test_a_release_without_a_claim_moves_nothing(self) -> None:
        assert kept(decided(snapshot(standing_by(1, for_ms=0), standing_by(2)))) == "R999"


class TestR070Silent:
    def test_a_holder_silent_since_the_challenge_loses(self) -> None:
        cluster = snapshot(dead(silent_ms=4_000), claiming(alarm_ms=3_100))
        assert granted_to(decided(cluster), "R070") == N2

    def test_one_millisecond_earlier_it_does_not(self) -> None:
        cluster = snapshot(dead(silent_ms=4_000), claiming(alarm_ms=3_099))
        assert kept(decided(cluster)) == "R999"

    def test_the_time_runs_from_the_last_answer(self) -> None:
        cluster = snapshot(dead(silent_ms=2_999), claiming(alarm_ms=20_000))
        assert decided(cluster).rule == "R072"

    def test_an_older_alarm_about_another_node_does_not_shorten_the_time(self) -> None:
        # n2 has been in alarm about n3 for 20 s and lost sight of the holder only 1 s ago.
        report: dict[str, Any] = {"suspects": {"n3": 20_000, "n1": 1_000}, "for_ms": 10}
        cluster = snapshot(dead(silent_ms=9_000), claiming(alarm_ms=20_000, **report))
        assert kept(decided(cluster)) == "R999"

    def test_an_alarm_from_before_the_grant_does_not_shorten_the_time(self) -> None:
        at = address(changed_at_ms=NOW - 1_000)
        cluster = snapshot(dead(silent_ms=9_000), claiming(alarm_ms=8_000), at=at)
        assert kept(decided(cluster)) == "R999"

    def test_a_holder_in_sight_may_be_silent_for_as_long_as_it_promised(self) -> None:
        in_sight: dict[str, Any] = {"lost": (), "alarm_ms": 9_000, "for_ms": 9_000}
        silent = dead(silent_ms=9_500)
        assert kept(decided(snapshot(silent, claiming(**in_sight)))) == "R999"
        longer: dict[str, Any] = {"lost": (), "alarm_ms": 12_000, "for_ms": 12_000}
        gone = dead(silent_ms=12_000)
        assert granted_to(decided(snapshot(gone, claiming(**longer))), "R070") == N2

    def test_a_dead_holder_without_a_claimant_keeps_it(self) -> None:
        assert kept(decided(snapshot(dead(silent_ms=900_000), standing_by()))) == "R999"

    def test_the_dead_holders_own_last_claim_never_brings_it_back(self) -> None:
        at = address(holder=N2, term=8)
        gave_up = standing_by(2, members=("n2",), for_ms=1_000)
        assert kept(decided(snapshot(dead(1, silent_ms=60_000), gave_up, at=at))) == "R999"


class TestR072SplitBrain:
    def answering(self) -> Snapshot:
        return snapshot(holding(ago_ms=200, next_report_within_ms=1_000), claiming())

    def test_a_holder_that_answers_keeps_it_and_the_refusal_is_noted(self) -> None:
        decision = decided(self.answering())
        assert isinstance(decision, Note)
        assert decision.rule == "R072"
        assert decision.refusal == Refusal(N2, NOW)

    def test_the_same_refusal_is_noted_once(self) -> None:
        cluster = self.answering()
        noted = address(refusal=Refusal(N2, NOW - 500))
        again = replace(cluster, addresses={"eip": noted})
        assert kept(decided(again)) == "R072"

    def test_a_report_from_before_the_challenge_is_no_answer(self) -> None:
        cluster = snapshot(holding(ago_ms=1_000), claiming(alarm_ms=500))
        assert kept(decided(cluster)) == "R999"

    def test_the_last_word_of_the_holder_before_this_one_is_no_challenge(self) -> None:
        at = address(holder=N2, term=8, changed_at_ms=NOW - 4_999)
        cluster = snapshot(dead(1, silent_ms=5_000), claiming(2, ago_ms=10), at=at)
        assert kept(decided(cluster)) == "R999"

    def test_a_late_heartbeat_of_a_holder_that_died_takes_nothing_back(self) -> None:
        # It believed that it held the address, so it awaited nothing.
        at = address(holder=N2, term=8, changed_at_ms=NOW - 20_000)
        late = holding(1, ago_ms=100)
        silent = dead(2, silent_ms=15_000)
        assert kept(decided(snapshot(late, silent, at=at))) == "R999"

    def test_a_late_claim_from_before_the_grant_is_no_split_brain(self) -> None:
        at = address(holder=N2, term=8, changed_at_ms=NOW - 5_000)
        answers = holding(2, ago_ms=0)
        before = claiming(1, lost=("n2",), alarm_ms=20_000, ago_ms=0, late_ms=5_000)
        assert kept(decided(snapshot(before, answers, at=at))) == "R999"
        after = claiming(1, lost=("n2",), alarm_ms=20_000, ago_ms=0, late_ms=4_999)
        assert decided(snapshot(after, answers, at=at)).rule == "R072"

    def test_the_challenge_is_closed_when_nobody_challenges_any_more(self) -> None:
        decision = decided(snapshot(at=address(refusal=Refusal(N2, NOW - 9_000))))
        assert isinstance(decision, Note)
        assert decision.refusal is None


class TestR080Drift:
    def test_an_address_that_is_not_on_its_holder_is_restored(self) -> None:
        assert granted_to(decided(snapshot(holding(public_ips=()), standing_by())), "R080") == N1

    def test_an_address_that_is_there_is_left_alone(self) -> None:
        there = holding(public_ips=("198.51.100.1", "203.0.113.10"))
        assert kept(decided(snapshot(there, standing_by()))) == "R999"

    def test_a_silent_metadata_service_proves_nothing(self) -> None:
        assert kept(decided(snapshot(holding(public_ips=None), standing_by()))) == "R999"

    def test_a_late_report_tells_of_the_time_when_it_was_said(self) -> None:
        at = address(changed_at_ms=NOW - 20_000)
        before = holding(public_ips=(), ago_ms=0, late_ms=5_000)
        assert kept(decided(snapshot(before, standing_by(), at=at))) == "R999"
        after = holding(public_ips=(), ago_ms=0, late_ms=4_999)
        assert granted_to(decided(snapshot(after, standing_by(), at=at)), "R080") == N1

    def test_the_metadata_service_may_lag_after_a_move(self) -> None:
        at = address(changed_at_ms=NOW - 15_000)
        late = snapshot(holding(public_ips=(), ago_ms=0), standing_by(), at=at)
        assert kept(decided(late)) == "R999"

    def test_a_challenge_is_decided_before_drift(self) -> None:
        cluster = snapshot(holding(public_ips=(), ago_ms=100), claiming())
        assert decided(cluster).rule == "R072"


class TestR090Unused:
    def test_a_released_address_that_nobody_claims_is_taken_off(self) -> None:
        decision = decided(snapshot(standing_by(1, for_ms=60_000), standing_by(2)))
        assert isinstance(decision, Release)
        assert decision.rule == "R090"

    def test_it_stays_until_the_release_time_is_over(self) -> None:
        assert kept(decided(snapshot(standing_by(1, for_ms=59_999), standing_by(2)))) == "R999"

    def test_the_last_word_of_a_silent_node_is_no_release(self) -> None:
        old = standing_by(1, for_ms=60_000, ago_ms=22_001)
        assert kept(decided(snapshot(old, standing_by(2)))) == "R999"


def test_every_decision_says_one_plain_sentence_with_the_address_in_it() -> None:
    clusters = [
        snapshot(),
        snapshot(dead(), claiming()),
        snapshot(holding(ago_ms=10), claiming()),
        snapshot(holding(public_ips=()), standing_by()),
        snapshot(standing_by(1), standing_by(2)),
        snapshot(at=address(order=order())),
    ]
    for cluster in clusters:
        sentence = decided(cluster).sentence
        assert "203.0.113.10 (eip)" in sentence
        assert "\n" not in sentence
