"""What a node costs EC2 is bounded by its instance id, the one thing that it cannot choose."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import builders
import pytest
from core.harness import Cluster
from core.local import Local
from core.observed import metrics
from eip_arbiter.arbitrate.lookups import MOST_INSTANCES, Lookups
from eip_arbiter.ports import MoveFailedError
from eip_contract.report import NodeReport, ReportRejected

from lab.embedded.cloud import EmbeddedAws
from lab.embedded.world import CLUSTER_TAG

HONEST = ["DescribeInstances", "DescribeAddresses"]
FLOOD = 1_000


def described(local: Local) -> list[str]:
    return [call for call in local.calls.made if call.startswith("Describe")]


def flood(local: Local, say: Callable[[int], NodeReport], count: int = FLOOD) -> None:
    for number in range(count):
        try:
            local.hear(say(number), after_seconds=0.004)
        except (ReportRejected, MoveFailedError):
            continue


FLOODS: dict[str, Callable[[Cluster, int], NodeReport]] = {
    "new clusters": lambda c, n: c.claims("n2", cluster_id=f"c{n}"),
    "new names": lambda c, n: c.claims("n2", cluster_id=f"c{n}", node_name=f"n{n}"),
    "new clusters and incarnations": lambda c, n: c.claims(
        "n2", cluster_id=f"c{n}", incarnation=n + 2
    ),
    "new incarnations": lambda c, n: c.stands_by("n2", incarnation=n + 2),
    "by turns its own cluster and others": lambda c, n: c.stands_by(
        "n2", cluster_id=c.id if n % 2 else f"c{n}", incarnation=n + 2
    ),
}


@pytest.mark.parametrize("kind", FLOODS)
def test_a_flood_costs_ec2_no_more_calls_than_an_honest_node(
    cluster: Cluster, new_cluster: Callable[..., Cluster], local: Local, kind: str
) -> None:
    local.settle_on_n1(cluster)
    flood(local, lambda number: FLOODS[kind](cluster, number))
    assert len(described(local)) <= len(HONEST)
    local.forget()
    honest = new_cluster()
    local.hear(honest.claims("n1", lost=()))
    assert described(local) == HONEST
    assert (honest.holder, cluster.holder) == ("n1", "n1")


def test_a_flood_while_ec2_does_not_answer_costs_no_more_either(
    aws: EmbeddedAws, cluster: Cluster, local: Local
) -> None:
    local.settle_on_n1(cluster)
    down = aws.faults.set("error", principal="local", operation="DescribeInstances", status=400)
    flood(local, lambda number: cluster.stands_by("n2", incarnation=number + 2), 100)
    assert down.hits == 1


def test_the_pause_doubles_to_five_minutes_whatever_comes_of_it(
    cluster: Cluster, local: Local
) -> None:
    local.settle_on_n1(cluster)
    asked = []
    for second in range(1_300):
        local.forget()
        local.hear(cluster.stands_by("n2", incarnation=second + 2), after_seconds=1)
        if described(local):
            asked.append(second)
    pauses = [later - earlier for earlier, later in itertools.pairwise(asked)]
    assert pauses == [5, 10, 20, 40, 80, 160, 300, 300, 300]


def test_a_node_that_corrects_its_cluster_is_looked_up_after_the_shortest_pause(
    cluster: Cluster, local: Local
) -> None:
    local.settle_on_n1(cluster)
    third = cluster.instance("n2")
    local.arbiter.store.forget(cluster.snapshot, (third,))
    for _ in range(120):
        with pytest.raises(ReportRejected, match="is not tagged"):
            local.hear(cluster.stands_by("n2", cluster_id="wbe"), after_seconds=1)
    local.hear(cluster.stands_by("n2"), after_seconds=5)
    assert third in cluster.snapshot.nodes


def test_the_memory_of_lookups_is_bounded_and_drops_the_oldest() -> None:
    lookups = Lookups()

    def report(number: int) -> NodeReport:
        return replace(builders.node_report(1), instance_id=builders.instance_id(number))

    for number in range(MOST_INSTANCES + 1):
        lookups.begin(report(number), builders.NOW)
    assert lookups.may_refresh(report(0), builders.NOW)
    assert not lookups.may_refresh(report(1), builders.NOW)


def test_a_tag_that_came_late_is_found_after_the_pause(
    aws: EmbeddedAws, cluster: Cluster, local: Local
) -> None:
    ec2: Any = aws.client("ec2", "looks")
    instance = cluster.instance("n1")
    ec2.delete_tags(Resources=[instance], Tags=[{"Key": CLUSTER_TAG}])
    with pytest.raises(ReportRejected, match="is not tagged"):
        local.hear(cluster.claims("n1", lost=()))
    ec2.create_tags(Resources=[instance], Tags=[{"Key": CLUSTER_TAG, "Value": cluster.id}])
    with pytest.raises(ReportRejected, match="is not tagged"):
        local.hear(cluster.claims("n1", lost=()), after_seconds=4.9)
    local.hear(cluster.claims("n1", lost=()))
    assert cluster.holder == "n1"


class TestAnIncarnation:
    def test_far_ahead_is_rejected_and_nothing_is_written(
        self, cluster: Cluster, local: Local
    ) -> None:
        local.settle_on_n1(cluster)
        table = cluster.table()
        for incarnation in (local.now_ms // 1000 + 302, 2**53 - 1):
            with pytest.raises(ReportRejected, match="ahead of the arbiter's clock") as rejected:
                local.hear(cluster.runs("n1", incarnation=incarnation, seq=2**53 - 1))
            assert rejected.value.reason == "incarnation_ahead"
        assert local.calls.made == []
        assert cluster.table() == table
        local.hear(cluster.runs("n1"))  # it is not muted

    def test_of_a_clock_that_is_a_little_ahead_counts(self, cluster: Cluster, local: Local) -> None:
        local.settle_on_n1(cluster)
        incarnation = local.now_ms // 1000 + 299
        local.hear(cluster.runs("n1", incarnation=incarnation))
        assert cluster.snapshot.nodes[cluster.instance("n1")].registered_for == incarnation

    def test_that_is_rejected_is_counted_by_its_reason(self, cluster: Cluster) -> None:
        cluster.settle_on_n1()
        said = cluster.say(cluster.runs("n1", incarnation=2**53 - 1))
        assert ("RejectedReports", "Reason", "incarnation_ahead", 1) in metrics(said)
