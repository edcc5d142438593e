"""R050 to R070 and R999: a claim gets what nobody holds, or one that goes or is silent held."""

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
from core.decision.expected import granted_to, kept, order


def test_all_well_keeps_the_address() -> None:
    assert kept(decided(snapshot())) == "R999"


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

    def test_who_would_lose_an_elastic_ip_of_its_own_is_granted_for_want_of_another(self) -> None:
        loser = replace(claiming(), own_elastic_ips={"10.0.1.10": "198.51.100.7"})
        cluster = snapshot(standing_by(1), loser, at=address(holder=None))
        assert granted_to(decided(cluster), "R050") == N2
        another = replace(claiming(3), priority=-1)
        cluster = snapshot(standing_by(1), loser, another, at=address(holder=None))
        assert granted_to(decided(cluster), "R050") == N3

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
            {"failing": ("nginx.service",)},
        ],
        ids=["pacemaker offline", "unhealthy"],
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

    def test_a_view_that_cannot_be_read_is_no_release(self) -> None:
        unread = last_report(1, state="unknown", for_ms=100, ago_ms=0, pacemaker_state="unknown")
        assert kept(decided(snapshot(node(1, unread), claiming()))) == "R999"

    def test_a_release_without_a_claim_moves_nothing(self) -> None:
        assert kept(decided(snapshot(standing_by(1, for_ms=0), standing_by(2)))) == "R999"


class TestR070Silent:
    @pytest.mark.parametrize(
        "says",
        [
            {"state": "unknown", "for_ms": 3_100, "pacemaker_state": "unknown"},
            {"state": "unknown", "for_ms": 3_100},
            {"resources": {}},
            {"state": "started", "pacemaker_state": "unknown"},
            {"state": "starting", "for_ms": 8_100, "pacemaker_state": "unknown"},
        ],
        ids=[
            "unread",
            "unknown",
            "names no resource",
            "started, unread",
            "starts for long, unread",
        ],
    )
    def test_who_speaks_and_does_not_claim_is_as_silent_as_who_does_not_speak(
        self, says: dict[str, Any]
    ) -> None:
        speaks = node(1, last_report(1, ago_ms=0, next_report_within_ms=1_000, **says))
        assert granted_to(decided(snapshot(speaks, claiming(alarm_ms=3_100))), "R070") == N2
        assert kept(decided(snapshot(speaks, claiming(alarm_ms=3_099)))) == "R999"

    def test_a_holder_owes_an_answer_from_when_it_could_no_longer_read(self) -> None:
        unread: dict[str, Any] = {"state": "unknown", "pacemaker_state": "unknown", "ago_ms": 0}
        young = node(1, last_report(1, for_ms=3_099, **unread))
        old = node(1, last_report(1, for_ms=3_100, **unread))
        assert kept(decided(snapshot(young, claiming(alarm_ms=9_000)))) == "R999"
        assert granted_to(decided(snapshot(old, claiming(alarm_ms=9_000))), "R070") == N2

    def test_an_agent_that_does_not_name_the_resource_is_silent_since_it_started(self) -> None:
        now_s = NOW // 1_000
        young = node(1, last_report(1, ago_ms=0, resources={}, incarnation=now_s - 4))
        old = node(1, last_report(1, ago_ms=0, resources={}, incarnation=now_s - 5))
        assert kept(decided(snapshot(young, claiming(alarm_ms=9_000)))) == "R999"
        assert granted_to(decided(snapshot(old, claiming(alarm_ms=9_000))), "R070") == N2

    def test_a_start_is_a_claim_also_where_pacemakers_view_cannot_be_read(self) -> None:
        unread = claiming(pacemaker_state="unknown", alarm_ms=3_500)
        assert granted_to(decided(snapshot(dead(), unread)), "R070") == N2
        for_long = claiming(pacemaker_state="unknown", for_ms=5_001, alarm_ms=12_000)
        assert kept(decided(snapshot(dead(silent_ms=12_000), for_long))) == "R999"

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
