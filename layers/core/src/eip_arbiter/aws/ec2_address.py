"""Elastic IPs and the inventory in EC2. The only module that calls EC2.

Disassociation goes by association id only: an old id cannot remove somebody's new association. An
association is one call with AllowReassociation, so the address is never with nobody.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from eip_arbiter.decision.snapshot import Address, Node
from eip_arbiter.ports import Association, MoveFailedError, Tagged
from eip_arbiter.settings import EC2_AGAIN_SECONDS, EC2_PAUSE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ec2.type_defs import (
        AddressTypeDef,
        InstanceNetworkInterfaceTypeDef,
        InstanceTypeDef,
        TagTypeDef,
    )

TAG_CLUSTER = "eip-arbiter:cluster"
TAG_RESOURCE = "eip-arbiter:resource"
TAG_PRIORITY = "eip-arbiter:priority"
TAG_NOFAILOVER = "eip-arbiter:nofailover"
TAG_INTERFACE = "eip-arbiter:interface"
TAG_PRIVATE_IP_INDEX = "eip-arbiter:private-ip-index"
DEFAULT_RESOURCE = "eip"
UNDECIDED = ("InternalError", "InternalFailure", "ServiceUnavailable", "Unavailable")
"""Errors after which EC2 may have done it: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html"""
THROTTLED = ("RequestLimitExceeded", "Throttling", "ThrottlingException")
INSTANCES_PER_PAGE = 1000
_AWS = "amazon"


class Ec2Addresses:
    """Implements `ports.ElasticIps`; each call ends within `settings.EC2_CALL_MS`."""

    def __init__(self, client: EC2Client) -> None:
        self._client = client

    def associate(self, allocation_id: str, interface_id: str, private_ip: str) -> str:
        """One AssociateAddress; EC2 takes the address off its old interface by itself."""
        answer = _ask(
            self._client.associate_address,
            AllocationId=allocation_id,
            NetworkInterfaceId=interface_id,
            PrivateIpAddress=private_ip,
            AllowReassociation=True,
        )
        return str(answer["AssociationId"])

    def disassociate(self, association_id: str) -> None:
        """One DisassociateAddress; an association that is gone was removed before."""
        try:
            _ask(self._client.disassociate_address, AssociationId=association_id)
        except MoveFailedError as failed:
            if failed.code != "InvalidAssociationID.NotFound":
                raise

    def locate(self, allocation_id: str, after_ms: int = 0) -> Association | None:
        """One DescribeAddresses, which may lag behind an association."""
        time.sleep(after_ms / 1000)
        answer = _ask(self._client.describe_addresses, AllocationIds=[allocation_id])
        return _association(answer["Addresses"][0])


class Ec2Inventory:
    """Implements `ports.Inventory`; a later report asks again, so no call is made twice."""

    def __init__(self, client: EC2Client) -> None:
        self._client = client

    def node(self, instance_id: str) -> tuple[str, Node] | None:
        """One DescribeInstances."""
        try:
            answer = _once(self._client.describe_instances, InstanceIds=[instance_id])
        except MoveFailedError as failed:
            if failed.code.startswith("InvalidInstanceID"):
                return None
            raise
        return _node(answer["Reservations"][0]["Instances"][0])

    def addresses(self, cluster_id: str) -> tuple[Address, ...]:
        """One DescribeAddresses by tag."""
        wanted = [{"Name": f"tag:{TAG_CLUSTER}", "Values": [cluster_id]}]
        answer = _once(self._client.describe_addresses, Filters=wanted)
        return tuple(_address(found) for found in answer["Addresses"])


class Ec2Preflight:
    """Implements `watching.Preflight` and `checkup.Looks`."""

    def __init__(self, client: EC2Client) -> None:
        self._client = client

    def tagged(self) -> dict[str, Mapping[str, Association | None]]:
        """Where the tagged addresses are, as `surveyed` finds them."""
        return {cluster_id: found.places for cluster_id, found in self.surveyed().items()}

    def surveyed(self) -> dict[str, Tagged]:
        """One DescribeAddresses for all clusters of the region.

        Raises:
            MoveFailedError: EC2 refused or did not answer in time.
        """
        try:
            answer = self._client.describe_addresses(
                Filters=[{"Name": "tag-key", "Values": [TAG_CLUSTER]}]
            )
        except (ClientError, BotoCoreError) as error:
            raise _failed(error) from error
        of_cluster: dict[str, list[AddressTypeDef]] = {}
        for found in answer["Addresses"]:
            of_cluster.setdefault(_tags(found.get("Tags", []))[TAG_CLUSTER], []).append(found)
        return {
            cluster_id: Tagged(
                tuple(_address(each) for each in found),
                {each["AllocationId"]: _association(each) for each in found},
            )
            for cluster_id, found in of_cluster.items()
        }

    def instances(self) -> dict[str, tuple[str, Node]]:
        """One DescribeInstances for all clusters of the region, and more if there are many.

        Raises:
            MoveFailedError: EC2 refused or did not answer in time.
        """
        pages = self._client.get_paginator("describe_instances").paginate(
            Filters=[{"Name": "tag-key", "Values": [TAG_CLUSTER]}],
            PaginationConfig={"PageSize": INSTANCES_PER_PAGE},
        )
        try:
            described = [
                instance
                for page in pages
                for reservation in page["Reservations"]
                for instance in reservation["Instances"]
            ]
        except (ClientError, BotoCoreError) as error:
            raise _failed(error) from error
        found = {instance["InstanceId"]: _node(instance) for instance in described}
        return {instance_id: node for instance_id, node in found.items() if node}

    def refusal(self, allocation_id: str, interface_id: str, private_ip: str) -> str | None:
        """As `dry_run`; no answer is a refusal too, with the client's own error class."""
        try:
            return self.dry_run(allocation_id, interface_id, private_ip)
        except MoveFailedError as unanswered:
            return unanswered.code

    def dry_run(self, allocation_id: str, interface_id: str, private_ip: str) -> str | None:
        """One AssociateAddress with DryRun, which always ends in an error; gives its code.

        Raises:
            MoveFailedError: EC2 did not answer.
        """
        try:
            self._client.associate_address(
                AllocationId=allocation_id,
                NetworkInterfaceId=interface_id,
                PrivateIpAddress=private_ip,
                AllowReassociation=True,
                DryRun=True,
            )
        except ClientError as error:
            # The code alone: EC2's text differs each time, and what lasts must look the same.
            code = _failed(error).code
            return None if code == "DryRunOperation" else code
        except BotoCoreError as error:
            raise _failed(error) from error
        raise AssertionError("a dry run was carried out")


def _node(instance: InstanceTypeDef) -> tuple[str, Node] | None:
    """The cluster of an instance, "" without the tag, and its facts; None without an interface."""
    tags = _tags(instance.get("Tags", []))
    interfaces = instance.get("NetworkInterfaces", [])
    if not interfaces:
        return None
    interface = _interface(interfaces, tags.get(TAG_INTERFACE))
    return tags.get(TAG_CLUSTER, ""), Node(
        instance_id=instance["InstanceId"],
        interface_id=interface["NetworkInterfaceId"],
        private_ips=_private_ips(interface),
        priority=_whole(tags.get(TAG_PRIORITY)),
        nofailover=tags.get(TAG_NOFAILOVER, "").lower() in ("true", "yes", "1"),
        own_elastic_ips={
            place["PrivateIpAddress"]: place["Association"]["PublicIp"]
            for each in interfaces
            for place in each.get("PrivateIpAddresses", [])
            # The owner of what a subnet assigns by itself is AWS: EC2 gives and takes that.
            if place.get("Association", {}).get("IpOwnerId", _AWS) != _AWS
        },
    )


def _address(found: AddressTypeDef) -> Address:
    tags = _tags(found.get("Tags", []))
    return Address(
        resource=tags.get(TAG_RESOURCE, DEFAULT_RESOURCE),
        allocation_id=found["AllocationId"],
        public_ip=found["PublicIp"],
        private_ip_index=_whole(tags.get(TAG_PRIVATE_IP_INDEX)),
        association_id=found.get("AssociationId") or None,
        interface_id=found.get("NetworkInterfaceId") or None,
    )


def _association(found: AddressTypeDef) -> Association | None:
    if not found.get("AssociationId"):
        return None
    return Association(
        association_id=found["AssociationId"],
        interface_id=found.get("NetworkInterfaceId", ""),
        private_ip=found.get("PrivateIpAddress", ""),
    )


def _private_ips(interface: InstanceNetworkInterfaceTypeDef) -> tuple[str, ...]:
    """The interface's private addresses, the primary one first."""
    further = [p["PrivateIpAddress"] for p in interface.get("PrivateIpAddresses", [])]
    primary = interface.get("PrivateIpAddress")
    if primary is None:
        return ()  # An interface with IPv6 addresses only: no Elastic IP can be there.
    return (primary, *(ip for ip in further if ip != primary))


def _whole(text: str | None) -> int:
    """A tag's whole number; 0 where it is missing or none."""
    return int(text) if text and text.isascii() and text.isdecimal() else 0


def _interface(
    interfaces: Sequence[InstanceNetworkInterfaceTypeDef], wanted: str | None
) -> InstanceNetworkInterfaceTypeDef:
    """The interface that the instance's tag names, else the primary one."""
    for interface in interfaces:
        if interface["NetworkInterfaceId"] == wanted:
            return interface
    return min(interfaces, key=lambda i: i.get("Attachment", {}).get("DeviceIndex", 0))


def _tags(tags: Sequence[TagTypeDef]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in tags}


def _ask(call: Callable[..., Any], **parameters: Any) -> Any:
    """One EC2 call, made again where it was throttled or cut off, within `EC2_CALL_MS` in all.

    Raises:
        MoveFailedError: EC2 refused, or did not answer in time.
    """
    again_until = time.monotonic() + EC2_AGAIN_SECONDS - EC2_PAUSE_SECONDS
    try:
        return _once(call, **parameters)
    except MoveFailedError as error:
        first = error
        if (first.refused and first.code not in THROTTLED) or time.monotonic() > again_until:
            raise
    time.sleep(EC2_PAUSE_SECONDS)
    try:
        return _once(call, **parameters)
    except MoveFailedError as second:
        # The first one may still be under way where it was cut off, whatever EC2 says to this one.
        second.refused = second.refused and first.refused
        raise


def _once(call: Callable[..., Any], **parameters: Any) -> Any:
    """One EC2 call.

    Raises:
        MoveFailedError: EC2 refused, or did not answer in time.
    """
    try:
        return call(**parameters)
    except (ClientError, BotoCoreError) as error:
        raise _failed(error) from error


def _failed(error: ClientError | BotoCoreError) -> MoveFailedError:
    if isinstance(error, ClientError):
        code = error.response["Error"]["Code"]
        return MoveFailedError(code, str(error), refused=code not in UNDECIDED)
    return MoveFailedError(type(error).__name__, str(error))
