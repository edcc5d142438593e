"""An order's request id: given again it does nothing, and what is answered is true."""

from __future__ import annotations

from typing import Any

import pytest
from core.harness import Cluster
from core.local import Local
from core.observed import refused
from eip_arbiter.decision.transition import REMEMBERED_ORDERS

from lab.embedded.cloud import EmbeddedAws


def failover(cluster: Cluster, target: str, request_id: str, **more: Any) -> dict[str, Any]:
    return cluster.operate("failover", target=target, request_id=request_id, **more)


def test_known_after_another_order_replaced_it(aws: EmbeddedAws, cluster: Cluster) -> None:
    cluster.settle_on_n1()
    failover(cluster, "n2", "ops-1")
    failover(cluster, "n1", "ops-2")
    before, since = cluster.table(), aws.journal.now()
    again = failover(cluster, "n2", "ops-1")
    assert (again["outcome"], again["order"], again["to"]) == ("ended", "ops-1", "n2")
    assert "from" not in again, "nobody knows it any more"
    it = f"{cluster.public_ip} (eip)"
    assert again["sentence"] == f"the order has ended; {it} is on n1 under term 3, by R020"
    assert cluster.table() == before
    assert cluster.moves(since) == []


def test_known_after_other_orders_ended(cluster: Cluster, local: Local) -> None:
    local.settle_on_n1(cluster)
    order = {"verb": "failover", "cluster": cluster.id}
    for number in range(REMEMBERED_ORDERS + 1):
        target = f"n{2 - number % 2}"
        local.operate({**order, "target": target, "request_id": f"ops-{number}"})
        local.hear(cluster.runs(target), after_seconds=20)
    assert (cluster.address.order, cluster.address.term) == (None, REMEMBERED_ORDERS + 2)
    assert len(cluster.address.ended_orders) == REMEMBERED_ORDERS
    term = cluster.address.term
    for number in range(1, REMEMBERED_ORDERS + 1):
        target = f"n{2 - number % 2}"
        local.operate({**order, "target": target, "request_id": f"ops-{number}"})
        assert cluster.address.term == term
    # So many are known; before that, an id is a new order's.
    local.operate({**order, "target": "n2", "request_id": "ops-0"})
    assert cluster.address.term == term + 1


def test_a_replay_says_from_where_the_order_moved_it(cluster: Cluster) -> None:
    cluster.settle_on_n1()
    first = failover(cluster, "n2", "ops-1")
    again = failover(cluster, "n2", "ops-1")
    assert (again["from"], again["to"], again["outcome"]) == ("n1", "n2", "moved")
    assert again["sentence"] == first["sentence"]


@pytest.mark.parametrize("ended", [False, True], ids=["stands", "ended"])
@pytest.mark.parametrize(
    ("verb", "request_"),
    [
        ("failover", {"target": "n1"}),
        ("failover", {"target": "n2", "force": True}),
        ("switchover", {"holder": "n1", "target": "n2"}),
        ("failover", {"target": "n1", "dry_run": True}),
    ],
    ids=["target", "force", "verb", "dry run"],
)
def test_refused_for_another_order(
    cluster: Cluster, verb: str, request_: dict[str, Any], ended: bool
) -> None:
    cluster.settle_on_n1()
    failover(cluster, "n2", "ops-1")
    if ended:
        cluster.say(cluster.runs("n2"))
    assert (cluster.address.order is None) == ended
    before = cluster.table()
    reason = refused(cluster.operate(verb, request_id="ops-1", **request_))
    it = f"{cluster.public_ip} (eip)"
    assert reason.startswith(f"request_id ops-1 was given to another order of {it}: ")
    assert cluster.table() == before


def test_refused_for_a_switchover_from_another_holder(cluster: Cluster) -> None:
    cluster.settle_on_n1()
    request = {"target": "n2", "request_id": "ops-1"}
    assert cluster.operate("switchover", holder="n1", **request)["outcome"] == "accepted"
    assert "another order" in refused(cluster.operate("switchover", holder="n2", **request))
    again = cluster.operate("switchover", holder=cluster.instance("n1"), **request)
    assert (again["outcome"], again["from"], again["to"]) == ("accepted", "n1", "n2")


@pytest.mark.parametrize("ended", [False, True], ids=["stands", "ended"])
def test_a_dry_run_of_a_known_order_says_that_it_would_do_nothing(
    cluster: Cluster, ended: bool
) -> None:
    cluster.settle_on_n1()
    failover(cluster, "n2", "ops-1")
    if ended:
        cluster.say(cluster.runs("n2"))
    before = cluster.table()
    answer = failover(cluster, "n2", "ops-1", dry_run=True)
    assert (answer["outcome"], answer["order"]) == ("would not move", "ops-1")
    how = "has ended" if ended else "stands"
    said = f"order ops-1 was given before and {how}; asked again it does nothing"
    assert answer["sentence"] == said
    assert cluster.table() == before


def test_an_id_that_the_version_before_kept_is_known(cluster: Cluster, local: Local) -> None:
    local.settle_on_n1(cluster)
    aws = cluster.aws.client("dynamodb", "lab")
    aws.update_item(
        TableName=cluster.table_name,
        Key={"pk": {"S": f"cluster#{cluster.id}"}, "sk": {"S": "state"}},
        UpdateExpression="SET a.eip.eo = :id",
        ExpressionAttributeValues={":id": {"S": "ops-1"}},
    )
    order = {"verb": "failover", "cluster": cluster.id, "target": "n2"}
    assert local.operate({**order, "request_id": "ops-1"})["outcome"] == "ended"
    assert cluster.world.holder() == "n1"
    assert local.operate({**order, "request_id": "ops-2"})["outcome"] == "moved"
    assert local.operate({**order, "request_id": "ops-1"})["order"] == "ops-1"
    assert cluster.address.term == 2


def test_what_is_only_accepted_does_not_speak_of_the_grant_before(cluster: Cluster) -> None:
    cluster.settle_on_n1()
    answer = cluster.operate("switchover", holder="n1", target="n2")
    assert answer["outcome"] == "accepted"
    assert not {"term", "rule"} & answer.keys()
