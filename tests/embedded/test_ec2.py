"""EC2 as far as addresses need it: where moto had to be corrected, and the state-change events."""

from __future__ import annotations

import ipaddress
import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError
from embedded.helpers import eventually

if TYPE_CHECKING:
    from lab.embedded.cloud import EmbeddedAws
    from lab.embedded.world import World


def described(aws: EmbeddedAws, world: World, resource: str = "eip") -> dict[str, Any]:
    ids = [world.addresses[resource].allocation_id]
    found: dict[str, Any] = aws.client("ec2").describe_addresses(AllocationIds=ids)["Addresses"][0]
    return found


def instance(aws: EmbeddedAws, world: World, node: str) -> dict[str, Any]:
    answer = aws.client("ec2").describe_instances(InstanceIds=[world.nodes[node].instance_id])
    found: dict[str, Any] = answer["Reservations"][0]["Instances"][0]
    return found


def test_the_environment_is_as_the_arbiter_expects_it(aws: EmbeddedAws, world: World) -> None:
    addresses = aws.client("ec2").describe_addresses(
        Filters=[{"Name": "tag:eip-arbiter:cluster", "Values": [world.cluster_id]}]
    )["Addresses"]
    mine = {a.allocation_id for a in world.addresses.values()}
    assert mine <= {a["AllocationId"] for a in addresses}
    documentation = [ipaddress.ip_network(n) for n in ("203.0.113.0/24", "198.51.100.0/24")]
    for address in addresses:
        assert any(ipaddress.ip_address(address["PublicIp"]) in net for net in documentation)
    n1, n2 = instance(aws, world, "n1"), instance(aws, world, "n2")
    assert n1["Placement"]["AvailabilityZone"] != n2["Placement"]["AvailabilityZone"]
    assert n1["SourceDestCheck"] is False
    assert {"Key": "eip-arbiter:cluster", "Value": world.cluster_id} in n1["Tags"]
    assert n1["PrivateIpAddress"] == world.nodes["n1"].private_ip


def test_descriptions_may_lag_behind_an_association(aws: EmbeddedAws, world: World) -> None:
    def owners(node: str) -> list[str]:
        listed = instance(aws, world, node)["NetworkInterfaces"][0]["PrivateIpAddresses"]
        return [p["Association"]["PublicIp"] for p in listed if "Association" in p]

    world.associate("n1")
    before, public_ip = described(aws, world), world.addresses["eip"].public_ip
    time.sleep(0.3)
    aws.faults.describe_lag_seconds = 0.3
    world.associate("n2")
    assert described(aws, world) == before
    assert (owners("n1"), owners("n2")) == ([public_ip], [])
    assert world.holder() == "n2", "what is in force is not late"
    aws.faults.clear()
    assert described(aws, world)["NetworkInterfaceId"] == world.nodes["n2"].interface_id
    assert (owners("n1"), owners("n2")) == ([], [public_ip])


def test_reassociation_is_allowed_unless_the_caller_forbids_it(
    aws: EmbeddedAws, world: World
) -> None:
    world.associate("n1")
    with pytest.raises(ClientError, match=r"Resource\.AlreadyAssociated"):
        aws.client("ec2").associate_address(
            AllocationId=world.addresses["eip"].allocation_id,
            NetworkInterfaceId=world.nodes["n2"].interface_id,
            AllowReassociation=False,
        )
    assert world.holder() == "n1"
    world.associate("n2")
    assert world.holder() == "n2"


def test_a_reassociated_address_leaves_the_interface_it_was_on(
    aws: EmbeddedAws, world: World
) -> None:
    world.associate("n1")
    public_ip = world.addresses["eip"].public_ip
    assert instance(aws, world, "n1")["PublicIpAddress"] == public_ip
    world.associate("n2")
    assert "PublicIpAddress" not in instance(aws, world, "n1")
    assert instance(aws, world, "n2")["PublicIpAddress"] == public_ip
    found = described(aws, world)
    assert found["InstanceId"] == world.nodes["n2"].instance_id
    assert found["NetworkInterfaceId"] == world.nodes["n2"].interface_id


def test_two_addresses_of_a_node_have_a_private_address_each(
    aws: EmbeddedAws, world: World
) -> None:
    world.associate("n1", "eip")
    world.associate("n1", "vip")
    node = world.nodes["n1"]
    assert described(aws, world, "vip")["PrivateIpAddress"] == node.private_ips[1]
    shown = {
        p["PrivateIpAddress"]: p["Association"]["PublicIp"]
        for p in instance(aws, world, "n1")["NetworkInterfaces"][0]["PrivateIpAddresses"]
    }
    assert shown == {
        node.private_ips[0]: world.addresses["eip"].public_ip,
        node.private_ips[1]: world.addresses["vip"].public_ip,
    }
    world.associate("n2", "vip")
    assert (world.holder("eip"), world.holder("vip")) == ("n1", "n2")
    assert instance(aws, world, "n1")["PublicIpAddress"] == world.addresses["eip"].public_ip


def test_an_address_put_on_a_taken_private_address_displaces_the_other(
    aws: EmbeddedAws, world: World
) -> None:
    world.associate("n1", "eip")
    taken: dict[str, Any] = {
        "AllocationId": world.addresses["vip"].allocation_id,
        "NetworkInterfaceId": world.nodes["n1"].interface_id,
        "PrivateIpAddress": world.nodes["n1"].private_ip,
    }
    with pytest.raises(ClientError, match=r"Resource\.AlreadyAssociated"):
        aws.client("ec2").associate_address(**taken, AllowReassociation=False)
    aws.client("ec2").associate_address(**taken)
    assert (world.holder("eip"), world.holder("vip")) == (None, "n1")


def test_a_private_address_of_another_node_is_refused(aws: EmbeddedAws, world: World) -> None:
    with pytest.raises(ClientError, match="InvalidParameterValue"):
        aws.client("ec2").associate_address(
            AllocationId=world.addresses["eip"].allocation_id,
            NetworkInterfaceId=world.nodes["n1"].interface_id,
            PrivateIpAddress=world.nodes["n2"].private_ip,
        )


def test_an_old_association_id_removes_nothing(aws: EmbeddedAws, world: World) -> None:
    old = world.associate("n1")
    new = world.associate("n2")
    with pytest.raises(ClientError, match=r"InvalidAssociationID\.NotFound"):
        aws.client("ec2").disassociate_address(AssociationId=old)
    assert world.holder() == "n2"
    aws.client("ec2").disassociate_address(AssociationId=new)
    assert world.holder() is None


def test_an_associated_address_cannot_be_released(aws: EmbeddedAws, world: World) -> None:
    ids = {"AllocationId": world.addresses["eip"].allocation_id}
    association_id = world.associate("n1")
    with pytest.raises(ClientError, match=r"InvalidIPAddress\.InUse"):
        aws.client("ec2").release_address(**ids)
    aws.client("ec2").disassociate_address(AssociationId=association_id)
    aws.client("ec2").release_address(**ids)


def test_a_terminated_instance_loses_its_address_and_a_stopped_one_keeps_it(
    aws: EmbeddedAws, world: World
) -> None:
    world.associate("n1")
    aws.set_instance_state(world.nodes["n1"].instance_id, "stopped")
    assert world.holder() == "n1"
    aws.set_instance_state(world.nodes["n1"].instance_id, "terminated")
    assert world.holder() is None
    assert "AssociationId" not in described(aws, world)


def test_ec2_announces_every_state_on_the_default_bus(aws: EmbeddedAws, world: World) -> None:
    node, seen = world.nodes["n1"], list[tuple[str, str]]()
    aws.events.subscribe(
        lambda bus, event: (
            seen.append((bus, event["detail"]["state"]))
            if event["resources"] == [node.arn]
            else None
        )
    )
    ec2 = aws.client("ec2")
    aws.set_instance_state(node.instance_id, "stopping")
    assert instance(aws, world, "n1")["State"]["Name"] == "stopping"
    aws.set_instance_state(node.instance_id, "stopped")
    ec2.stop_instances(InstanceIds=[node.instance_id])  # it is stopped: nothing to announce
    ec2.start_instances(InstanceIds=[node.instance_id])
    ec2.terminate_instances(InstanceIds=[node.instance_id])
    states = ["stopping", "stopped", "pending", "running", "shutting-down", "terminated"]
    assert seen == [("default", state) for state in states]


def test_a_state_change_reaches_the_function(aws: EmbeddedAws, world: World) -> None:
    node = world.nodes["n2"]
    aws.set_instance_state(node.instance_id, "stopped")

    def told() -> set[str]:
        found = aws.client("dynamodb").query(
            TableName=aws.outputs["TableName"],
            KeyConditionExpression="pk = :pk",
            ExpressionAttributeValues={":pk": {"S": "aws.ec2"}},
        )["Items"]
        details = [json.loads(item["detail"]["S"]) for item in found]
        return {d["state"] for d in details if d["instance-id"] == node.instance_id}

    eventually(lambda: told() == {"stopping", "stopped"})


def test_the_journal_tells_who_moved_what_from_where_to_where(
    aws: EmbeddedAws, world: World
) -> None:
    world.associate("n1")
    since = aws.journal.now()
    aws.client("ec2", "Arbitrate").associate_address(
        AllocationId=world.addresses["eip"].allocation_id,
        NetworkInterfaceId=world.nodes["n2"].interface_id,
    )
    [move] = aws.journal.moves(since=since, allocation_id=world.addresses["eip"].allocation_id)
    assert (move.principal, move.operation) == ("Arbitrate", "AssociateAddress")
    assert move.from_instance == world.nodes["n1"].instance_id
    assert move.to_instance == world.nodes["n2"].instance_id
    assert move.association_id == described(aws, world)["AssociationId"]
