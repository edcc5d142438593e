"""Whether a failover would work now, from the state alone, and each reason why not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from builders import (
    N1,
    N2,
    N3,
    NOW,
    POLICY,
    address,
    going,
    holding,
    last_report,
    node,
    snapshot,
    standing_by,
)
from eip_arbiter.decision.case import Case
from eip_arbiter.decision.readiness import brake_is_on, order_works, problems
from eip_arbiter.decision.snapshot import Address, Node, Order, OrderKind, Phase


def said(
    *nodes: Node,
    at: Address | None = None,
    refusals: dict[str, str] | None = None,
    paused_until_ms: int = 0,
) -> str:
    """The problems of a cluster, in one line."""
    cluster = replace(snapshot(*nodes, at=at), paused_until_ms=paused_until_ms)
    case = Case(cluster, cluster.addresses["eip"], POLICY, NOW)
    return "; ".join(problems(case, refusals or {}))


def test_a_calm_cluster_is_ready() -> None:
    assert said() == ""


@pytest.mark.parametrize(
    ("standby", "why"),
    [
        (standing_by(ago_ms=22_001), "n2 has not reported lately"),
        (node(2, None), f"{N2} has not reported lately"),
        (standing_by(failing=("disk full",)), "n2 is unhealthy (disk full)"),
        (standing_by(pacemaker_state="standby"), "n2 says that its Pacemaker is standby"),
        (standing_by(state="failed"), "n2 failed eip"),
        (going("stopping", standing_by()), "n2 is stopping, says EC2"),
        (replace(standing_by(), nofailover=True), "n2 is tagged nofailover"),
        (
            replace(standing_by(), own_elastic_ips={"10.0.1.10": "198.51.100.7"}),
            "n2 would lose its own Elastic IP 198.51.100.7",
        ),
    ],
    ids=lambda given: given if isinstance(given, str) else "",
)
def test_a_standby_that_is_unfit_is_named(standby: Node, why: str) -> None:
    assert said(holding(), standby) == why


def test_a_report_that_is_just_fresh_counts() -> None:
    assert said(holding(), standing_by(ago_ms=22_000)) == ""


def test_a_standby_without_the_private_address_that_the_tag_wants_is_unfit() -> None:
    at = address(private_ip_index=1)
    assert said(at=at) == "n2 has no private address number 1"


def test_what_ec2_would_refuse_is_a_problem() -> None:
    assert said(refusals={N2: "UnauthorizedOperation"}) == "UnauthorizedOperation"


def test_one_standby_that_could_take_over_is_enough() -> None:
    third = node(3, last_report(3))
    assert said(holding(), standing_by(failing=("disk full",)), third) == ""
    assert said(holding(), standing_by(), third, refusals={N3: "no"}) == ""
    assert said(holding(), standing_by(failing=("x",)), third, refusals={N3: "no"}) == (
        "n2 is unhealthy (x); no"
    )


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"phase": Phase.MOVING, "deadline_ms": NOW}, "the move of 203.0.113.10 under term 7 is"),
        ({"order": Order("o-1", N1, False, NOW, NOW + 1)}, "order o-1 pins it to n1"),
    ],
)
def test_what_holds_every_failover_back_is_said_however_fit_the_standby_is(
    changes: dict[str, Any], why: str
) -> None:
    assert said(at=address(**changes)).startswith(why)


def test_the_flap_brake_holds_back_no_failover_of_a_dead_holder() -> None:
    braked = address(recent_moves_ms=(NOW - 1, NOW - 2, NOW - 3))
    assert brake_is_on(Case(snapshot(at=braked), braked, POLICY, NOW))
    assert not brake_is_on(Case(snapshot(), address(), POLICY, NOW))
    assert said(at=braked) == ""


def test_a_switchover_that_stands_pins_nothing() -> None:
    order = Order("o-1", N2, False, NOW, NOW + 1, OrderKind.SWITCHOVER)
    assert said(at=address(order=order)) == ""


def test_an_order_works_where_only_automatic_moves_are_held_back() -> None:
    pinned = address(order=Order("o-1", N1, False, NOW, NOW + 1))
    case = Case(replace(snapshot(at=pinned), paused_until_ms=NOW + 1), pinned, POLICY, NOW)
    found = problems(case, {})
    assert found == ("web is paused", "order o-1 pins it to n1")
    assert order_works(case, found)
    assert order_works(case, ())
    assert not order_works(case, problems(case, {N2: "UnauthorizedOperation"}))


def test_of_several_standbys_a_pause_does_not_make_one_that_is_unfit_a_problem() -> None:
    nodes = (holding(), standing_by(failing=("disk full",)), node(3, last_report(3)))
    assert said(*nodes, paused_until_ms=NOW + 1) == "web is paused"


def test_a_move_that_is_just_under_way_is_no_problem() -> None:
    assert said(at=address(phase=Phase.MOVING, deadline_ms=NOW + 1)) == ""


def test_a_pause_holds_it_back_until_it_ends() -> None:
    assert said(paused_until_ms=NOW + 1) == "web is paused"
    assert said(paused_until_ms=NOW) == ""


def test_a_holder_that_speaks_and_cannot_answer_is_a_problem() -> None:
    elsewhere = node(1, last_report(1, resources={}))
    assert said(elsewhere, standing_by()) == (
        "n1 holds 203.0.113.10 and its agent does not watch eip: see its setting `resources`"
    )
    unread = node(1, last_report(1, state="unknown", pacemaker_state="unknown"))
    assert "cannot read what its Pacemaker makes of eip" in said(unread, standing_by())
    assert said(node(1, last_report(1, resources={}, ago_ms=60_000)), standing_by()) == ""


def test_a_cluster_of_one_node_has_nobody_to_take_over() -> None:
    assert said(holding()) == "the cluster has no other node"
