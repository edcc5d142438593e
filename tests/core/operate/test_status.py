"""What `status` says: who holds what, who speaks, what stands, and what the rules say now."""

from __future__ import annotations

from datetime import datetime

from core.harness import Cluster
from core.local import Local
from eip_arbiter.decision.snapshot import OrderKind
from eip_arbiter.operate.inspecting import moment
from eip_arbiter.operate.orders import ORDER_MS

from lab.embedded.cloud import EmbeddedAws


def test_status_says_who_holds_what_who_speaks_and_what_the_rules_say(
    aws: EmbeddedAws, cluster: Cluster
) -> None:
    cluster.settle_on_n1()
    before, since = cluster.table(), aws.journal.now()
    status = cluster.operate("status")
    assert (status["outcome"], status["cluster"]) == ("told", cluster.id)
    assert status["sentence"] == f"{cluster.public_ip} (eip) is on n1 under term 1"
    assert (status["paused_until_ms"], status["paused_until"]) == (None, None)
    (address,) = status["addresses"]
    assert (address["resource"], address["public_ip"]) == ("eip", cluster.public_ip)
    assert (address["holder"], address["holder_instance"]) == ("n1", cluster.instance("n1"))
    assert (address["term"], address["phase"], address["granted_by"]) == (1, "settled", "R050")
    assert (address["order"], address["split_brain"]) == (None, False)
    assert address["now"]["rule"] == "R999"
    n1, n2 = sorted(status["nodes"], key=lambda node: str(node["node"]))
    assert (n1["node"], n1["instance"]) == ("n1", cluster.instance("n1"))
    assert (n1["resources"], n2["resources"]) == ({"eip": "started"}, {"eip": "stopped"})
    assert n1["report"] == f"1.{cluster.seqs['n1']}"
    assert 0 <= n1["report_age_ms"] < 60_000
    assert [call.operation for call in cluster.calls(since, "Operate")] == ["GetItem"]
    assert cluster.table() == before


def test_says_until_when_the_cluster_is_paused(cluster: Cluster, local: Local) -> None:
    local.settle_on_n1(cluster)
    paused = local.operate({"verb": "pause", "cluster": cluster.id, "minutes": 5})
    status = local.operate({"verb": "status", "cluster": cluster.id})
    assert (status["paused_until_ms"], status["paused_until"]) == (
        paused["until_ms"],
        paused["until"],
    )
    it = f"{cluster.public_ip} (eip) is on n1 under term 1"
    assert status["sentence"] == f"{cluster.id} is paused until {paused['until']}; {it}"


def test_says_what_order_stands_and_until_when(cluster: Cluster, local: Local) -> None:
    local.settle_on_n1(cluster)
    order = {"cluster": cluster.id, "holder": "n1", "target": "n2", "request_id": "ops-1"}
    local.operate({"verb": "switchover", **order})
    issued_ms = local.now_ms
    (address,) = local.operate({"verb": "status", "cluster": cluster.id})["addresses"]
    assert address["order"] == {
        "id": "ops-1",
        "verb": "switchover",
        "target": "n2",
        "force": False,
        "issued": moment(issued_ms),
        "until": moment(issued_ms + ORDER_MS[OrderKind.SWITCHOVER]),
    }
    assert datetime.fromisoformat(address["order"]["until"]).tzinfo is not None


def test_says_how_near_the_flap_brake_is_and_whether_it_is_on(
    cluster: Cluster, local: Local
) -> None:
    local.settle_on_n1(cluster)
    policy, old, new = local.arbiter.policy, "n1", "n2"
    for moves in range(1, policy.brake_moves + 1):
        local.hear(cluster.report(old, cause="release"), after_seconds=5)
        local.hear(cluster.claims(new, lost=()))
        (address,) = local.operate({"verb": "status", "cluster": cluster.id})["addresses"]
        assert address["brake"] == {
            "on": moves == policy.brake_moves,
            "moves": moves,
            "most": policy.brake_moves,
            "minutes": policy.brake_window_ms // 60_000,
        }
        old, new = new, old


def test_does_not_say_that_an_address_is_where_it_only_goes(
    aws: EmbeddedAws, cluster: Cluster, local: Local
) -> None:
    local.settle_on_n1(cluster)
    aws.faults.set("error", principal="local", operation="AssociateAddress", status=400)
    local.operate({"verb": "failover", "cluster": cluster.id, "target": "n2"})
    status = local.operate({"verb": "status", "cluster": cluster.id})
    assert status["sentence"] == f"{cluster.public_ip} (eip) is being moved to n2 under term 2"
