"""The operator's verbs at the real function: what each does, answers, and refuses with a reason."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from core.harness import Cluster
from core.local import Local
from core.observed import lines, refused, rules
from eip_arbiter.arbitrate.arbitration import Arbiter
from eip_arbiter.decision.snapshot import OrderKind, Phase, Snapshot
from eip_arbiter.operate.operations import operate
from eip_arbiter.operate.orders import ORDER_MS
from eip_arbiter.operate.requests import RefusedError
from eip_arbiter.ports import Committed, Store
from eip_contract.report import OrderProgress

from lab.embedded.cloud import EmbeddedAws

ROOT = Path(__file__).parents[3]

SAMPLES = sorted((ROOT / "events" / "invoke").glob("*.json"))
VERBS = "acknowledge, doctor, failover, forget, history, pause, plan, resume, status, switchover"


class ReadsOld:
    """A store that reads a snapshot of before."""

    def __init__(self, store: Store, snapshot: Snapshot) -> None:
        self._store, self._snapshot = store, snapshot

    def read(self, cluster_id: str) -> Snapshot:
        assert cluster_id == self._snapshot.cluster_id
        return self._snapshot

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_every_sample_payload_works(cluster: Cluster, path: Path) -> None:
    cluster.settle_on_n1()
    payload = json.loads(path.read_text()) | {"cluster": cluster.id}
    if payload.get("target", "").startswith("i-"):
        payload["target"] = cluster.instance("n2")
    invocation = cluster.aws.invoke("Operate", payload)
    answer = invocation.result
    assert answer["outcome"] != "refused", answer
    assert answer["sentence"]
    if payload["verb"] == "switchover":
        # No sample names its order: used a second time, it would do nothing.
        assert (answer["outcome"], answer["order"]) == ("accepted", invocation.request_id)
        assert cluster.world.holder() == "n1", "Pacemaker comes first"
    if payload["verb"] == "failover" and not payload.get("dry_run"):
        assert (answer["outcome"], answer["order"]) == ("moved", invocation.request_id)
        assert cluster.world.holder() == "n2"


def test_there_is_a_sample_of_every_verb() -> None:
    assert {json.loads(path.read_text())["verb"] for path in SAMPLES} == set(VERBS.split(", "))


class TestSwitchover:
    def order(self, cluster: Cluster, **request: Any) -> dict[str, Any]:
        return cluster.operate(
            "switchover", **{"holder": "n1", "target": "n2", "request_id": "ops-1", **request}
        )

    def test_the_address_follows_when_pacemaker_has_moved_the_resource(
        self, aws: EmbeddedAws, cluster: Cluster
    ) -> None:
        cluster.settle_on_n1()
        since = aws.journal.now()
        answer = self.order(cluster)
        assert (answer["outcome"], answer["from"], answer["to"]) == ("accepted", "n1", "n2")
        assert "Pacemaker on n2 is asked to move eip" in answer["sentence"]
        cluster.say(cluster.runs("n1"))
        assert cluster.moves(since) == [], "nothing moves before Pacemaker has"
        cluster.say(cluster.stands_by("n1"))
        cluster.say(cluster.claims("n2", lost=()))
        assert (cluster.holder, cluster.world.holder()) == ("n2", "n2")
        assert (cluster.address.rule, cluster.address.term) == ("R061", 2)
        assert cluster.address.recent_moves_ms == (), "the flap brake does not count it"
        cluster.say(cluster.runs("n2"))
        assert cluster.address.order is None
        again = self.order(cluster)
        assert (again["outcome"], again["term"]) == ("moved", 2)
        assert len(cluster.moves(since)) == 1

    def test_goes_on_in_a_cluster_that_is_paused(self, cluster: Cluster) -> None:
        cluster.settle_on_n1()
        cluster.operate("pause", minutes=5)
        self.order(cluster)
        cluster.say(cluster.stands_by("n1"))
        cluster.say(cluster.claims("n2", lost=()))
        assert cluster.world.holder() == "n2"

    @pytest.mark.parametrize(
        ("request_", "reason"),
        [
            ({"holder": "n2"}, "n1 holds"),
            ({"target": "n1"}, "n1 holds"),
            ({"target": "n9"}, "has no node 'n9'"),
            ({"holder": None}, "holder"),
        ],
        ids=["holder is another", "target holds it", "no such node", "holder is not named"],
    )
    def test_is_refused_unless_the_named_holder_is_right(
        self, cluster: Cluster, request_: dict[str, Any], reason: str
    ) -> None:
        cluster.settle_on_n1()
        before = cluster.table()
        assert reason in refused(self.order(cluster, **request_))
        assert cluster.table() == before

    def test_is_refused_where_pacemaker_could_not_carry_it_out(self, cluster: Cluster) -> None:
        cluster.settle_on_n1()
        cluster.say(cluster.stands_by("n2", lost=("n1",)))
        assert "does not see n1" in refused(self.order(cluster))
        standby = replace(cluster.stands_by("n2").pacemaker, state="standby")
        cluster.say(cluster.stands_by("n2", pacemaker=standby))
        assert "Pacemaker is standby" in refused(self.order(cluster))

    def test_ends_with_pacemakers_own_reason(self, cluster: Cluster) -> None:
        cluster.settle_on_n1()
        self.order(cluster)
        failed = OrderProgress("ops-1", "failed", "exit status 1: no such node")
        cluster.say(cluster.stands_by("n2", order=failed))
        assert (cluster.address.order, cluster.holder) == (None, "n1")
        note = cluster.history("note")[-1]
        assert "Pacemaker did not move it to n2: exit status 1" in note["sentence"]["S"]
        assert self.order(cluster)["outcome"] == "ended"

    def test_ends_when_the_address_goes_elsewhere_meanwhile(
        self, cluster: Cluster, local: Local
    ) -> None:
        local.settle_on_n1(cluster)
        request = {"cluster": cluster.id, "holder": "n1", "target": "n2"}
        local.operate({"verb": "switchover", **request})
        # The holder's address was put right under a new term: who ordered may look again.
        for _ in range(2):
            local.hear(cluster.runs("n1", public_ips=()), after_seconds=20)
        assert cluster.address.order is None
        assert local.told.of("decided")[-1] == "R020"

    def test_ends_when_its_target_falls_silent(self, cluster: Cluster, local: Local) -> None:
        local.settle_on_n1(cluster)
        request = {"cluster": cluster.id, "holder": "n1", "target": "n2"}
        local.operate({"verb": "switchover", **request})
        local.hear(cluster.runs("n1"), after_seconds=10)
        assert cluster.address.order is not None
        local.hear(cluster.runs("n1"), after_seconds=20)
        assert cluster.address.order is None
        assert "n2 has not reported lately" in cluster.history("note")[-1]["sentence"]["S"]

    def test_expires_when_pacemaker_does_not_move(self, cluster: Cluster, local: Local) -> None:
        local.settle_on_n1(cluster)
        request = {"cluster": cluster.id, "holder": "n1", "target": "n2"}
        local.operate({"verb": "switchover", **request})
        expires_seconds = ORDER_MS[OrderKind.SWITCHOVER] / 1000
        local.hear(cluster.stands_by("n2"), after_seconds=expires_seconds - 1)
        assert cluster.address.order is not None
        local.hear(cluster.runs("n1"), after_seconds=2)
        after = cluster.snapshot.addresses["eip"]
        assert (after.order, after.holder) == (None, cluster.instance("n1"))


class TestFailover:
    def test_moves_at_once_and_says_from_where_to_where_and_why(self, cluster: Cluster) -> None:
        cluster.settle_on_n1()
        answer = cluster.operate("failover", target="n2", request_id="ops-1")
        assert (answer["outcome"], answer["order"]) == ("moved", "ops-1")
        assert (answer["from"], answer["to"], answer["term"]) == ("n1", "n2", 2)
        assert answer["rule"] == "R020"
        assert cluster.public_ip in answer["sentence"]
        assert (cluster.holder, cluster.world.holder()) == ("n2", "n2")
        assert "order ops-1" in cluster.history("grant")[-1]["sentence"]["S"]

    def test_pins_the_address_until_the_target_claims_it(self, cluster: Cluster) -> None:
        cluster.settle_on_n1()
        cluster.operate("failover", target="n2", request_id="ops-1")
        # Pacemaker has not followed yet: n1 still runs the resource.
        still = cluster.say(cluster.claims("n1", lost=()))
        assert rules(still) == ["R020"]
        assert cluster.holder == "n2"
        followed = cluster.say(cluster.runs("n2"))
        assert rules(followed) == ["R020"]
        assert cluster.address.order is None
        assert (cluster.holder, cluster.address.term) == ("n2", 2)

    def test_an_order_that_nobody_takes_up_ends_once_pacemaker_had_its_time(
        self, cluster: Cluster, local: Local
    ) -> None:
        local.settle_on_n1(cluster)
        local.operate({"verb": "failover", "cluster": cluster.id, "target": "n2"})
        local.forget()
        follow_seconds = local.arbiter.policy.follow_ms / 1000
        local.hear(cluster.stands_by("n2"), after_seconds=follow_seconds - 1)
        assert local.told.of("kept") == ["R020"]
        local.hear(cluster.stands_by("n2"), after_seconds=2)
        assert local.told.of("decided") == ["R020"]
        assert (cluster.holder, cluster.address.order) == ("n2", None)

    def test_an_address_that_tags_rename_meanwhile_is_said_to_be_gone(
        self, cluster: Cluster, local: Local, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        local.settle_on_n1(cluster)
        renamed = Committed(replace(cluster.snapshot, addresses={}))
        monkeypatch.setattr(Arbiter, "on_order", lambda *_: renamed)
        answer = local.operate({"verb": "failover", "cluster": cluster.id, "target": "n2"})
        assert answer["outcome"] == "ended"
        assert "goes by that name no more" in answer["sentence"]

    def test_a_forced_order_that_nobody_takes_up_expires(
        self, cluster: Cluster, local: Local
    ) -> None:
        local.settle_on_n1(cluster)
        local.operate({"verb": "failover", "cluster": cluster.id, "target": "n2", "force": True})
        local.forget()
        local.hear(cluster.stands_by("n2"), after_seconds=ORDER_MS[OrderKind.FAILOVER] / 1000 - 1)
        assert local.told.of("kept") == ["R020"]
        local.hear(cluster.stands_by("n2"), after_seconds=2)
        assert local.told.of("decided") == ["R020"]
        assert (cluster.holder, cluster.address.order) == ("n2", None)

    def test_an_order_ends_when_pacemaker_starts_elsewhere_and_the_rules_decide_again(
        self, cluster: Cluster, local: Local
    ) -> None:
        local.settle_on_n1(cluster)
        local.operate({"verb": "failover", "cluster": cluster.id, "target": "n2"})
        local.hear(cluster.stands_by("n2"))
        local.forget()
        follow_seconds = local.arbiter.policy.follow_ms / 1000
        runs_on: dict[str, Any] = {"lost": (), "state": "started"}
        local.hear(cluster.claims("n1", **runs_on), after_seconds=follow_seconds - 2)
        assert local.told.of("kept") == ["R020"]
        local.hear(cluster.claims("n1", **runs_on), after_seconds=2)
        # The end and the grant are one step: n1 is never told that it lost its address.
        assert local.told.of("decided")[0] == "R061"
        assert (cluster.holder, cluster.address.order) == ("n1", None)
        line = cluster.history("grant")[-1]["sentence"]["S"]
        assert "order request-1 ends: Pacemaker did not follow to n2, n1 claims" in line

    def test_asked_again_with_the_same_request_id_it_answers_and_does_nothing(
        self, aws: EmbeddedAws, cluster: Cluster
    ) -> None:
        cluster.settle_on_n1()
        first = cluster.operate("failover", target="n2", request_id="ops-1")
        before, since = cluster.table(), aws.journal.now()
        again = cluster.operate("failover", target="n2", request_id="ops-1")
        assert (again["outcome"], again["term"], again["rule"]) == ("moved", 2, "R020")
        assert again["sentence"] == first["sentence"]
        assert cluster.table() == before
        assert cluster.moves(since) == []

    def test_asked_again_after_the_order_ended_it_answers_and_does_nothing(
        self, aws: EmbeddedAws, cluster: Cluster
    ) -> None:
        cluster.settle_on_n1()
        cluster.operate("failover", target="n2", request_id="ops-1")
        cluster.say(cluster.runs("n2"))
        cluster.say(cluster.report("n2", cause="release"))
        cluster.say(cluster.claims("n1", lost=()))
        assert (cluster.holder, cluster.address.order) == ("n1", None)
        before, since = cluster.item(), aws.journal.now()
        again = cluster.operate("failover", target="n2", request_id="ops-1")
        assert again["outcome"] == "ended"
        assert cluster.item() == before
        assert cluster.moves(since) == []

    def test_refuses_a_target_whose_instance_goes(self, cluster: Cluster, local: Local) -> None:
        local.settle_on_n1(cluster)
        local.arbiter.on_instance_state(cluster.instance("n2"), "stopping", local.now_ms)
        with pytest.raises(RefusedError, match="n2 is stopping, says EC2"):
            local.operate({"verb": "failover", "cluster": cluster.id, "target": "n2"})
        assert cluster.world.holder() == "n1"

    def test_without_a_request_id_the_invocations_own_id_is_the_orders(
        self, cluster: Cluster
    ) -> None:
        cluster.settle_on_n1()
        request = {"verb": "failover", "cluster": cluster.id, "target": "n2"}
        invocation = cluster.aws.invoke("Operate", request)
        assert invocation.result["order"] == invocation.request_id

    @pytest.mark.parametrize(
        ("request_of", "why"),
        [
            ({"target": "n1"}, "n1 holds {ip} already"),
            ({"target": "n9"}, "{cluster} has no node 'n9'"),
            ({"target": "n2", "resource": "vip"}, "{cluster} has no address for 'vip'"),
            (
                {"target": "n2", "cluster": "nowhere"},
                "no cluster 'nowhere' is known: none of its nodes has reported",
            ),
        ],
    )
    def test_refuses_what_there_is_not(
        self, aws: EmbeddedAws, cluster: Cluster, request_of: dict[str, str], why: str
    ) -> None:
        cluster.settle_on_n1()
        before, since = cluster.item(), aws.journal.now()
        request = {"verb": "failover", "cluster": cluster.id} | request_of
        invocation = cluster.aws.invoke("Operate", request)
        expected = why.format(ip=cluster.public_ip, cluster=cluster.id)
        assert refused(invocation.result) == expected
        assert [line["message"] for line in lines(invocation, "WARNING")] == [expected]
        assert cluster.item() == before
        assert cluster.moves(since) == []

    @pytest.mark.parametrize(
        ("changes", "why"),
        [
            ({"failing": ("disk full",)}, "n2 is unhealthy (disk full)"),
            ({"state": "failed"}, "n2 failed eip"),
        ],
    )
    def test_refuses_an_unfit_target_and_sends_it_there_by_force(
        self, cluster: Cluster, changes: dict[str, Any], why: str
    ) -> None:
        cluster.settle_on_n1()
        cluster.say(cluster.stands_by("n2", **changes))
        answer = cluster.operate("failover", target="n2")
        assert refused(answer) == f"{why}; `force` would send the address there"
        assert cluster.world.holder() == "n1"
        forced = cluster.operate("failover", target="n2", force=True)
        assert forced["outcome"] == "moved"
        assert cluster.world.holder() == "n2"

    def test_refuses_a_target_that_has_not_reported_lately(
        self, cluster: Cluster, local: Local
    ) -> None:
        local.settle_on_n1(cluster)
        local.wait(60)
        order = {"verb": "failover", "cluster": cluster.id, "target": cluster.instance("n2")}
        with pytest.raises(RefusedError, match="n2 has not reported lately; `force` would send"):
            local.operate(order)

    def test_refuses_when_the_state_changed_after_it_was_read(
        self, cluster: Cluster, local: Local
    ) -> None:
        local.settle_on_n1(cluster)
        late = replace(local.arbiter, store=ReadsOld(local.arbiter.store, cluster.snapshot))
        local.hear(cluster.report("n1", cause="release"))
        local.hear(cluster.claims("n2", lost=()))
        order = {"verb": "failover", "cluster": cluster.id, "target": "n2"}
        with pytest.raises(RefusedError, match="changed meanwhile and nothing was done"):
            operate(late, order, "ops-1")
        assert (cluster.address.term, cluster.address.order) == (2, None)

    def test_an_order_that_ec2_refuses_stands_and_is_carried_on_by_later_reports(
        self, aws: EmbeddedAws, cluster: Cluster, local: Local
    ) -> None:
        cluster.settle_on_n1()
        fault = aws.faults.set(
            "error", principal="Operate", operation="AssociateAddress", code="Odd", status=400
        )
        answer = cluster.operate("failover", target="n2", request_id="ops-1")
        assert answer["outcome"] == "accepted"
        assert "the order stands, but" in answer["sentence"]
        assert (cluster.world.holder(), cluster.address.phase) == ("n1", Phase.MOVING)
        fault.clear()
        local.now_ms = cluster.address.deadline_ms
        local.hear(cluster.runs("n1"))
        assert cluster.world.holder() == "n2"
        assert cluster.address.order is not None

    def test_a_dry_run_says_what_would_happen_and_does_nothing(
        self, aws: EmbeddedAws, cluster: Cluster
    ) -> None:
        cluster.settle_on_n1()
        before, since = cluster.table(), aws.journal.now()
        answer = cluster.operate("failover", target="n2", dry_run=True)
        assert (answer["outcome"], answer["from"], answer["to"]) == ("would move", "n1", "n2")
        assert (answer["term"], answer["rule"]) == (2, "R020")
        assert "nothing was done" in answer["sentence"]
        assert cluster.table() == before
        assert [call.operation for call in cluster.calls(since, "Operate")] == ["GetItem"]

    def test_a_dry_run_of_a_switchover_says_that_pacemaker_comes_first(
        self, cluster: Cluster
    ) -> None:
        cluster.settle_on_n1()
        before = cluster.table()
        answer = cluster.operate("switchover", holder="n1", target="n2", dry_run=True)
        assert answer["sentence"].startswith("Pacemaker would be asked to move eip to n2, and n2 ")
        assert cluster.table() == before

    def test_a_dry_run_refuses_what_the_verb_would_refuse(self, cluster: Cluster) -> None:
        cluster.settle_on_n1()
        cluster.say(cluster.stands_by("n2", failing=("disk full",)))
        answer = cluster.operate("failover", target="n2", dry_run=True)
        assert refused(answer).startswith("n2 is unhealthy (disk full)")
