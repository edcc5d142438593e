"""What is known of a node is what EC2 says of it, when it joins and when its agent starts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import builders
import pytest
from core.harness import Cluster
from core.local import Local
from eip_arbiter.arbitrate.registering import departed
from eip_arbiter.aws.ec2_address import Ec2Inventory
from eip_arbiter.decision.snapshot import Address, Ec2Evidence, Order, Phase, Snapshot
from eip_arbiter.operate.requests import RefusedError
from eip_arbiter.ports import Committed
from eip_contract.report import ReportRejected
from eip_contract.state_item import STATE_SORT_KEY, cluster_partition_key, read_status

from lab.embedded.cloud import EmbeddedAws
from lab.embedded.world import CLUSTER_TAG


def tag(aws: EmbeddedAws, resource: str, name: str, value: str) -> None:
    aws.client("ec2", "looks").create_tags(
        Resources=[resource], Tags=[{"Key": name, "Value": value}]
    )


def test_an_agent_that_starts_anew_has_its_node_looked_up_again(
    aws: EmbeddedAws, cluster: Cluster, local: Local
) -> None:
    local.settle_on_n1(cluster)
    instance = cluster.instance("n2")
    tag(aws, instance, "eip-arbiter:nofailover", "true")
    tag(aws, instance, "eip-arbiter:priority", "7")
    local.hear(cluster.stands_by("n2"))
    assert not cluster.snapshot.nodes[instance].nofailover
    local.hear(cluster.stands_by("n2", incarnation=2))
    node = cluster.snapshot.nodes[instance]
    assert (node.nofailover, node.priority, node.registered_for) == (True, 7, 2)
    assert node.report is not None
    local.forget()
    local.hear(cluster.stands_by("n2", incarnation=2), after_seconds=600)
    assert local.calls.made == ["UpdateItem"], "once for each start"


def test_a_start_brings_an_address_in_that_was_tagged_since(
    aws: EmbeddedAws, cluster: Cluster, local: Local
) -> None:
    local.settle_on_n1(cluster)
    ec2 = aws.client("ec2", "looks")
    allocation = ec2.allocate_address(Domain="vpc")["AllocationId"]
    tag(aws, allocation, CLUSTER_TAG, cluster.id)
    tag(aws, allocation, "eip-arbiter:resource", "vip")
    tag(aws, allocation, "eip-arbiter:private-ip-index", "1")
    local.hear(cluster.stands_by("n2", incarnation=2))
    assert set(cluster.snapshot.addresses) == {"eip", "vip"}
    assert cluster.holder == "n1"


class TestAnElasticIpOfTheNodesOwn:
    """EC2 throws it off where an address of the cluster comes to the same private address."""

    @staticmethod
    def given(aws: EmbeddedAws, cluster: Cluster, private_ip: str | None = None) -> str:
        """A person's own Elastic IP on n2, by default on its primary private address."""
        ec2, interface = aws.client("ec2", "looks"), cluster.world.nodes["n2"].interface_id
        own = ec2.allocate_address(Domain="vpc")
        place = {"PrivateIpAddress": private_ip} if private_ip else {}
        ec2.associate_address(
            AllocationId=own["AllocationId"], NetworkInterfaceId=interface, **place
        )
        return str(own["PublicIp"])

    def test_is_told_when_the_node_joins(
        self, aws: EmbeddedAws, cluster: Cluster, local: Local
    ) -> None:
        local.settle_on_n1(cluster)
        own = self.given(aws, cluster)
        local.hear(cluster.stands_by("n2", incarnation=2))
        assert f"; n2 would lose its own Elastic IP {own}" in str(local.told)
        status = local.operate({"verb": "status", "cluster": cluster.id})
        assert [node["would_lose"] for node in status["nodes"]] == [[], [own]]
        item = aws.client("dynamodb", "looks").get_item(
            TableName=cluster.table_name,
            Key={"pk": {"S": cluster_partition_key(cluster.id)}, "sk": {"S": STATE_SORT_KEY}},
        )["Item"]
        assert read_status(item).endangered == {cluster.instance("n2"): own}, "what its agent reads"
        (place,) = cluster.snapshot.nodes[cluster.instance("n2")].own_elastic_ips.items()
        assert place[1] == own

    def test_makes_the_node_an_unfit_target_but_by_force(
        self, aws: EmbeddedAws, cluster: Cluster, local: Local
    ) -> None:
        local.settle_on_n1(cluster)
        own = self.given(aws, cluster)
        local.hear(cluster.stands_by("n2", incarnation=2))
        order = {"verb": "failover", "cluster": cluster.id, "target": "n2"}
        with pytest.raises(RefusedError, match=f"n2 would lose its own Elastic IP {own}; `force`"):
            local.operate(order)
        switchover = {**order, "verb": "switchover", "holder": "n1"}
        with pytest.raises(RefusedError, match=f"own Elastic IP {own}$"):
            local.operate(switchover)
        assert local.operate({**order, "force": True})["outcome"] == "moved"

    def test_is_no_matter_on_another_private_address(
        self, aws: EmbeddedAws, cluster: Cluster, local: Local
    ) -> None:
        node = cluster.world.nodes["n2"]
        ec2 = aws.client("ec2", "looks")
        further = f"{node.private_ips[0].rpartition('.')[0]}.77"
        ec2.assign_private_ip_addresses(
            NetworkInterfaceId=node.interface_id, PrivateIpAddresses=[further]
        )
        local.settle_on_n1(cluster)
        own = self.given(aws, cluster, further)
        local.hear(cluster.stands_by("n2", incarnation=2))
        after = cluster.snapshot.nodes[cluster.instance("n2")]
        assert after.own_elastic_ips == {further: own}
        assert after.would_lose(0) is None
        order = {"verb": "failover", "cluster": cluster.id, "target": "n2"}
        assert local.operate(order)["outcome"] == "moved"

    def test_is_neither_what_a_subnet_assigned_nor_the_clusters(
        self, aws: EmbeddedAws, cluster: Cluster, local: Local
    ) -> None:
        ec2 = aws.client("ec2", "looks")
        local.settle_on_n1(cluster)
        local.hear(cluster.runs("n1", incarnation=2))
        assert all(not node.own_elastic_ips for node in cluster.snapshot.nodes.values())
        image = ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
        (zone, *_) = ec2.describe_subnets(Filters=[{"Name": "default-for-az", "Values": ["true"]}])[
            "Subnets"
        ]
        made = ec2.run_instances(ImageId=image, MinCount=1, MaxCount=1, SubnetId=zone["SubnetId"])[
            "Instances"
        ][0]
        assert made["PublicIpAddress"]
        found = Ec2Inventory(ec2).node(made["InstanceId"])
        assert found is not None
        assert found[1].own_elastic_ips == {}


def exchange(aws: EmbeddedAws, cluster: Cluster) -> str:
    """Another Elastic IP gets the tags of the cluster's one; returns its public address."""
    ec2 = aws.client("ec2", "looks")
    old = cluster.world.addresses["eip"].allocation_id
    ec2.delete_tags(Resources=[old], Tags=[{"Key": CLUSTER_TAG}])
    new = ec2.allocate_address(Domain="vpc")
    tag(aws, new["AllocationId"], CLUSTER_TAG, cluster.id)
    return str(new["PublicIp"])


def test_an_elastic_ip_that_was_exchanged_is_put_where_the_old_one_was(
    aws: EmbeddedAws, cluster: Cluster, local: Local
) -> None:
    local.settle_on_n1(cluster)
    before = cluster.address
    new_ip = exchange(aws, cluster)
    local.hear(cluster.stands_by("n2", incarnation=2))
    after = cluster.address
    assert f"{new_ip} takes the place of {before.public_ip} for eip" in str(local.told)
    assert (after.public_ip, after.association_id, after.interface_id) == (new_ip, None, None)
    assert (after.holder, after.term, after.rule) == (before.holder, before.term, before.rule)
    local.hear(cluster.claims("n2", incarnation=2))
    assert cluster.holder == "n1", "no claim is won by it"
    local.hear(cluster.stands_by("n2", incarnation=2), after_seconds=65)
    local.hear(cluster.runs("n1"))  # it has the old one only
    assert (cluster.holder, cluster.address.rule) == ("n1", "R080")
    (place,) = aws.client("ec2", "looks").describe_addresses(PublicIps=[new_ip])["Addresses"]
    assert place["NetworkInterfaceId"] == cluster.world.nodes["n1"].interface_id


def test_an_exchange_that_loses_its_race_comes_with_the_next_start(
    aws: EmbeddedAws, cluster: Cluster, local: Local
) -> None:
    local.settle_on_n1(cluster)
    old_ip, new_ip = cluster.public_ip, exchange(aws, cluster)
    store = local.arbiter.store

    class Overtaken:
        def __getattr__(self, name: str) -> Any:
            return getattr(store, name)

        def readdress(self, snapshot: Snapshot, addresses: Mapping[str, Address]) -> Any:
            assert isinstance(store.pause(snapshot, 0), Committed)
            return store.readdress(snapshot, addresses)

    arbiter, local.arbiter = local.arbiter, replace(local.arbiter, store=Overtaken())
    local.hear(cluster.stands_by("n2", incarnation=2))
    local.arbiter = arbiter
    assert cluster.address.public_ip == old_ip
    assert "takes the place" not in str(local.told)
    local.hear(cluster.stands_by("n2", incarnation=3), after_seconds=5)
    assert cluster.address.public_ip == new_ip


def untag(aws: EmbeddedAws, resource: str) -> None:
    aws.client("ec2", "looks").delete_tags(Resources=[resource], Tags=[{"Key": CLUSTER_TAG}])


def test_a_node_whose_tag_is_gone_has_no_say_once_its_agent_starts_anew(
    aws: EmbeddedAws, cluster: Cluster, local: Local
) -> None:
    local.settle_on_n1(cluster)
    instance = cluster.instance("n2")
    untag(aws, instance)
    local.hear(cluster.stands_by("n2", incarnation=2))
    said = f"n2 ({instance}) lost its tag: it has no say in {cluster.id} now"
    assert said in str(local.told)
    assert set(cluster.snapshot.nodes) == {cluster.instance("n1")}
    with pytest.raises(ReportRejected, match="is not tagged"):
        local.hear(cluster.claims("n2", incarnation=2))
    assert cluster.holder == "n1"


def test_the_address_of_a_holder_whose_tag_is_gone_goes_to_who_claims_it(
    aws: EmbeddedAws, cluster: Cluster, local: Local
) -> None:
    local.settle_on_n1(cluster)
    untag(aws, cluster.instance("n1"))
    local.hear(cluster.runs("n1", incarnation=2))
    assert (cluster.holder, cluster.address.term) == (None, 1)
    assert cluster.world.holder() == "n1", "EC2 is not asked to move it before somebody claims"
    (line,) = cluster.history("note")
    assert line["sentence"]["S"].endswith(f"and {cluster.public_ip} (eip) is with nobody")
    local.hear(cluster.claims("n2", lost=()))
    assert (cluster.holder, cluster.world.holder()) == ("n2", "n2")
    assert (cluster.address.rule, cluster.address.term) == ("R050", 2)


def test_a_node_that_moves_to_another_cluster_leaves_the_first_with_its_first_report(
    aws: EmbeddedAws, cluster: Cluster, new_cluster: Callable[..., Cluster], local: Local
) -> None:
    local.settle_on_n1(cluster)
    other, instance = new_cluster(), cluster.instance("n2")
    tag(aws, instance, CLUSTER_TAG, other.id)
    local.hear(cluster.stands_by("n2", incarnation=2, cluster_id=other.id))
    assert instance in other.snapshot.nodes
    assert instance not in cluster.snapshot.nodes
    assert f"n2 ({instance}) is tagged eip-arbiter:cluster={other.id}" in str(local.told)


def test_a_node_of_another_cluster_is_not_taken_out_of_its_own_by_what_it_says(
    cluster: Cluster, new_cluster: Callable[..., Cluster], local: Local
) -> None:
    local.settle_on_n1(cluster)
    other = new_cluster()
    with pytest.raises(ReportRejected, match="is not tagged"):
        local.hear(cluster.stands_by("n2", cluster_id=other.id))
    assert cluster.instance("n2") in cluster.snapshot.nodes


@pytest.mark.parametrize("mode", ["throttle", "error", "refuse"])
def test_an_ec2_that_does_not_answer_changes_nothing_of_a_registered_node(
    aws: EmbeddedAws, cluster: Cluster, local: Local, mode: Any
) -> None:
    local.settle_on_n1(cluster)
    before = cluster.snapshot.nodes[cluster.instance("n2")]
    fault = aws.faults.set(mode, principal="local", operation="DescribeInstances")
    local.hear(cluster.stands_by("n2", incarnation=2))
    after = cluster.snapshot.nodes[before.instance_id]
    assert replace(after, report=None) == replace(before, report=None)
    assert "n2 stays registered as it was" in str(local.told)
    fault.clear()
    local.hear(cluster.stands_by("n2", incarnation=2), after_seconds=5)
    assert cluster.snapshot.nodes[before.instance_id].registered_for == 2


class OneInstance:
    """A fake of EC2's client that describes one instance."""

    def __init__(self, *interfaces: Mapping[str, Any]) -> None:
        self._interfaces = interfaces

    def describe_instances(self, **_: Any) -> dict[str, Any]:
        tags = [{"Key": CLUSTER_TAG, "Value": "web"}]
        instance = {"InstanceId": "i-1", "Tags": tags, "NetworkInterfaces": list(self._interfaces)}
        return {"Reservations": [{"Instances": [instance]}]}


def test_the_primary_interface_gets_the_addresses_unless_a_tag_names_another() -> None:
    def interface(index: int) -> dict[str, Any]:
        made = {"NetworkInterfaceId": f"eni-{index}", "PrivateIpAddress": f"10.0.0.{index}"}
        return {**made, "Attachment": {"DeviceIndex": index}}

    client: Any = OneInstance(interface(1), interface(0), interface(2))
    found = Ec2Inventory(client).node("i-1")
    assert found is not None
    assert found[1].interface_id == "eni-0"


def test_a_terminated_instance_that_an_order_names_is_not_forgotten() -> None:
    gone = builders.node(2, builders.last_report(2), ec2=Ec2Evidence("terminated", 0, 1))
    assert departed(builders.snapshot(builders.holding(), gone)) == (builders.N2,)
    order = Order("ops-1", builders.N2, force=True, issued_at_ms=0, until_ms=builders.NOW)
    at = builders.address(order=order)
    assert departed(builders.snapshot(builders.holding(), gone, at=at)) == ()


def test_an_interface_with_ipv6_addresses_only_can_take_no_elastic_ip() -> None:
    client: Any = OneInstance({"NetworkInterfaceId": "eni-1", "PrivateIpAddresses": []})
    found = Ec2Inventory(client).node("i-1")
    assert found is not None
    assert found[1].private_ips == ()


def test_a_grant_that_ec2_refuses_for_good_does_not_bind_the_address(
    aws: EmbeddedAws, cluster: Cluster, local: Local
) -> None:
    local.settle_on_n1(cluster)
    refused = aws.faults.set("error", principal="local", operation="AssociateAddress", status=400)
    local.hear(cluster.stands_by("n1", cause="release", for_ms=0))
    local.hear(cluster.claims("n2", lost=()))
    assert (cluster.holder, cluster.address.phase) == ("n2", Phase.MOVING)
    refused.clear()
    local.hear(cluster.stands_by("n2", cause="release", for_ms=0), after_seconds=1)
    local.hear(cluster.claims("n1", lost=()), after_seconds=1)
    assert cluster.holder == "n2", "whoever moves it has its time"
    local.forget()
    local.hear(cluster.claims("n1", lost=()), after_seconds=10)
    assert (cluster.holder, cluster.world.holder()) == ("n1", "n1")
    assert local.calls.made.count("AssociateAddress") <= 1
