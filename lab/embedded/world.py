"""The classic environment at the embedded AWS: a VPC, a node in each zone, tagged addresses.

It also keeps each node's metadata file true, from which `lab.embedded.imds` answers.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import threading
from typing import TYPE_CHECKING, Any

from lab.embedded.fidelity import corrects
from lab.embedded.journal import Entry, Move
from lab.embedded.ways import LAYOUTS, Layout, OwnAddresses

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from lab.embedded.cloud import EmbeddedAws

CLUSTER_TAG = "eip-arbiter:cluster"
RESOURCE_TAG = "eip-arbiter:resource"
PRIVATE_IP_INDEX_TAG = "eip-arbiter:private-ip-index"
NODE_ROLE = "eip-arbiter-node"
_IMAGE_ID = "ami-12c6146b"  # one that moto knows; it is never booted


@dataclasses.dataclass(frozen=True, slots=True)
class Node:
    """One EC2 instance of the cluster.

    `principal` calls AWS for the node. At AWS that would be a session of the role that all nodes
    share; here each node has an access key of its own, so that the journal tells them apart.
    """

    name: str
    instance_id: str
    arn: str
    interface_id: str
    private_ip: str
    """The primary one."""
    private_ips: tuple[str, ...]
    mac: str
    availability_zone: str
    principal: str
    metadata_file: Path


@dataclasses.dataclass(frozen=True, slots=True)
class Address:
    """One Elastic IP and the Pacemaker resource it belongs to."""

    resource: str
    allocation_id: str
    public_ip: str


class World:
    """The environment of one cluster, made in `aws` when it is built.

    Args:
        aws: A running embedded AWS.
        metadata_dir: Where each node's metadata file is kept.
        cluster_id: The value of the tag `eip-arbiter:cluster`.
        node_names: One node each, in zones a, b, c in turn.
        resources: One address each. The first is for the primary private address of a node; each
            further one gets a secondary private address on every node.
        instance_tags: Further tags by node name, for example `eip-arbiter:priority`.
        metadata_lag_seconds: How late the metadata service tells of a changed association.
    """

    nodes: dict[str, Node]
    addresses: dict[str, Address]
    _ec2: Any

    def __init__(
        self,
        aws: EmbeddedAws,
        metadata_dir: Path,
        *,
        cluster_id: str = "demo",
        node_names: Sequence[str] = ("n1", "n2"),
        resources: Sequence[str] = ("eip",),
        instance_tags: Mapping[str, Mapping[str, str]] | None = None,
        metadata_lag_seconds: float = 0.0,
        layout: Layout = LAYOUTS["private"],
    ) -> None:
        self._begin(aws, metadata_dir, cluster_id, layout)
        self.metadata_lag_seconds = metadata_lag_seconds
        vpc_id = self._ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
        gateway = self._ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
        self._ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc_id)
        zones = [f"{aws.region}{letter}" for letter in "abc"]
        subnets = [
            self._ec2.create_subnet(
                VpcId=vpc_id, CidrBlock=f"10.0.{index}.0/24", AvailabilityZone=zone
            )["Subnet"]["SubnetId"]
            for index, zone in enumerate(zones)
        ]
        self._subnets, self._instance_tags = subnets, instance_tags or {}
        self._resources = max(len(resources), 1)
        self.nodes = {name: self._node(name, index) for index, name in enumerate(node_names)}
        self.addresses = {
            resource: self._address(resource, index) for index, resource in enumerate(resources)
        }
        self._watch()

    def _begin(
        self,
        aws: EmbeddedAws,
        metadata_dir: Path,
        cluster_id: str,
        layout: Layout = LAYOUTS["private"],
    ) -> None:
        self.cluster_id = cluster_id
        self.metadata_lag_seconds = 0.0
        self.nodes = {}
        self.addresses = {}
        self._aws = aws
        self._ec2 = aws.client("ec2", "lab")
        self._lock = threading.Lock()
        self._versions = itertools.count(1)
        self._written = 0
        self._places: dict[str, tuple[str, str, str]] = {}
        self.own = OwnAddresses(layout, aws.later, self._rewrite)
        self._metadata_dir = metadata_dir
        metadata_dir.mkdir(parents=True, exist_ok=True)

    def _watch(self) -> None:
        """From now on every node's metadata file follows what EC2 does."""
        self.own.begin(self.nodes)
        self._aws.journal.subscribe(self._note)
        self._write(self._next_version(), dict(self._places))

    def follow_ways(self, change: Callable[[str, bool], None]) -> None:
        """Whenever a node's way to AWS is gone, its connections are dead, and `change` is told.

        Args:
            change: takes a node's name, and whether it has a way (again).
        """

        def changed(node: str, works: bool) -> None:
            if not works:
                self._aws.faults.break_connections(self.nodes[node].principal)
            change(node, works)

        self.own.way_changed = changed

    def replace(self, name: str) -> Node:
        """Terminate a node's instance and make another one under its name, as a repair would.

        Returns:
            The new one. Its private addresses are others, its disk is whatever the cluster keeps.
        """
        self._ec2.terminate_instances(InstanceIds=[self.nodes[name].instance_id])
        node = self._node(name, list(self.nodes).index(name), taken=100)
        with self._lock:
            self.nodes[name] = node
            version, places = self._next_version(), dict(self._places)
        self._write(version, places)
        return node

    def _node(self, name: str, index: int, taken: int = 0) -> Node:
        zone = index % len(self._subnets)
        subnet_id, first = self._subnets[zone], 10 + taken + index
        private_ips = [f"10.0.{zone}.{first + 20 * n}" for n in range(self._resources)]
        tags = {"Name": name, CLUSTER_TAG: self.cluster_id, **self._instance_tags.get(name, {})}
        made = self._ec2.run_instances(
            ImageId=_IMAGE_ID,
            MinCount=1,
            MaxCount=1,
            InstanceType="t3.micro",
            SubnetId=subnet_id,
            PrivateIpAddress=private_ips[0],
            TagSpecifications=[
                {"ResourceType": kind, "Tags": _tags(tags)}
                for kind in ("instance", "network-interface")
            ],
        )["Instances"][0]
        instance_id, attached = made["InstanceId"], made["NetworkInterfaces"][0]
        self._ec2.modify_instance_attribute(
            InstanceId=instance_id, SourceDestCheck={"Value": False}
        )
        if private_ips[1:]:
            self._ec2.assign_private_ip_addresses(
                NetworkInterfaceId=attached["NetworkInterfaceId"],
                PrivateIpAddresses=private_ips[1:],
            )
        return self._known(name, made, private_ips)

    def _known(self, name: str, made: Mapping[str, Any], private_ips: Sequence[str]) -> Node:
        """What is told of an instance that EC2 describes so."""
        instance_id, attached = made["InstanceId"], made["NetworkInterfaces"][0]
        return Node(
            name=name,
            instance_id=instance_id,
            arn=f"arn:aws:ec2:{self._aws.region}:{self._aws.account_id}:instance/{instance_id}",
            interface_id=attached["NetworkInterfaceId"],
            private_ip=private_ips[0],
            private_ips=tuple(private_ips),
            mac=attached["MacAddress"],
            availability_zone=made["Placement"]["AvailabilityZone"],
            principal=name,
            metadata_file=self._metadata_dir / f"{name}.json",
        )

    def _address(self, resource: str, index: int) -> Address:
        tags = {CLUSTER_TAG: self.cluster_id, RESOURCE_TAG: resource}
        tags[PRIVATE_IP_INDEX_TAG] = str(index)
        made = self._ec2.allocate_address(
            Domain="vpc",
            TagSpecifications=[{"ResourceType": "elastic-ip", "Tags": _tags(tags)}],
        )
        return Address(resource, made["AllocationId"], made["PublicIp"])

    def associate(self, node: str, resource: str = "eip") -> str:
        """Put an address on a node, as the operator did before there was an arbiter.

        Returns:
            The association id.
        """
        index = list(self.addresses).index(resource)
        association_id: str = self._ec2.associate_address(
            AllocationId=self.addresses[resource].allocation_id,
            NetworkInterfaceId=self.nodes[node].interface_id,
            PrivateIpAddress=self.nodes[node].private_ips[index],
        )["AssociationId"]
        return association_id

    def holder(self, resource: str = "eip") -> str | None:
        """Return the name of the node that EC2 has the address on; no API call is made."""
        with self._lock:
            place = self._places.get(self.addresses[resource].allocation_id)
        return next(
            (n.name for n in self.nodes.values() if place and n.interface_id == place[0]), None
        )

    @corrects("late-metadata")
    def _note(self, entry: Entry) -> None:
        if not isinstance(entry, Move):
            return
        with self._lock:
            before = self._places.get(entry.allocation_id)
            if entry.to_interface:
                place = (entry.to_interface, entry.to_private_ip, entry.public_ip)
                self._places[entry.allocation_id] = place
            else:
                self._places.pop(entry.allocation_id, None)
            version, places = self._next_version(), dict(self._places)
        self._note_ways(before, (entry.to_interface, entry.to_private_ip))
        if self.metadata_lag_seconds:
            self._aws.later.run(self.metadata_lag_seconds, lambda: self._write(version, places))
        else:
            self._write(version, places)

    def _note_ways(self, before: tuple[str, str, str] | None, after: tuple[str, str]) -> None:
        """Who gained or lost an Elastic IP on its primary private address."""
        was = before[:2] if before else ("", "")
        if was == after:
            return
        for node in self.nodes.values():
            primary = (node.interface_id, node.private_ip)
            if primary == was:
                self.own.lost(node.name)
            if primary == after:
                self.own.gained(node.name)

    def _rewrite(self) -> None:
        with self._lock:
            version, places = self._next_version(), dict(self._places)
        self._write(version, places)

    def _next_version(self) -> int:
        return next(self._versions)

    def _write(self, version: int, places: Mapping[str, tuple[str, str, str]]) -> None:
        """Write every node's file, unless a later state has been written already."""
        with self._lock:
            if version < self._written:
                return
            self._written = version
            for node in self.nodes.values():
                key, secret = self._aws.credentials(node.principal)
                mine = [place for place in places.values() if place[0] == node.interface_id]
                public = {private: public for _, private, public in mine}
                own = self.own.of(node.name)
                if own and node.private_ip not in public:
                    public[node.private_ip] = own
                facts = {
                    "instance_id": node.instance_id,
                    "account_id": self._aws.account_id,
                    "region": self._aws.region,
                    "availability_zone": node.availability_zone,
                    "local_ipv4": node.private_ip,
                    "private_ips": node.private_ips,
                    "mac": node.mac,
                    "interface_id": node.interface_id,
                    "role": NODE_ROLE,
                    "access_key_id": key,
                    "secret_access_key": secret,
                    "public_ips": public,
                }
                # Atomically: the metadata service may read at any moment.
                draft = node.metadata_file.with_suffix(".new")
                draft.write_text(json.dumps(facts, indent=1))
                draft.replace(node.metadata_file)


def _tags(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]


class StackWorld(World):
    """An environment that a stack has made: its instances by name, its addresses by their tags."""

    def __init__(
        self,
        aws: EmbeddedAws,
        metadata_dir: Path,
        cluster_id: str,
        instances: Mapping[str, str],
        layout: Layout = LAYOUTS["private"],
    ) -> None:
        self._begin(aws, metadata_dir, cluster_id, layout)
        found = self._ec2.describe_instances(InstanceIds=list(instances.values()))
        by_id = {made["InstanceId"]: made for r in found["Reservations"] for made in r["Instances"]}
        for name, instance_id in instances.items():
            made = by_id[instance_id]
            listed = made["NetworkInterfaces"][0]["PrivateIpAddresses"]
            private_ips = [private["PrivateIpAddress"] for private in listed]
            self.nodes[name] = self._known(name, made, private_ips)
        mine = [{"Name": f"tag:{CLUSTER_TAG}", "Values": [cluster_id]}]
        for made in self._ec2.describe_addresses(Filters=mine)["Addresses"]:
            tags = {tag["Key"]: tag["Value"] for tag in made["Tags"]}
            resource = tags.get(RESOURCE_TAG, "eip")
            self.addresses[resource] = Address(resource, made["AllocationId"], made["PublicIp"])
        self._watch()
