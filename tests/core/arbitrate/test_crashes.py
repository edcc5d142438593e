"""The process ends after any one AWS call, and the reports that follow put everything right.

Each scenario names the AWS calls that it makes when nothing happens; the crash comes after each of
them in turn. Afterwards: the address where it belongs, moved once at the most, each grant with one
line of history, and terms that only grew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from core.harness import Cluster
from core.local import Local
from eip_arbiter.decision.snapshot import Phase
from eip_contract.report import NodeReport

from lab.embedded.cloud import EmbeddedAws

Step = Callable[[], object]
Timed = tuple[float, NodeReport]
"""A report, and how many seconds after what came before it."""
MOVE = ("UpdateItem", "AssociateAddress", "PutItem", "UpdateItem")
"""Grant, move, history, settlement. The lines are part of their commits, and are told then."""
NOTE = ("UpdateItem", "PutItem", "UpdateItem")
"""Commit with the line, history, and the line waits no longer."""


@dataclass(frozen=True)
class Scenario:
    """What is prepared, the step that crashes, what comes after it, and where it must end.

    `prepare` gives the step. `then` gives what happens afterwards; the crashed step is not done
    again by itself. `unless_crashed_before`: a crash in an earlier call leaves all as it was.
    """

    name: str
    calls: tuple[str, ...]
    prepare: Callable[[Cluster, Local], Step]
    then: Callable[[Cluster], Iterator[Timed]]
    holder: str | None
    unless_crashed_before: int = 0


def first_claim(cluster: Cluster, local: Local) -> Step:
    claim = cluster.claims("n2", lost=())
    return lambda: local.hear(claim)


def dead_holder(cluster: Cluster, local: Local) -> Step:
    local.settle_on_n1(cluster)
    claim = local.n1_dies(cluster)
    return lambda: local.hear(claim)


def unfinished_move(cluster: Cluster, local: Local) -> Step:
    local.crashes(after=2, what=dead_holder(cluster, local))
    claim = cluster.claims("n2")
    return lambda: local.hear(claim, after_seconds=11)


def drifted(cluster: Cluster, local: Local) -> Step:
    local.settle_on_n1(cluster)
    cluster.world.associate("n2")
    report = cluster.runs("n1", public_ips=())
    return lambda: local.hear(report, after_seconds=65)


def released_long_ago(cluster: Cluster, local: Local) -> Step:
    local.settle_on_n1(cluster)
    local.wait(65)
    report = cluster.stands_by("n1", for_ms=61_000)
    return lambda: local.hear(report)


def split_brain(cluster: Cluster, local: Local) -> Step:
    local.settle_on_n1(cluster)
    local.hear(cluster.claims("n2"))
    local.forget()
    answer = cluster.runs("n1", lost=("n2",), next_report_within_ms=1_000)
    return lambda: local.hear(answer)


def order(cluster: Cluster) -> dict[str, str]:
    return {"verb": "failover", "cluster": cluster.id, "target": "n2", "request_id": "ops-1"}


def ordered(cluster: Cluster, local: Local) -> Step:
    local.settle_on_n1(cluster)
    return lambda: local.operate(order(cluster))


def order_carried_out(cluster: Cluster, local: Local) -> Step:
    ordered(cluster, local)()
    claim = cluster.runs("n2")
    return lambda: local.hear(claim)


def n2_goes_on(cluster: Cluster) -> Iterator[Timed]:
    """The claimant repeats its claim until it holds the address, then is calm."""
    yield 1, cluster.claims("n2")
    yield 11, cluster.claims("n2")
    yield 1, cluster.runs("n2")


def n2_comes(cluster: Cluster) -> Iterator[Timed]:
    """EC2 is asked about the claimant again five seconds after a lookup that nothing came of."""
    yield 5, cluster.claims("n2")
    yield from n2_goes_on(cluster)


def n1_goes_on(cluster: Cluster) -> Iterator[Timed]:
    """Calm reports: n1 runs the resource, n2 stands by; the metadata service tells the truth."""
    for seconds in (1, 19):
        there = (cluster.public_ip,) if cluster.world.holder() == "n1" else ()
        yield seconds, cluster.runs("n1", public_ips=there)
        yield 0.1, cluster.stands_by("n2")


def all_stopped(cluster: Cluster) -> Iterator[Timed]:
    yield 10, cluster.stands_by("n1", for_ms=71_000)
    yield 10, cluster.stands_by("n1", for_ms=81_000)


def pacemaker_follows_the_order(cluster: Cluster) -> Iterator[Timed]:
    """Both nodes go on; where the order was accepted, Pacemaker moves the resource at last."""
    yield 9, cluster.runs("n1")
    yield 3, cluster.stands_by("n2")
    if cluster.holder == "n2":
        yield 1, cluster.stands_by("n1")
        yield 0.1, cluster.runs("n2")


def n2_runs_it(cluster: Cluster) -> Iterator[Timed]:
    yield 9, cluster.stands_by("n1")
    yield 1, cluster.runs("n2")


DESCRIBE = ("UpdateItem", "DescribeInstances", "DescribeAddresses")
LOOK_TWICE = ("DescribeAddresses",) * 2
"""What EC2 says against an association may be old."""
REGISTER = (*DESCRIBE, "GetItem", "PutItem", "PutItem")
SCENARIOS = [
    Scenario(
        "the first claim of a new cluster",
        (*REGISTER, "UpdateItem", "GetItem", "UpdateItem", *MOVE),
        first_claim,
        n2_comes,
        "n2",
    ),
    Scenario("a dead holder", ("UpdateItem", *MOVE), dead_holder, n2_goes_on, "n2"),
    Scenario(
        "an unfinished move is resumed",
        ("UpdateItem", "UpdateItem", *LOOK_TWICE, *MOVE[1:]),
        unfinished_move,
        n2_goes_on,
        "n2",
    ),
    Scenario(
        "an address that drifted",
        ("UpdateItem", "UpdateItem", *LOOK_TWICE, *MOVE[1:]),
        drifted,
        n1_goes_on,
        "n1",
    ),
    Scenario(
        "an address that nobody claims",
        ("UpdateItem", "UpdateItem", "DisassociateAddress", "PutItem", "UpdateItem"),
        released_long_ago,
        all_stopped,
        None,
    ),
    Scenario(
        "a split-brain is refused",
        ("UpdateItem", *NOTE),
        split_brain,
        n1_goes_on,
        "n1",
    ),
    Scenario(
        "an operator's order",
        ("GetItem", "UpdateItem", *MOVE[:2], "PutItem", *MOVE[2:]),
        ordered,
        pacemaker_follows_the_order,
        "n2",
        unless_crashed_before=2,
    ),
    Scenario(
        "an order is carried out",
        ("UpdateItem", *NOTE),
        order_carried_out,
        n2_runs_it,
        "n2",
    ),
]
POINTS = [
    pytest.param(scenario, after, id=f"{scenario.name}-{after}-{call}")
    for scenario in SCENARIOS
    for after, call in enumerate(scenario.calls, start=1)
]


@pytest.mark.parametrize(("scenario", "after"), POINTS)
def test_a_crash_after_any_call_is_put_right_by_the_next_reports(
    aws: EmbeddedAws, cluster: Cluster, local: Local, scenario: Scenario, after: int
) -> None:
    step = scenario.prepare(cluster, local)
    since = aws.journal.now()
    local.forget()
    if after < len(scenario.calls):
        local.crashes(after, step)
    else:  # There is nothing left to crash: this is what happens without a crash.
        step()
        assert tuple(local.calls.made) == scenario.calls
        assert cluster.holder == scenario.holder
    for seconds, report in scenario.then(cluster):
        local.hear(report, after_seconds=seconds)

    done = after >= scenario.unless_crashed_before
    address = cluster.address
    assert cluster.holder == (scenario.holder if done else "n1")
    assert cluster.world.holder() == cluster.holder
    assert (address.phase, address.order, address.refusal) == (Phase.SETTLED, None, None)
    assert len([m for m in cluster.moves(since) if m.from_interface != m.to_interface]) <= 1
    assert cluster.granted_terms() == list(range(1, address.term + 1))
    assert len(cluster.history("release")) == (scenario.holder is None)
