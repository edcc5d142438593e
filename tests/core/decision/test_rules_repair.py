"""R030, R031, R080, R090: what is under way, not where it should be, or not used."""

from __future__ import annotations

from dataclasses import replace

from builders import N1, N2, NOW, address, claiming, dead, decided, holding, snapshot, standing_by
from core.decision.expected import granted_to, kept
from eip_arbiter.decision.outcome import Release, Resume
from eip_arbiter.decision.snapshot import Phase


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


class TestR080Drift:
    def test_an_address_that_is_not_on_its_holder_is_restored(self) -> None:
        at = address(changed_at_ms=NOW - 16_000)
        cluster = snapshot(holding(public_ips=()), standing_by(), at=at)
        assert granted_to(decided(cluster), "R080") == N1

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

    def test_a_claim_that_is_refused_or_passed_over_does_not_hide_it(self) -> None:
        at = address(changed_at_ms=NOW - 16_000)
        gone = holding(public_ips=(), ago_ms=100)
        for other in (claiming(), replace(claiming(), nofailover=True)):
            assert granted_to(decided(snapshot(gone, other, at=at)), "R080") == N1

    def test_a_holder_that_has_not_answered_a_challenge_is_not_put_right(self) -> None:
        at = address(changed_at_ms=NOW - 16_000)
        silent = holding(public_ips=(), ago_ms=2_500)
        assert decided(snapshot(silent, claiming(alarm_ms=2_000), at=at)).rule == "R999"


class TestR090Unused:
    def test_a_released_address_that_nobody_claims_is_taken_off(self) -> None:
        long_ago = address(changed_at_ms=NOW - 90_000)
        decision = decided(snapshot(standing_by(1, for_ms=60_000), standing_by(2), at=long_ago))
        assert isinstance(decision, Release)
        assert decision.rule == "R090"

    def test_what_was_before_the_grant_releases_nothing(self) -> None:
        # Granted 2 s ago by an order, where nothing had run for a day.
        just_now = address(changed_at_ms=NOW - 2_000)
        a_day = standing_by(1, for_ms=86_400_000)
        assert kept(decided(snapshot(a_day, standing_by(2), at=just_now))) == "R999"

    def test_it_stays_until_the_release_time_is_over(self) -> None:
        assert kept(decided(snapshot(standing_by(1, for_ms=59_999), standing_by(2)))) == "R999"

    def test_the_last_word_of_a_silent_node_is_no_release(self) -> None:
        old = standing_by(1, for_ms=60_000, ago_ms=22_001)
        assert kept(decided(snapshot(old, standing_by(2)))) == "R999"
