"""What each step costs, counted at the AWS that served it."""

from __future__ import annotations

import collections
from dataclasses import replace
from typing import Any

from core.harness import Cluster
from core.local import Local
from core.observed import rules
from eip_arbiter.decision.snapshot import Order
from eip_arbiter.decision.transition import REMEMBERED_ORDERS
from eip_contract.report import OrderProgress

from lab.embedded.cloud import EmbeddedAws

WRITE_UNIT_BYTES = 1024


def operations(cluster: Cluster, since: float, principal: str = "Arbitrate") -> dict[str, int]:
    return dict(collections.Counter(call.operation for call in cluster.calls(since, principal)))


def test_a_calm_heartbeat_is_one_dynamodb_call_and_nothing_else(
    aws: EmbeddedAws, cluster: Cluster
) -> None:
    cluster.settle_on_n1()
    since = aws.journal.now()
    for report in (cluster.runs("n1"), cluster.stands_by("n2")):
        heard = cluster.say(report)
        assert heard.error is None
        assert heard.logs == ()
    assert operations(cluster, since) == {"UpdateItem": 2}


def test_a_planned_failover_costs_two_state_writes_one_ec2_call_one_history_write_and_one_event(
    aws: EmbeddedAws, cluster: Cluster
) -> None:
    cluster.settle_on_n1()
    since = aws.journal.now()
    cluster.say(cluster.report("n1", cause="release", for_ms=0, public_ips=(cluster.public_ip,)))
    granted = cluster.say(cluster.claims("n2", lost=()))
    assert rules(granted) == ["R061", "R061"]
    cluster.say(cluster.runs("n2"))
    assert cluster.world.holder() == "n2"
    reports = 3
    assert operations(cluster, since) == {
        "UpdateItem": reports + 2,
        "AssociateAddress": 1,
        "PutItem": 1,
        "PutEvents": 1,
    }
    assert settled_then_told(cluster, since)


def settled_then_told(cluster: Cluster, since: float) -> bool:
    """Whether the event came after all that the move waited for."""
    made = [call.operation for call in cluster.calls(since)]
    move = made.index("AssociateAddress")
    return made[move : move + 4] == ["AssociateAddress", "PutItem", "UpdateItem", "PutEvents"]


def test_a_failover_of_a_dead_holder_costs_the_same_however_often_the_claim_is_repeated(
    aws: EmbeddedAws, cluster: Cluster, local: Local
) -> None:
    local.settle_on_n1(cluster)
    since = aws.journal.now()
    reports = 0
    while cluster.world.holder() == "n1":
        local.hear(cluster.claims("n2", for_ms=1_000 * reports), after_seconds=1)
        reports += 1
    assert reports >= 3
    assert operations(cluster, since, "local") == {
        "UpdateItem": reports + 2,
        "AssociateAddress": 1,
        "PutItem": 1,
    }


def bytes_of(value: dict[str, Any]) -> int:
    """The size of an attribute value as DynamoDB bills it.

    https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html
    """
    ((kind, plain),) = value.items()
    if kind == "S":
        return len(plain.encode())
    if kind == "N":
        # One byte for two significant digits, one more, and one for a sign.
        return (len(str(plain).lstrip("-").strip("0")) + 1) // 2 + 1 + str(plain).startswith("-")
    if kind in ("BOOL", "NULL"):
        return 1
    if kind == "L":
        return 3 + sum(1 + bytes_of(entry) for entry in plain)
    assert kind == "M", kind
    return 3 + sum(1 + len(name.encode()) + bytes_of(entry) for name, entry in plain.items())


def item_bytes(item: dict[str, Any]) -> int:
    return sum(len(name.encode()) + bytes_of(value) for name, value in item.items())


def test_dynamodbs_size_rules_are_read_right() -> None:
    item = {"pk": {"S": "cluster"}, "n": {"N": "12345"}, "m": {"M": {"a": {"L": [{"BOOL": True}]}}}}
    assert item_bytes(item) == (2 + 7) + (1 + 4) + (1 + 3 + 1 + 1 + 3 + 1 + 1)


def test_a_two_node_item_is_one_write_unit_when_calm_after_many_orders(
    cluster: Cluster, local: Local
) -> None:
    local.settle_on_n1(cluster)
    before = item_bytes(cluster.item())
    for number in range(REMEMBERED_ORDERS + 1):
        target = f"n{2 - number % 2}"
        order = {"target": target, "request_id": f"{number}" * 64}
        local.operate({"verb": "failover", "cluster": cluster.id, **order})
        local.hear(cluster.runs(target), after_seconds=20)
    assert len(cluster.address.ended_orders) == REMEMBERED_ORDERS
    assert item_bytes(cluster.item()) - before < 150
    assert item_bytes(cluster.item()) < WRITE_UNIT_BYTES


def test_a_two_node_item_is_one_write_unit_in_an_alarm_with_a_refusal_and_an_order(
    cluster: Cluster, local: Local
) -> None:
    local.settle_on_n1(cluster)
    progress = OrderProgress("ops-2026-11-22-1", "moving", "crm_resource --move was asked")
    alarm = {"for_ms": 99_000, "public_ips": (cluster.public_ip,), "order": progress}
    local.hear(cluster.claims("n2", lost=("n1",), **alarm))
    local.hear(cluster.claims("n1", lost=("n2",), **alarm))
    assert local.told.of("decided") == ["R072"]
    local.arbiter.on_instance_state(cluster.instance("n2"), "stopping", local.now_ms)
    snapshot, until_ms = cluster.snapshot, local.now_ms + 600_000
    standing = Order(
        id="ops-2026-11-22-1",
        target=cluster.instance("n2"),
        force=True,
        issued_at_ms=local.now_ms,
        until_ms=until_ms,
        holder=cluster.instance("n1"),
    )
    moves = (local.now_ms,) * local.arbiter.policy.brake_moves
    everything = replace(snapshot.addresses["eip"], order=standing, recent_moves_ms=moves)
    local.arbiter.store.commit(snapshot, everything, ())
    local.arbiter.store.pause(cluster.snapshot, until_ms)
    item = cluster.item()
    address = cluster.address
    assert None not in (address.order, address.refusal)
    assert address.recent_moves_ms == moves
    assert item_bytes(item) < WRITE_UNIT_BYTES
