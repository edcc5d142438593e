"""AWS itself is away: the invocation fails and is told of, nothing moves, and all goes on after."""

from __future__ import annotations

import pytest
from core.harness import Cluster
from core.local import Local
from core.observed import dead_letters, refused, rules
from eip_arbiter.ports import MoveFailedError
from eip_contract.report import ReportRejected

from lab.embedded.cloud import EmbeddedAws
from lab.embedded.faults import Mode


@pytest.mark.parametrize("mode", ["throttle", "refuse", "error"])
def test_without_its_table_a_report_fails_and_is_a_dead_letter(
    aws: EmbeddedAws, cluster: Cluster, mode: Mode
) -> None:
    cluster.settle_on_n1()
    cluster.say(cluster.report("n1", cause="release"))
    before, since = cluster.item(), aws.journal.now()
    aws.faults.set(mode, principal="Arbitrate", service="dynamodb")
    event = cluster.put(cluster.claims("n2", lost=()))
    (tried,) = cluster.invocations.of_event(event, count=1)
    assert tried.error

    (letter,) = cluster.invocations.eventually(lambda: dead_letters(aws))
    assert letter["requestContext"]["approximateInvokeCount"] == 1
    assert letter["requestPayload"]["id"] == event
    assert cluster.item() == before
    assert {call.service for call in cluster.calls(since)} == {"dynamodb"}

    aws.faults.clear()
    assert rules(cluster.say(cluster.claims("n2", lost=()))) == ["R061", "R061"]
    assert cluster.world.holder() == "n2"


def test_a_node_that_could_not_be_looked_up_is_registered_by_a_report_after_the_pause(
    aws: EmbeddedAws, cluster: Cluster, local: Local
) -> None:
    client_attempts = 1
    throttled = aws.faults.set(
        "throttle", principal="local", operation="DescribeInstances", times=client_attempts
    )
    with pytest.raises(MoveFailedError, match="RequestLimitExceeded"):
        local.hear(cluster.claims("n1", lost=()))
    assert throttled.hits == client_attempts
    with pytest.raises(ReportRejected, match="it is asked again within 5 s"):
        local.hear(cluster.claims("n1", lost=()), after_seconds=4.9)
    local.hear(cluster.claims("n1", lost=()))
    assert (cluster.holder, cluster.world.holder()) == ("n1", "n1")


def test_a_report_whose_node_could_not_be_looked_up_goes_to_the_dead_letters(
    aws: EmbeddedAws, cluster: Cluster
) -> None:
    aws.faults.set("throttle", principal="Arbitrate", operation="DescribeInstances")
    event = cluster.put(cluster.claims("n1", lost=()))
    (first,) = cluster.invocations.of_event(event, count=1)
    assert first.error is not None
    cluster.invocations.eventually(lambda: dead_letters(aws))


def test_an_operator_is_told_that_the_table_is_away(aws: EmbeddedAws, cluster: Cluster) -> None:
    cluster.settle_on_n1()
    fault = aws.faults.set("throttle", principal="Operate", service="dynamodb")
    reason = refused(cluster.operate("failover", target="n2"))
    assert "nothing was done, the state cannot be read" in reason
    assert "ThrottlingException" in reason
    fault.clear()
    assert (cluster.world.holder(), cluster.address.order) == ("n1", None)
