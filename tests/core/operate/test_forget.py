"""The operator's verb `forget`, and names that more than one node says."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from core.harness import Cluster
from core.local import Local
from eip_arbiter.operate.inspecting import Inspection
from eip_arbiter.operate.requests import RefusedError
from eip_contract.report import NodeReport, ReportRejected

MOST = 2**53 - 1


def forget(local: Local, cluster: Cluster, node: str, **more: Any) -> dict[str, Any]:
    return local.operate({"verb": "forget", "cluster": cluster.id, "node": node, **more})


def as_n2(report: NodeReport) -> NodeReport:
    return replace(report, node_name="n2")


class TestForget:
    @pytest.mark.parametrize("by_name", [True, False], ids=["name", "instance id"])
    def test_a_muted_node_registers_anew_and_is_heard(
        self, cluster: Cluster, local: Local, by_name: bool
    ) -> None:
        local.settle_on_n1(cluster)
        local.arbiter.store.record_report(
            replace(cluster.stands_by("n2"), incarnation=MOST, seq=MOST), local.now_ms
        )
        with pytest.raises(ReportRejected, match="is not newer"):
            local.hear(cluster.stands_by("n2", incarnation=2))
        node = "n2" if by_name else cluster.instance("n2")
        answer = forget(local, cluster, node, by="alice", reason="its clock was ahead")
        assert answer["outcome"] == "forgotten"
        assert cluster.instance("n2") in answer["sentence"]
        assert cluster.instance("n2") not in cluster.snapshot.nodes
        (line,) = cluster.history("note")
        assert line["sentence"]["S"] == (
            f"forget: {answer['sentence']} (by alice: its clock was ahead)"
        )
        local.hear(cluster.stands_by("n2", incarnation=2))
        report = cluster.snapshot.nodes[cluster.instance("n2")].report
        assert report is not None
        assert report.incarnation == 2

    def test_a_node_that_left_keeps_doctor_ill_no_longer(
        self, cluster: Cluster, local: Local, inspection: Inspection, new_cluster: Any
    ) -> None:
        three = new_cluster(nodes=3)
        local.settle_on_n1(three)
        local.wait(3_600)
        for report in (three.runs("n1"), three.stands_by("n2")):
            local.hear(report)
        assert "n3 has not reported lately" in inspection.doctor({"cluster": three.id})["sentence"]
        forget(local, three, "n3")
        assert inspection.doctor({"cluster": three.id})["outcome"] == "well"
        assert cluster.id != three.id

    def test_who_holds_an_address_or_is_to_get_one_is_not_forgotten(
        self, cluster: Cluster, local: Local
    ) -> None:
        local.settle_on_n1(cluster)
        with pytest.raises(RefusedError, match=r"n1 holds .* \(eip\): `failover` it"):
            forget(local, cluster, "n1")
        order = {"verb": "switchover", "cluster": cluster.id, "holder": "n1", "target": "n2"}
        local.operate({**order, "request_id": "ops-1"})
        before = cluster.table()
        with pytest.raises(RefusedError, match=r"order ops-1 is to move .* to n2"):
            forget(local, cluster, "n2")
        with pytest.raises(RefusedError, match="has no node 'n9'"):
            forget(local, cluster, "n9")
        assert cluster.table() == before


class TestANameThatTwoNodesSay:
    @pytest.fixture
    def cluster(self, new_cluster: Any, local: Local) -> Any:
        """n3 says that it is n2."""
        made = new_cluster(nodes=3)
        local.settle_on_n1(made)
        local.hear(as_n2(made.stands_by("n3")))
        return made

    @pytest.mark.parametrize(
        "request_",
        [
            {"verb": "failover", "target": "n2"},
            {"verb": "switchover", "holder": "n1", "target": "n2"},
            {"verb": "switchover", "holder": "n2", "target": "n1"},
            {"verb": "forget", "node": "n2"},
        ],
        ids=["failover", "switchover", "holder", "forget"],
    )
    def test_is_refused_with_the_instances(
        self, cluster: Cluster, local: Local, request_: dict[str, str]
    ) -> None:
        before = cluster.table()
        ids = " and ".join(sorted((cluster.instance("n2"), cluster.instance("n3"))))
        with pytest.raises(RefusedError, match=f"n2 is what {ids} call themselves"):
            local.operate({"cluster": cluster.id, **request_})
        assert cluster.table() == before

    def test_is_refused_by_plan(self, cluster: Cluster, inspection: Inspection) -> None:
        with pytest.raises(RefusedError, match="call themselves"):
            inspection.plan({"cluster": cluster.id, "node": "n2"})

    def test_does_not_keep_an_instance_from_being_named(
        self, cluster: Cluster, local: Local
    ) -> None:
        order = {"verb": "failover", "cluster": cluster.id, "target": cluster.instance("n2")}
        assert local.operate(order)["outcome"] == "moved"
        assert cluster.world.holder() == "n2"

    def test_is_told_by_doctor_while_both_live(
        self, cluster: Cluster, local: Local, inspection: Inspection
    ) -> None:
        ids = " and ".join(sorted((cluster.instance("n2"), cluster.instance("n3"))))
        said = f"{ids} both report as n2"
        local.hear(cluster.stands_by("n2"))
        assert said in inspection.doctor({"cluster": cluster.id})["sentence"]
        local.wait(60)
        local.hear(cluster.runs("n1"))
        local.hear(cluster.stands_by("n2"))
        assert said not in inspection.doctor({"cluster": cluster.id})["sentence"]

    def test_costs_the_evidence_no_record(self, cluster: Cluster, local: Local) -> None:
        local.operate({"verb": "pause", "cluster": cluster.id, "minutes": 1})
        evidence = cluster.history("note")[-1]["evidence"]["S"]
        for node in cluster.world.nodes.values():
            assert f'"{node.instance_id}":{{"node":"n' in evidence
