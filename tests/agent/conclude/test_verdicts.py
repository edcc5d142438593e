"""Only positive evidence grants, loses or forgets: the tables of truth."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from agent.conclude.test_view import ME, PEER, sight, status, with_view
from eip_agent.conclude.verdicts import (
    clean_up_reason,
    failure_is_gone,
    monitor_verdict,
    start_verdict,
    taken_away,
)
from eip_agent.remember.sight import NEVER, Sight, Word

LAG = 10.0


def starting(**changes: Any) -> Sight:
    base = sight(
        words={"eip": Word("starting", 90.0, claim=(1, 9))}, status=status(ME), status_at=95.0
    )
    return dataclasses.replace(base, **changes)


def test_a_start_is_granted_by_a_later_status_that_has_seen_the_claim() -> None:
    verdict = start_verdict(starting(), "eip")
    assert (verdict.outcome, verdict.term, verdict.public_ip) == ("granted", 3, "203.0.113.7")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"status": None, "status_at": NEVER}, "does not know this cluster"),
        ({"status_at": 89.0}, "does not know"),
        ({"words": {"eip": Word("starting", 90.0, claim=(2, 0))}}, "did not answer"),
        ({"publish_trouble": "dns: x"}, "granted"),
        ({"status": status(ME, phase="moving")}, "still giving"),
        ({"status": status(None)}, "still giving"),
        ({"status": status(PEER)}, "n2 holds 203.0.113.7 by term 3"),
    ],
)
def test_a_start_waits_on_anything_less(changes: dict[str, Any], says: str) -> None:
    verdict = start_verdict(starting(**changes), "eip")
    assert verdict.outcome == ("granted" if says == "granted" else "waiting")
    assert says in verdict.reason


def test_a_start_gives_up_at_once_when_the_holder_is_back_and_runs_the_resource() -> None:
    back = with_view(running_on={"eip": frozenset({"n2"})})
    whole = starting(status=status(PEER), pacemaker=back, advanced_at={PEER: 99.0})
    verdict = start_verdict(whole, "eip")
    assert verdict.outcome == "refused"
    assert "heard of 1.0 s ago" in verdict.reason
    for changes in (
        {"links": {2: False}},
        {"pacemaker": dataclasses.replace(back, running_on={"eip": frozenset()})},
        {"pacemaker": dataclasses.replace(back, members=("n1",))},
        {"pacemaker_at": 89.0},
    ):
        assert start_verdict(dataclasses.replace(whole, **changes), "eip").outcome == "waiting"


def test_a_start_gives_up_when_the_link_to_a_speaking_holder_comes_back() -> None:
    back = starting(
        status=status(PEER),
        pacemaker=with_view(members=("n1",), lost=frozenset({"n2"})),
        link_changed_at={2: 98.0},
        advanced_at={PEER: 98.5},
    )
    assert start_verdict(back, "eip").outcome == "refused"
    less: list[dict[str, Any]] = [
        {"links": {2: False}},
        {"links": None},
        {"link_changed_at": {2: 89.0}},
        {"link_changed_at": {2: 99.8}},
        {"advanced_at": {PEER: 97.0}},
        {"advanced_at": {}},
    ]
    for changes in less:
        assert start_verdict(dataclasses.replace(back, **changes), "eip").outcome == "waiting"


def started(**changes: Any) -> Sight:
    base = sight(
        words={"eip": Word("started", 80.0, term=3, public_ip="203.0.113.7")},
        status=status(ME),
        status_at=99.0,
    )
    return dataclasses.replace(base, **changes)


LATER_TERM = status(PEER, term=4)
ORDERED = status(PEER, term=4, order_target=PEER, order_id="o1", order_until_ms=2_000)
ABSENT: dict[str, Any] = {"absent": {"eip": (97.0, 99.5)}}
UNREADABLE: dict[str, Any] = {"status_trouble": "timeout: x", "status_at": 80.5}


@pytest.mark.parametrize(
    ("changes", "outcome"),
    [
        ({}, "holds"),
        ({"status": LATER_TERM}, "lost"),
        ({"status": status(PEER, term=3)}, "unknown"),
        ({"status": LATER_TERM, "status_at": 79.0}, "unknown"),
        ({"status": LATER_TERM, "words": {"eip": Word("started", 80.0)}}, "lost"),
        ({"status": ORDERED}, "holds"),
        ({"status": dataclasses.replace(ORDERED)} | {"now": 100.0}, "holds"),
        ({"status": status(None)}, "unknown"),
        ({"status": status(None), **ABSENT}, "unknown"),
        ({"status": None, "status_at": NEVER}, "unknown"),
        ({**UNREADABLE}, "unknown"),
        ({**ABSENT}, "holds"),
        ({**ABSENT, "status_trouble": "one failed read"}, "holds"),
        ({**ABSENT, **UNREADABLE}, "lost"),
        ({"absent": {"eip": (99.5, 99.5)}, **UNREADABLE}, "unknown"),
        ({"absent": {"eip": (82.0, 95.0)}, **UNREADABLE}, "unknown"),
        ({**ABSENT, **UNREADABLE, "status_at": 84.9}, "unknown"),
        ({**ABSENT, "status_at": 80.5}, "lost"),
        (
            {**ABSENT, **UNREADABLE, "words": {"eip": Word("started", 95.0, term=3)}},
            "unknown",
        ),
    ],
)
def test_an_address_is_lost_only_by_positive_evidence(
    changes: dict[str, Any], outcome: str
) -> None:
    assert monitor_verdict(started(**changes), "eip", 1_000, LAG).outcome == outcome


def in_table(table_id: str, term: int, *, heard: bool = True, phase: str = "settled") -> Any:
    """The status of a table in which the peer holds the address."""
    found = dataclasses.replace(status(PEER, term=term, phase=phase), table_id=table_id)
    return found if heard else dataclasses.replace(found, last_reports={PEER: (1, 5)})


@pytest.mark.parametrize(
    ("found", "lost"),
    [
        (in_table("t", 4), True),
        (in_table("t", 3), False),
        (in_table("t", 4, heard=False), True),
        (in_table("new", 1), True),
        (in_table("new", 1, heard=False), False),
        (in_table("new", 1, phase="moving"), False),
        (in_table("new", 9, phase="moving"), False),
    ],
)
def test_a_term_means_something_only_in_its_own_table(found: Any, lost: bool) -> None:
    word = Word("started", 80.0, term=3, public_ip="203.0.113.7", table_id="t")
    s = started(status=found, words={"eip": word})
    assert (monitor_verdict(s, "eip", 1_000, LAG).outcome == "lost") is lost
    assert taken_away(s, "eip") is lost


def test_a_grant_is_remembered_with_its_table() -> None:
    found = dataclasses.replace(status(ME), table_id="t")
    assert start_verdict(starting(status=found), "eip").table_id == "t"


def test_an_order_that_has_expired_protects_nobody() -> None:
    assert monitor_verdict(started(status=ORDERED), "eip", 3_000, LAG).outcome == "lost"


def test_an_order_that_sends_the_address_here_keeps_the_copy_that_it_needs() -> None:
    to_me = status(PEER, term=4, order_target=ME, order_id="o1", order_until_ms=600_000)
    s = started(status=to_me, orders_since={"o1": 95.0})
    assert monitor_verdict(s, "eip", 1_000, LAG).outcome == "unknown"
    assert not taken_away(s, "eip")


def test_an_order_that_has_stood_for_long_keeps_no_copy() -> None:
    to_me = status(PEER, term=4, order_target=ME, order_id="o1", order_until_ms=600_000)
    s = started(status=to_me, orders_since={"o1": 85.0})
    assert monitor_verdict(s, "eip", 1_000, LAG).outcome == "lost"
    assert taken_away(s, "eip")


PAUSED = dataclasses.replace(status(PEER), paused_until_ms=2_000)
APART = with_view(members=("n1",), lost=frozenset({"n2"}))


@pytest.mark.parametrize(
    ("changes", "may"),
    [
        ({}, True),
        ({"pacemaker": APART, "advanced_at": {PEER: 99.0}}, False),
        ({"pacemaker": APART, "advanced_at": {PEER: 89.0}}, True),
        ({"pacemaker": APART, "status": status(None)}, True),
        ({"pacemaker": APART, "status": status(ME)}, True),
        ({"links": {2: False}, "advanced_at": {PEER: 99.0}}, False),
        ({"publish_trouble": "dns: x"}, False),
        ({"status_trouble": "dns: x"}, False),
        ({"status_at": 60.0}, False),
        ({"pacemaker": with_view(state="unknown")}, False),
        ({"pacemaker": with_view(state="standby")}, True),
        ({"pacemaker_trouble": "no answer"}, False),
        ({"advanced_at": {ME: 79.0}}, False),
        ({"status": PAUSED}, False),
        ({"status": dataclasses.replace(PAUSED, paused_until_ms=900)}, True),
        ({"status": dataclasses.replace(status(ME), paused_until_ms=2_000)}, True),
    ],
)
def test_a_refused_start_is_forgotten_only_once_its_reason_is_gone(
    changes: dict[str, Any], may: bool
) -> None:
    heard = {ME: 99.0, **changes.get("advanced_at", {PEER: 99.0})}
    refused = dataclasses.replace(sight(status=status(PEER), status_at=99.0), **changes)
    refused = dataclasses.replace(refused, advanced_at=heard)
    assert bool(clean_up_reason(refused, "eip", 1_000)) is may


def test_a_failure_that_pacemaker_no_longer_shows_needs_no_clean_up() -> None:
    assert failure_is_gone(sight(), "eip", since=80.0)
    assert not failure_is_gone(sight(), "eip", since=90.0)
    shown = with_view(failed_here=frozenset({"eip"}))
    assert not failure_is_gone(sight(pacemaker=shown), "eip", since=80.0)
