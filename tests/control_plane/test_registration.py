"""What is known of a node is what EC2 says of it, when it joins and when its agent starts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import builders
import pytest
from control_plane.harness import Cluster
from control_plane.local import Local
from eip_arbiter.decision.snapshot import Ec2Evidence, Order, Phase
from eip_arbiter.ec2_address import Ec2Inventory
from eip_arbiter.registering import departed
from eip_contract.report import ReportRejected

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
    local.hear(cluster.stands_by("n2", incarnation=2))
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


def test_a_node_whose_tag_is_gone_stays_as_it_was_and_it_is_said_once(
    aws: EmbeddedAws, cluster: Cluster, local: Local
) -> None:
    local.settle_on_n1(cluster)
    instance = cluster.instance("n2")
    aws.client("ec2", "looks").delete_tags(Resources=[instance], Tags=[{"Key": CLUSTER_TAG}])
    local.hear(cluster.stands_by("n2", incarnation=2))
    said = f"n2 stays registered as it was: {instance} is not tagged"
    assert said in str(local.told)
    local.forget()
    local.hear(cluster.stands_by("n2", incarnation=2))
    assert local.calls.made == ["UpdateItem"]


def test_who_is_refused_costs_calls_to_ec2_once_in_some_seconds(
    new_cluster: Callable[..., Cluster], local: Local
) -> None:
    stranger = new_cluster(resources=())
    looks = []
    for _ in range(30):
        local.forget()
        with pytest.raises(ReportRejected, match="no Elastic IP is tagged"):
            local.hear(stranger.claims("n1"), after_seconds=0.25)
        looks += [call for call in local.calls.made if call.startswith("Describe")]
    assert looks == ["DescribeInstances", "DescribeAddresses"] * 2


class OneInstance:
    """A fake of EC2's client that describes one instance."""

    def __init__(self, *interfaces: Mapping[str, Any]) -> None:
        self._interfaces = interfaces

    def describe_instances(self, **_: Any) -> dict[str, Any]:
        tags = [{"Key": CLUSTER_TAG, "Value": "web"}]
        instance = {"Tags": tags, "NetworkInterfaces": list(self._interfaces)}
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
