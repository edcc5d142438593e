"""What EC2's tags and descriptions say now is taken up each minute, without an agent's restart."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from core.harness import Cluster
from core.local import Local
from core.watch.watched import Watched
from eip_arbiter.aws import ec2_address
from eip_arbiter.aws.ec2_address import Ec2Preflight
from eip_arbiter.decision.snapshot import Node, Phase
from eip_arbiter.operate.inspecting import Inspection
from eip_arbiter.ports import MoveFailedError
from eip_contract.report import ReportRejected, ResourceState

from lab.embedded.cloud import EmbeddedAws
from lab.embedded.world import CLUSTER_TAG, PRIVATE_IP_INDEX_TAG, RESOURCE_TAG


@pytest.fixture
def ec2(aws: EmbeddedAws) -> Any:
    return aws.client("ec2", "looks")


def tag(ec2: Any, resource: str, name: str, value: str) -> None:
    ec2.create_tags(Resources=[resource], Tags=[{"Key": name, "Value": value}])


def untag(ec2: Any, resource: str) -> None:
    ec2.delete_tags(Resources=[resource], Tags=[{"Key": CLUSTER_TAG}])


def node(watched: Watched, name: str) -> Node:
    return watched.cluster.snapshot.nodes[watched.cluster.instance(name)]


class TestANode:
    def test_that_lost_its_tag_has_no_say_any_more(self, ec2: Any, watched: Watched) -> None:
        instance = watched.cluster.instance("n2")
        untag(ec2, instance)
        watched.look(1)
        assert set(watched.cluster.snapshot.nodes) == {watched.cluster.instance("n1")}
        assert f"n2 ({instance}) lost its tag: it has no say" in str(watched.local.told)
        with pytest.raises(ReportRejected, match="is not tagged"):
            watched.local.hear(watched.cluster.claims("n2"))

    def test_that_belongs_to_another_cluster_now_leaves_this_one(
        self, ec2: Any, watched: Watched
    ) -> None:
        instance = watched.cluster.instance("n2")
        tag(ec2, instance, CLUSTER_TAG, "another")
        watched.look(1)
        assert instance not in watched.cluster.snapshot.nodes
        assert f"n2 ({instance}) is tagged eip-arbiter:cluster=another" in str(watched.local.told)

    def test_that_lost_its_tag_lets_go_of_the_address_to_who_claims_it(
        self, ec2: Any, watched: Watched
    ) -> None:
        watched.local.hear(watched.cluster.claims("n2"))
        assert watched.cluster.holder == "n1"
        untag(ec2, watched.cluster.instance("n1"))
        watched.look(1)
        assert (watched.cluster.holder, watched.cluster.world.holder()) == ("n2", "n2")
        assert watched.cluster.address.rule == "R050"

    def test_that_a_list_by_tag_leaves_out_is_asked_about_by_its_id(
        self, watched: Watched, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        before = watched.cluster.snapshot.nodes
        monkeypatch.setattr(Ec2Preflight, "instances", lambda _self: {})
        watched.look(1)
        assert watched.cluster.snapshot.nodes == before
        assert watched.local.calls.made.count("DescribeInstances") == len(before)

    def test_that_is_terminated_stays_until_it_is_replaced(
        self, ec2: Any, watched: Watched
    ) -> None:
        ec2.terminate_instances(InstanceIds=[watched.cluster.instance("n1")])
        watched.look()
        assert watched.cluster.holder == "n1"
        assert "Holder Silent" in watched.heard.kinds

    def test_has_its_tags_and_its_further_addresses_taken_up(
        self, ec2: Any, watched: Watched
    ) -> None:
        instance, before = watched.cluster.instance("n2"), node(watched, "n2")
        tag(ec2, instance, "eip-arbiter:nofailover", "true")
        tag(ec2, instance, "eip-arbiter:priority", "7")
        floating = before.private_ips[0].rpartition(".")[0] + ".77"
        ec2.assign_private_ip_addresses(
            NetworkInterfaceId=before.interface_id, PrivateIpAddresses=[floating]
        )
        watched.look(1)
        after = node(watched, "n2")
        assert (after.nofailover, after.priority) == (True, 7)
        assert after.private_ips == (*before.private_ips, floating)
        assert (after.registered_for, after.report) == (before.registered_for, before.report)
        told = str(watched.local.told)
        watched.look(1)
        assert told.count("EC2 describes n2 anew") == 1
        assert str(watched.local.told).count("EC2 describes n2 anew") == 1

    def test_that_would_lose_an_elastic_ip_of_its_own_is_told_of_until_it_is_gone(
        self, ec2: Any, watched: Watched
    ) -> None:
        interface, own = node(watched, "n2").interface_id, ec2.allocate_address(Domain="vpc")
        made = ec2.associate_address(AllocationId=own["AllocationId"], NetworkInterfaceId=interface)
        watched.look(1)
        assert f"n2 would lose its own Elastic IP {own['PublicIp']}" in str(watched.local.told)
        ec2.disassociate_address(AssociationId=made["AssociationId"])
        watched.look(1)
        assert node(watched, "n2").own_elastic_ips == {}

    @pytest.mark.parametrize("mode", ["throttle", "error", "refuse"])
    def test_stays_as_it_was_while_ec2_does_not_answer_and_the_rest_goes_on(
        self, aws: EmbeddedAws, ec2: Any, watched: Watched, mode: Any
    ) -> None:
        untag(ec2, watched.cluster.instance("n1"))
        watched.local.hear(watched.cluster.report("n1", cause="release"))
        watched.local.crashes(2, lambda: watched.local.hear(watched.cluster.claims("n2", lost=())))
        aws.faults.set(mode, principal="local", operation="DescribeInstances")
        with pytest.raises(MoveFailedError):
            watched.look()
        assert len(watched.cluster.snapshot.nodes) == 2
        assert (watched.cluster.address.phase, watched.cluster.world.holder()) == (
            Phase.SETTLED,
            "n2",
        )

    def test_that_could_not_be_asked_about_by_its_id_stays(
        self, aws: EmbeddedAws, watched: Watched, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(Ec2Preflight, "instances", lambda _self: {})
        aws.faults.set("error", principal="local", operation="DescribeInstances", status=400)
        watched.calm()
        watched.look(1)
        assert len(watched.cluster.snapshot.nodes) == 2
        assert "InternalError" in watched.problems


class TestAnAddress:
    def allocation(self, watched: Watched, resource: str = "eip") -> str:
        return watched.cluster.world.addresses[resource].allocation_id

    def test_that_is_renamed_keeps_its_holder_and_its_term(
        self, ec2: Any, watched: Watched
    ) -> None:
        before = watched.cluster.address
        tag(ec2, self.allocation(watched), RESOURCE_TAG, "vip")
        watched.look(1)
        (after,) = watched.cluster.snapshot.addresses.values()
        assert (after.resource, after.allocation_id) == ("vip", before.allocation_id)
        assert (after.holder, after.term) == (before.holder, before.term)

    def test_that_is_tagged_for_another_cluster_leaves_this_one(
        self,
        aws: EmbeddedAws,
        ec2: Any,
        watched: Watched,
        inspection: Inspection,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        watched.look(1)
        tag(ec2, self.allocation(watched), CLUSTER_TAG, "another")
        everything = Ec2Preflight(watched.local.ec2).surveyed()
        monkeypatch.setattr(watched.watch.preflight, "surveyed", lambda: everything)
        watched.look(1)
        assert watched.cluster.snapshot.addresses == {}
        assert "is tagged for another cluster and leaves this one" in str(watched.local.told)
        since = aws.journal.now()
        watched.local.hear(watched.cluster.runs("n1", public_ips=()), after_seconds=30)
        watched.local.hear(watched.cluster.claims("n2"))
        assert watched.cluster.moves(since) == []
        watched.look(1)
        assert inspection.doctor({"cluster": watched.cluster.id})["outcome"] != "told"

    def test_whose_tags_are_a_double_is_told_and_left_alone(
        self, aws: EmbeddedAws, ec2: Any, watched: Watched
    ) -> None:
        before = watched.cluster.snapshot.addresses
        second = ec2.allocate_address(Domain="vpc")
        tag(ec2, second["AllocationId"], CLUSTER_TAG, watched.cluster.id)
        for _ in range(2):
            watched.calm()
            watched.look(1)
        assert watched.cluster.snapshot.addresses == before
        assert "have the same eip-arbiter:resource" in watched.problems
        assert "Not Ready" in watched.heard.kinds
        aws.client("ec2", "lab").release_address(AllocationId=second["AllocationId"])

    def test_that_was_tagged_since_is_taken_in(self, ec2: Any, watched: Watched) -> None:
        second = ec2.allocate_address(Domain="vpc")["AllocationId"]
        for name, value in ((RESOURCE_TAG, "vip"), (PRIVATE_IP_INDEX_TAG, "1")):
            tag(ec2, second, name, value)
        tag(ec2, second, CLUSTER_TAG, watched.cluster.id)
        watched.look(1)
        assert set(watched.cluster.snapshot.addresses) == {"eip", "vip"}


def test_two_addresses_that_exchange_their_places_are_each_moved_once(
    aws: EmbeddedAws, new_cluster: Callable[..., Cluster], local: Local
) -> None:
    cluster = new_cluster(resources=("eip", "vip"))
    both = {name: ResourceState("started", 60_000) for name in ("eip", "vip")}
    has = tuple(address.public_ip for address in cluster.world.addresses.values())
    local.hear(cluster.claims("n1", lost=(), resources=both, awaiting=("eip", "vip")))
    local.hear(cluster.stands_by("n2"))
    watched = Watched(local, cluster)
    ec2 = aws.client("ec2", "looks")
    eip, vip = (cluster.world.addresses[name].allocation_id for name in ("eip", "vip"))
    terms = {r: a.term for r, a in cluster.snapshot.addresses.items()}
    since = aws.journal.now()
    tag(ec2, eip, PRIVATE_IP_INDEX_TAG, "1")
    tag(ec2, vip, PRIVATE_IP_INDEX_TAG, "0")
    ips = cluster.world.nodes["n1"].private_ips
    for _ in range(4):
        local.hear(cluster.runs("n1", resources=both, public_ips=has), after_seconds=9)
        local.hear(cluster.stands_by("n2"))
        watched.look(1)
    found = ec2.describe_addresses(AllocationIds=[eip, vip])["Addresses"]
    where = {a["AllocationId"]: a["PrivateIpAddress"] for a in found}
    assert where == {eip: ips[1], vip: ips[0]}
    calls = [call.operation for call in cluster.calls(since, "local")]
    assert calls.count("AssociateAddress") - calls_dry(cluster, since) == 2
    after = cluster.snapshot.addresses
    assert {r: (a.term, a.phase) for r, a in after.items()} == {
        r: (term, Phase.SETTLED) for r, term in terms.items()
    }
    assert {cluster.instance("n1")} == {a.holder for a in after.values()}


def calls_dry(cluster: Cluster, since: float) -> int:
    return sum(call.outcome == "DryRunOperation" for call in cluster.calls(since, "local"))


def test_instances_are_read_page_by_page(
    watched: Watched, new_cluster: Callable[..., Cluster], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ec2_address, "INSTANCES_PER_PAGE", 5)
    others = [new_cluster() for _ in range(3)]
    watched.local.forget()
    found = Ec2Preflight(watched.local.ec2).instances()
    assert watched.local.calls.made.count("DescribeInstances") > 1
    for cluster in (watched.cluster, *others):
        for name in ("n1", "n2"):
            assert found[cluster.instance(name)][0] == cluster.id
