"""EC2's own events about instances: proof of a holder that goes, and nothing to anybody else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from core.harness import Cluster
from core.local import Local
from core.observed import dead_letters, rules

from lab.embedded.cloud import EmbeddedAws
from lab.embedded.runtime import Invocation


def ec2_says(cluster: Cluster, node: str, *states: str) -> list[Invocation]:
    """Brings an instance into the last state; gives what heard of it, in the order of `states`."""
    instance = cluster.instance(node)
    cluster.aws.set_instance_state(instance, states[-1])

    def about(state: str) -> Callable[[Any], bool]:
        return lambda payload: payload.get("detail") == {"instance-id": instance, "state": state}

    return [cluster.invocations.wait(about(state))[0] for state in states]


@pytest.mark.parametrize(
    "states", [("stopping", "stopped"), ("shutting-down", "terminated")], ids="-".join
)
def test_the_holders_instance_goes_and_the_claimant_gets_the_address_at_once(
    aws: EmbeddedAws, cluster: Cluster, states: tuple[str, ...]
) -> None:
    cluster.settle_on_n1()
    waiting = cluster.say(cluster.claims("n2"))
    assert rules(waiting) == ["R999"]
    since = aws.journal.now()
    heard = ec2_says(cluster, "n1", *states)
    assert [invocation.error for invocation in heard] == [None, None]
    assert cluster.world.holder() == cluster.holder == "n2"
    assert (cluster.address.rule, cluster.address.term) == ("R060", 2)
    assert [call.operation for call in cluster.calls(since, "InstanceStates")].count(
        "AssociateAddress"
    ) == 1
    (line,) = cluster.history("grant")[1:]
    assert "EC2 says that n1 is" in line["sentence"]["S"]


def test_ec2s_word_survives_errors_of_the_table(aws: EmbeddedAws, cluster: Cluster) -> None:
    # EC2 does not say it again, and the claimant here would wait for the holder's silence.
    cluster.settle_on_n1()
    cluster.say(cluster.claims("n2"))
    aws.faults.set(
        "error", service="dynamodb", principal="InstanceStates", operation="GetItem", times=2 * 2
    )
    instance = cluster.instance("n1")
    aws.set_instance_state(instance, "stopping")
    detail = {"instance-id": instance, "state": "stopping"}
    heard = cluster.invocations.wait(lambda payload: payload.get("detail") == detail, count=3)
    assert [invocation.error is None for invocation in heard] == [False, False, True]
    assert (cluster.holder, cluster.address.rule) == ("n2", "R060")
    assert dead_letters(aws) == []


@pytest.mark.parametrize("minutes", [1, 3])
def test_a_word_of_ec2_that_a_retry_brings_counts_for_a_node_that_has_been_silent_since(
    cluster: Cluster, local: Local, minutes: int
) -> None:
    local.settle_on_n1(cluster)
    said_ms = local.now_ms
    local.wait(60 * minutes)
    local.arbiter.on_instance_state(cluster.instance("n1"), "stopping", said_ms)
    local.hear(cluster.claims("n2"))
    assert (cluster.holder, cluster.address.rule) == ("n2", "R060")


def test_a_word_of_ec2_that_a_retry_brings_is_void_for_a_node_that_runs(
    cluster: Cluster, local: Local
) -> None:
    local.settle_on_n1(cluster)
    said_ms = local.now_ms
    for _ in range(6):
        local.hear(cluster.runs("n1"), after_seconds=10)
    local.arbiter.on_instance_state(cluster.instance("n1"), "stopping", said_ms)
    local.hear(cluster.claims("n2"))
    assert cluster.holder == "n1"


def test_a_claim_after_ec2s_word_need_not_wait(aws: EmbeddedAws, cluster: Cluster) -> None:
    cluster.settle_on_n1()
    since = aws.journal.now()
    ec2_says(cluster, "n1", "stopping", "stopped")
    assert cluster.moves(since) == [], "nothing moves without a claim"
    assert rules(cluster.say(cluster.claims("n2"))) == ["R060", "R060"]
    assert cluster.world.holder() == "n2"


def test_an_instance_that_no_cluster_knows_costs_one_read_and_changes_nothing(
    aws: EmbeddedAws, cluster: Cluster
) -> None:
    before, since = cluster.table(), aws.journal.now()
    stopping, stopped = ec2_says(cluster, "n1", "stopping", "stopped")
    assert (stopping.error, stopping.logs, stopped.error, stopped.logs) == (None, (), None, ())
    assert [call.operation for call in cluster.calls(since, "InstanceStates")] == [
        "GetItem",
        "GetItem",
    ]
    assert cluster.table() == before


def test_an_agent_that_started_anew_voids_ec2s_word(cluster: Cluster, local: Local) -> None:
    local.settle_on_n1(cluster)
    local.arbiter.on_instance_state(cluster.instance("n1"), "stopped", local.now_ms)
    local.hear(cluster.runs("n1", incarnation=2))
    local.hear(cluster.claims("n2"))
    assert local.told.of("kept") == ["R999"]
    assert cluster.world.holder() == "n1"


def test_a_word_of_ec2_from_long_before_the_nodes_own_is_void(
    cluster: Cluster, local: Local
) -> None:
    # It may be about the node's life before its last start, whose new agent was heard already.
    local.settle_on_n1(cluster)
    local.arbiter.on_instance_state(cluster.instance("n1"), "stopping", local.now_ms - 31_000)
    local.hear(cluster.claims("n2"))
    assert cluster.world.holder() == "n1"
    assert cluster.holder == "n1"


def test_an_older_word_of_ec2_does_not_replace_a_newer_one(cluster: Cluster, local: Local) -> None:
    local.settle_on_n1(cluster)
    store, instance = local.arbiter.store, cluster.instance("n1")
    store.record_instance_state(instance, "terminated", local.now_ms)
    late = store.record_instance_state(instance, "shutting-down", local.now_ms - 1)
    assert late is not None
    for snapshot in (late, cluster.snapshot):
        evidence = snapshot.nodes[instance].ec2
        assert evidence is not None
        assert evidence.state == "terminated"


def settle_before_n3_is_there(cluster: Cluster, local: Local) -> None:
    """n1 runs the resource, n2 stands by; n3 will be a successor of one, by the same name."""
    local.hear(cluster.claims("n1", lost=()))
    local.hear(cluster.stands_by("n2"))
    local.hear(cluster.runs("n1"))
    local.forget()


def test_a_successor_under_the_same_name_takes_over_and_its_predecessor_is_forgotten(
    new_cluster: Callable[[int], Cluster], local: Local
) -> None:
    cluster = new_cluster(3)
    settle_before_n3_is_there(cluster, local)
    local.arbiter.on_instance_state(cluster.instance("n2"), "terminated", local.now_ms)
    local.hear(replace(cluster.claims("n3"), node_name="n2"))
    assert set(cluster.snapshot.nodes) == {cluster.instance("n1"), cluster.instance("n3")}
    assert local.told.of("decided") == ["registered", "forgotten"]
    local.hear(replace(cluster.claims("n3"), node_name="n2"), after_seconds=4)
    assert cluster.world.holder() == "n3"
    status = local.operate({"verb": "status", "cluster": cluster.id})
    assert status["addresses"][0]["holder"] == "n2"


def test_a_terminated_holder_is_not_forgotten_before_its_address_has_gone(
    new_cluster: Callable[[int], Cluster], local: Local
) -> None:
    cluster = new_cluster(3)
    settle_before_n3_is_there(cluster, local)
    local.arbiter.on_instance_state(cluster.instance("n1"), "terminated", local.now_ms)
    local.hear(replace(cluster.stands_by("n3"), node_name="n1"))
    assert cluster.instance("n1") in cluster.snapshot.nodes
    local.hear(replace(cluster.claims("n3"), node_name="n1"))
    assert (cluster.world.holder(), cluster.address.rule) == ("n3", "R060")
