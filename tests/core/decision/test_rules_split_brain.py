"""R071, R072: two claim, and the holder answers."""

from __future__ import annotations

from dataclasses import replace

from builders import N2, NOW, address, claiming, dead, decided, holding, snapshot
from core.decision.expected import granted_to, kept
from eip_arbiter.decision.outcome import Note
from eip_arbiter.decision.snapshot import Refusal, Snapshot


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
