"""What `doctor` finds: of nodes, addresses, what holds a failover back, and what EC2 says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import boto3
import pytest
from core.harness import Cluster
from core.local import Local
from eip_arbiter.aws.clients import EC2_LOOK_CONFIG
from eip_arbiter.aws.ec2_address import Ec2Preflight
from eip_arbiter.decision.snapshot import Order
from eip_arbiter.operate.checkup import ASKING_MS
from eip_arbiter.operate.inspecting import Inspection
from eip_arbiter.settings import EC2_LOOK_CALL_MS

from lab.embedded.cloud import EmbeddedAws


class TestDoctor:
    def ill(self, inspection: Inspection, cluster: Cluster) -> dict[str, str]:
        """The checks that do not hold, by their names."""
        answer = inspection.doctor({"cluster": cluster.id})
        found = {c["check"]: c["sentence"] for c in answer["checks"] if not c["ok"]}
        assert answer["outcome"] == ("ill" if found else "well")
        assert all(sentence in answer["sentence"] for sentence in found.values())
        return found

    def test_finds_a_calm_cluster_well_and_says_so_of_each_part(
        self, aws: EmbeddedAws, cluster: Cluster
    ) -> None:
        cluster.settle_on_n1()
        cluster.say(cluster.runs("n1"))
        cluster.say(cluster.stands_by("n2"))
        since = aws.journal.now()
        answer = cluster.operate("doctor")
        assert answer["outcome"] == "well", answer
        said = [check["sentence"] for check in answer["checks"]]
        it = f"{cluster.public_ip} (eip)"
        assert said[0] == f"{cluster.id} is not paused"
        assert said[3:] == [
            f"n1 holds {it} under term 1 and runs it",
            f"EC2 has {it} where the state says",
            f"nobody else claims {it}",
            f"nothing holds a failover of {it} back",
            f"n2 could take {it} over: EC2 would associate it (dry run)",
        ]
        assert answer["sentence"] == f"{cluster.id} is well: all 8 checks hold"
        assert cluster.moves(since) == []

    @pytest.mark.parametrize(
        ("report", "why"),
        [
            ({"failing": ("disk full",)}, "node: n2 is unhealthy (disk full)"),
            ({"public_ips": None}, "node: n2 cannot read its metadata service"),
            ({"lost": ("n1",)}, "node: n2 lost sight of n1"),
            ({"state": "failed"}, "standby: n2 failed eip"),
        ],
    )
    def test_says_what_is_wrong_with_a_node(
        self, cluster: Cluster, inspection: Inspection, report: dict[str, Any], why: str
    ) -> None:
        local = cluster.local
        local.settle_on_n1(cluster)
        local.hear(cluster.runs("n1"))
        local.hear(cluster.stands_by("n2", **report))
        said = [f"{check}: {sentence}" for check, sentence in self.ill(inspection, cluster).items()]
        assert any(sentence.startswith(why) for sentence in said), said

    def test_says_that_a_node_is_silent_and_for_how_long(
        self, cluster: Cluster, local: Local, inspection: Inspection
    ) -> None:
        local.settle_on_n1(cluster)
        local.wait(60)
        local.hear(cluster.runs("n1"))
        ill = self.ill(inspection, cluster)
        assert ill["node"].startswith("n2 has not reported lately, 60 s ago at the last: is")
        assert ill["standby"] == f"n2 could not take {cluster.public_ip} (eip) over"

    def test_says_that_ec2_would_refuse(
        self, aws: EmbeddedAws, cluster: Cluster, local: Local, inspection: Inspection
    ) -> None:
        local.settle_on_n1(cluster)
        local.hear(cluster.runs("n1"))
        local.hear(cluster.stands_by("n2"))
        aws.faults.set(
            "error",
            principal="local",
            operation="AssociateAddress",
            code="UnauthorizedOperation",
            status=403,
        )
        it = f"{cluster.public_ip} (eip)"
        assert self.ill(inspection, cluster) == {
            "standby": f"EC2 would not associate {it} with n2: UnauthorizedOperation"
        }

    def test_says_that_ec2_has_the_address_elsewhere(
        self, cluster: Cluster, local: Local, inspection: Inspection
    ) -> None:
        local.settle_on_n1(cluster)
        local.wait(60)
        local.hear(cluster.runs("n1"))
        local.hear(cluster.stands_by("n2"))
        cluster.world.associate("n2")
        assert self.ill(inspection, cluster)["place"].endswith("not at n1 (drift)")

    def test_does_not_take_ec2s_old_word_for_drift(
        self, aws: EmbeddedAws, cluster: Cluster, local: Local, inspection: Inspection
    ) -> None:
        local.settle_on_n1(cluster)
        local.hear(cluster.runs("n1"))
        local.hear(cluster.stands_by("n2"))
        aws.faults.describe_lag_seconds = 600.0
        assert self.ill(inspection, cluster) == {}
        said = inspection.doctor({"cluster": cluster.id})["checks"]
        (place,) = [check["sentence"] for check in said if check["check"] == "place"]
        assert place.endswith("s ago, which EC2 may show a minute late: it does not yet")

    def test_says_a_split_brain_a_pause_and_a_holder_that_does_not_run_it(
        self, cluster: Cluster, local: Local, inspection: Inspection
    ) -> None:
        local.settle_on_n1(cluster)
        local.hear(cluster.claims("n2"))
        local.hear(cluster.runs("n1", lost=("n2",)))
        assert "is refused" in self.ill(inspection, cluster)["split-brain"]
        local.operate({"verb": "pause", "cluster": cluster.id, "minutes": 1})
        assert "`resume` ends it" in self.ill(inspection, cluster)["pause"]
        local.hear(cluster.stands_by("n1"))
        it = f"{cluster.public_ip} (eip)"
        ill = self.ill(inspection, cluster)
        assert ill["address"] == f"n1 holds {it} and does not claim it: stopped there"

    def test_says_that_a_move_is_stuck(
        self, aws: EmbeddedAws, cluster: Cluster, local: Local, inspection: Inspection
    ) -> None:
        local.settle_on_n1(cluster)
        aws.faults.set("error", principal="local", operation="AssociateAddress", status=400)
        local.hear(cluster.report("n1", cause="release"))
        local.hear(cluster.claims("n2", lost=()))
        assert "address" not in self.ill(inspection, cluster)
        local.wait(local.arbiter.policy.move_ms / 1000)
        assert "is stuck on its way under term 2" in self.ill(inspection, cluster)["address"]

    def test_says_that_a_registered_node_never_reported(
        self, cluster: Cluster, local: Local, inspection: Inspection
    ) -> None:
        local.settle_on_n1(cluster)
        local.hear(cluster.runs("n1"))
        n2 = cluster.snapshot.nodes[cluster.instance("n2")]
        new = replace(n2, instance_id="i-0ccccccccccccccc3", report=None)
        local.arbiter.store.register(cluster.id, new, ())
        assert self.ill(inspection, cluster)["node"].startswith(
            "i-0ccccccccccccccc3 has never reported"
        )

    def test_says_each_thing_once(
        self, cluster: Cluster, local: Local, inspection: Inspection
    ) -> None:
        local.settle_on_n1(cluster)
        local.hear(cluster.runs("n1"))
        local.hear(cluster.stands_by("n2"))
        local.arbiter.on_instance_state(cluster.instance("n2"), "stopping", local.now_ms)
        assert inspection.doctor({"cluster": cluster.id})["sentence"] == (
            f"n2 is stopping, says EC2; n2 could not take {cluster.public_ip} (eip) over"
        )

    def test_says_that_a_standby_is_unfit_for_what_its_own_check_does_not_say(
        self, new_cluster: Callable[..., Cluster], local: Local, inspection: Inspection
    ) -> None:
        cluster = new_cluster(3, instance_tags={"n3": {"eip-arbiter:nofailover": "true"}})
        local.settle_on_n1(cluster)
        for report in (cluster.runs("n1"), cluster.stands_by("n2"), cluster.stands_by("n3")):
            local.hear(report)
        assert inspection.doctor({"cluster": cluster.id})["sentence"] == "n3 is tagged nofailover"


class TestReadiness:
    """Each of what `readiness` knows is a check that fails."""

    def failed(self, inspection: Inspection, cluster: Cluster) -> list[str]:
        answer = inspection.doctor({"cluster": cluster.id})
        assert answer["outcome"] == "ill"
        failed = [check["sentence"] for check in answer["checks"] if not check["ok"]]
        assert answer["sentence"] == "; ".join(failed)
        return failed

    def well(self, cluster: Cluster) -> None:
        cluster.local.settle_on_n1(cluster)
        cluster.local.hear(cluster.runs("n1"))
        for node in list(cluster.world.nodes)[1:]:
            cluster.local.hear(cluster.stands_by(node))

    def change(self, cluster: Cluster, **changes: Any) -> None:
        store, snapshot = cluster.local.arbiter.store, cluster.snapshot
        store.commit(snapshot, replace(snapshot.addresses["eip"], **changes), ())

    def test_the_flap_brake(self, cluster: Cluster, local: Local, inspection: Inspection) -> None:
        self.well(cluster)
        moves = (local.now_ms,) * local.arbiter.policy.brake_moves
        self.change(cluster, recent_moves_ms=moves)
        brake = "the flap brake is on and keeps it on a holder that still runs it"
        it = f"{cluster.public_ip} (eip)"
        assert self.failed(inspection, cluster) == [f"{it}: {brake}; `acknowledge` ends it"]

    def test_an_order_that_pins(
        self, cluster: Cluster, local: Local, inspection: Inspection
    ) -> None:
        self.well(cluster)
        now = local.now_ms
        standing = Order("ops-1", cluster.instance("n2"), False, now, now + 60_000)
        self.change(cluster, order=standing)
        assert self.failed(inspection, cluster) == [
            f"{cluster.public_ip} (eip): order ops-1 pins it to n2"
        ]

    def test_a_cluster_of_one(
        self, new_cluster: Callable[..., Cluster], inspection: Inspection
    ) -> None:
        cluster = new_cluster(1)
        self.well(cluster)
        it = f"{cluster.public_ip} (eip)"
        assert self.failed(inspection, cluster) == [f"{it}: the cluster has no other node"]

    def test_a_pause_is_said_once(
        self, cluster: Cluster, local: Local, inspection: Inspection
    ) -> None:
        self.well(cluster)
        local.operate({"verb": "pause", "cluster": cluster.id, "minutes": 1})
        (sentence,) = self.failed(inspection, cluster)
        assert sentence.startswith(f"{cluster.id} is paused: ")


class TestWithoutEc2:
    """A visit is for an outage too: it ends within the function's time and says what it knows."""

    def well(self, cluster: Cluster) -> None:
        cluster.local.settle_on_n1(cluster)
        for report in (cluster.runs("n1"), cluster.stands_by("n2")):
            cluster.local.hear(report)

    @pytest.mark.parametrize("operation", ["DescribeAddresses", "AssociateAddress"])
    def test_that_it_does_not_answer_is_a_failed_check_and_nothing_more_is_asked(
        self, aws: EmbeddedAws, cluster: Cluster, operation: str
    ) -> None:
        cluster.settle_on_n1()
        cluster.say(cluster.runs("n1"))
        cluster.say(cluster.stands_by("n2"))
        aws.faults.set("blackhole", principal="Operate", operation=operation)
        since = aws.journal.now()
        invocation = aws.invoke("Operate", {"verb": "doctor", "cluster": cluster.id})
        assert aws.journal.now() - since < 9
        answer = invocation.result
        assert answer["outcome"] == "ill"
        assert answer["sentence"] == "EC2 does not answer: ReadTimeoutError"
        names = [check["check"] for check in answer["checks"]]
        assert names.count("ec2") == 1
        assert "standby" not in names
        assert ("place" in names) == (operation == "AssociateAddress")

    def test_that_it_cannot_be_reached_is_told_too(
        self, cluster: Cluster, inspection: Inspection
    ) -> None:
        self.well(cluster)
        nowhere = boto3.client(
            "ec2",
            region_name=cluster.aws.region,
            endpoint_url="http://127.0.0.1:1",
            aws_access_key_id="nobody",
            aws_secret_access_key="nothing",
            config=EC2_LOOK_CONFIG,
        )
        answer = replace(inspection, looks=Ec2Preflight(nowhere)).doctor({"cluster": cluster.id})
        assert answer["sentence"] == "EC2 does not answer: EndpointConnectionError"

    def test_no_call_begins_that_could_outlast_the_function(
        self, cluster: Cluster, local: Local, inspection: Inspection
    ) -> None:
        assert local.arbiter.policy.function_timeout_ms - 1_000 > ASKING_MS + EC2_LOOK_CALL_MS
        self.well(cluster)
        times = iter((0, 0, ASKING_MS, ASKING_MS + 1))

        def clock() -> int:
            return local.now_ms + next(times)

        slow = replace(inspection, arbiter=replace(local.arbiter, clock=clock))
        answer = slow.doctor({"cluster": cluster.id})
        assert answer["sentence"] == "EC2 answers so slowly that not everything could be asked"
