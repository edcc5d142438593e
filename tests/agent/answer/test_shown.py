"""`eip-agent status` for people: what the agent sees, last said, and was last answered."""

from __future__ import annotations

from typing import Any

from eip_agent.answer.shown import status_page

NOW = 1_795_352_400_000


def answer(**changes: Any) -> dict[str, Any]:
    pacemaker = {"state": "online", "quorate": True, "members": ["n1"]}
    report = {
        "pacemaker": pacemaker,
        "resources": {"eip": {"state": "starting"}},
        "suspects": [{"node_name": "n2"}],
        "health": {"failing": []},
        "public_ips": [],
        "observed_at_ms": NOW - 1_500,
        "incarnation": 4,
        "seq": 9,
        "cause": "claim",
    }
    address = {"public_ip": "203.0.113.7", "holder": "i-2", "term": 3, "phase": "settled"}
    said = {
        "version": "1.0",
        "report": report,
        "publishing": "ok",
        "reports_sent": 9,
        "status_age_seconds": 0.2,
        "reading": "ok",
        "addresses": {"eip": address},
        "node_names": {"i-2": "n2"},
        "refused_starts": ["eip"],
        "failing_checks": ["unit web.service"],
    }
    return said | changes


def test_the_page_says_it_all_in_three_parts() -> None:
    assert status_page(answer(), NOW).splitlines() == [
        "agent        version 1.0",
        "sees         Pacemaker online, quorate, members: n1",
        "             eip: starting",
        "             lost sight of n2",
        "             public addresses here: none",
        "             failing check: unit web.service",
        "last said    report 4.9, claim, 1.5 s ago",
        "             publishing: ok, 9 sent",
        "was answered 0.2 s ago, reading: ok",
        "             eip: 203.0.113.7 is held by n2, term 3, settled",
        "pending      a refused start of eip is to be forgotten",
    ]


def test_an_agent_that_knows_nothing_yet_says_so_and_nothing_reaches_the_terminal() -> None:
    page = status_page(answer(report=None, status_age_seconds=None, reading="x\x1b[2J"), NOW)
    assert "was answered never, reading: x?[2J" in page
    assert "last said" not in page


def test_an_elastic_ip_that_a_move_would_throw_off_is_named() -> None:
    page = status_page(answer(endangered="198.51.100.7"), NOW)
    assert "a move to this node would throw off 198.51.100.7" in page
