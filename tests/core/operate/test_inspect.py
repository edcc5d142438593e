"""The verbs that only look: history, plan and doctor, at the real function and in this process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from core.harness import Cluster
from core.local import Local
from core.watch.watched import writable
from eip_arbiter.operate.inspecting import Inspection, moment
from eip_arbiter.operate.requests import RefusedError
from eip_arbiter.ports import Seen, Unready

from lab.embedded.cloud import EmbeddedAws


def test_a_moment_is_utc_to_the_millisecond() -> None:
    assert moment(1_795_352_400_041) == "2026-11-22T13:00:00.041Z"


class TestHistory:
    def test_tells_the_newest_first_each_with_its_rule_and_sentence(self, cluster: Cluster) -> None:
        cluster.settle_on_n1()
        cluster.operate("failover", target="n2", request_id="ops-1")
        cluster.say(cluster.runs("n2"))
        answer = cluster.operate("history")
        assert (answer["outcome"], answer["cluster"]) == ("told", cluster.id)
        followed, moved, accepted, first = answer["lines"]
        assert (accepted["rule"], accepted["kind"], accepted["term"]) == ("failover", "note", 1)
        newest = f"{followed['at']}: {followed['sentence']}"
        assert answer["sentence"] == f"the newest line of {cluster.id} is of {newest}"
        assert (followed["rule"], followed["kind"], followed["term"]) == ("R020", "note", 2)
        assert (moved["rule"], moved["kind"], moved["term"]) == ("R020", "grant", 2)
        assert moved["sentence"] == (
            f"n2 gets {cluster.public_ip} (eip) under term 2: an operator ordered it (order ops-1)"
        )
        assert (first["rule"], first["term"], first["resource"]) == ("R050", 1, "eip")
        assert followed["at"] > moved["at"] > first["at"]

    def test_costs_one_query_whatever_the_limit(self, aws: EmbeddedAws, cluster: Cluster) -> None:
        cluster.settle_on_n1()
        cluster.operate("failover", target="n2")
        since = aws.journal.now()
        answer = cluster.operate("history", limit=1)
        assert [line["term"] for line in answer["lines"]] == [2]
        made = [call.operation for call in cluster.calls(since, "Operate")]
        assert made == ["GetItem", "Query"]

    def test_of_an_unknown_cluster_is_refused(self, inspection: Inspection) -> None:
        with pytest.raises(RefusedError, match="no cluster 'nowhere' is known"):
            inspection.tell_history({"cluster": "nowhere"})


class TestPlan:
    def plan(self, inspection: Inspection, cluster: Cluster, node: str = "n1") -> dict[str, Any]:
        answer = inspection.plan({"cluster": cluster.id, "node": node})
        assert (answer["outcome"], answer["node"]) == ("planned", node)
        (address,) = answer["addresses"]
        assert answer["sentence"] == address["sentence"]
        return dict(address)

    def test_of_the_holder_is_what_the_rules_would_do(
        self, aws: EmbeddedAws, cluster: Cluster
    ) -> None:
        cluster.settle_on_n1()
        cluster.say(cluster.runs("n1"))
        cluster.say(cluster.stands_by("n2"))
        before, since = cluster.table(), aws.journal.now()
        answer = cluster.operate("plan", node="n1")
        (address,) = answer["addresses"]
        assert (address["from"], address["to"], address["rule"]) == ("n1", "n2", "R070")
        assert address["sentence"].startswith(f"n2 gets {cluster.public_ip} (eip) under term 2: n1")
        assert (address["why_not"], address["last_look"]) == ([], [])
        assert cluster.table() == before
        assert cluster.moves(since) == []

    def test_is_what_then_happens(
        self, cluster: Cluster, local: Local, inspection: Inspection
    ) -> None:
        local.settle_on_n1(cluster)
        planned = self.plan(inspection, cluster)
        local.hear(local.n1_dies(cluster))
        assert (planned["to"], planned["rule"]) == (cluster.holder, cluster.address.rule)
        assert cluster.holder == "n2"

    def test_of_a_standby_is_that_nothing_moves(
        self, cluster: Cluster, local: Local, inspection: Inspection
    ) -> None:
        local.settle_on_n1(cluster)
        address = self.plan(inspection, cluster, "n2")
        assert (address["to"], address["rule"]) == (None, None)
        assert address["sentence"] == f"{cluster.public_ip} (eip) stays with n1"

    def test_says_why_not_when_nobody_could_take_over(
        self, cluster: Cluster, local: Local, inspection: Inspection
    ) -> None:
        local.settle_on_n1(cluster)
        local.hear(cluster.stands_by("n2", failing=("disk full",)))
        address = self.plan(inspection, cluster)
        assert (address["to"], address["rule"]) == (None, "R999")
        assert address["why_not"] == ["n2 is unhealthy (disk full)"]

    def test_of_a_paused_cluster_is_the_pause_and_what_would_be_done_without_it(
        self, cluster: Cluster, local: Local, inspection: Inspection
    ) -> None:
        local.settle_on_n1(cluster)
        local.operate({"verb": "pause", "cluster": cluster.id, "minutes": 60})
        address = self.plan(inspection, cluster)
        assert (address["to"], address["rule"]) == (None, "R010")
        assert "by R070: n2 gets" in address["sentence"]
        assert address["why_not"] == [f"{cluster.id} is paused"]

    def test_repeats_what_the_last_look_found_at_ec2(
        self, cluster: Cluster, local: Local, inspection: Inspection
    ) -> None:
        local.settle_on_n1(cluster)
        found = Unready(local.now_ms, told=True, problems=("EC2 would not",))
        writable(inspection.memory).keep_seen(cluster.id, Seen({}, {"eip": found}))
        assert self.plan(inspection, cluster)["last_look"] == ["EC2 would not"]

    def test_chooses_the_better_one_of_two_by_the_rules_own_order(
        self, new_cluster: Callable[..., Cluster], local: Local, inspection: Inspection
    ) -> None:
        tags = {"n3": {"eip-arbiter:priority": "5"}}
        cluster = new_cluster(3, instance_tags=tags)
        local.settle_on_n1(cluster)
        assert self.plan(inspection, cluster)["to"] == "n3"

    def test_of_a_node_that_there_is_not_is_refused(
        self, cluster: Cluster, local: Local, inspection: Inspection
    ) -> None:
        local.settle_on_n1(cluster)
        with pytest.raises(RefusedError, match=f"{cluster.id} has no node 'n9'"):
            inspection.plan({"cluster": cluster.id, "node": "n9"})
