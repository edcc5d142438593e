"""Elastic IPs at EC2, with an address and interfaces of the run's own; no node is touched."""

from __future__ import annotations

import time
from typing import Any

from botocore.exceptions import ClientError

from acceptance import judge
from acceptance.rows import Row
from acceptance.run import LOOSE_TAG, Run


def tagged(kind: str, run: Run) -> list[dict[str, Any]]:
    """How something is marked that is in no stack, so that a clean-up finds it."""
    tags = [{"Key": LOOSE_TAG, "Value": run.names.run}, {"Key": "Name", "Value": run.names.run}]
    return [{"ResourceType": kind, "Tags": tags}]


def own_address(run: Run) -> str:
    """The allocation id of the address to measure with, which is not the cluster's."""
    ec2 = run.account.client("ec2")
    mine = [{"Name": f"tag:{LOOSE_TAG}", "Values": [run.names.run]}]
    for address in ec2.describe_addresses(Filters=mine)["Addresses"]:
        return str(address["AllocationId"])
    made = ec2.allocate_address(Domain="vpc", TagSpecifications=tagged("elastic-ip", run))
    return str(made["AllocationId"])


def spare_interface(run: Run) -> str:
    """Makes an interface that belongs to no instance."""
    ec2 = run.account.client("ec2")
    subnet = run.stacks.resources(run.names.classic)["FirstSubnet"]
    made = ec2.create_network_interface(
        SubnetId=subnet, TagSpecifications=tagged("network-interface", run)
    )["NetworkInterface"]["NetworkInterfaceId"]
    return str(made)


def associate(run: Run, interface: str) -> float:
    """Puts the run's own address on an interface; returns the seconds of the call."""
    began = time.monotonic()
    run.account.client("ec2").associate_address(
        AllocationId=own_address(run), NetworkInterfaceId=interface, AllowReassociation=True
    )
    return time.monotonic() - began


def free(run: Run) -> None:
    """Takes the run's own address off wherever it is."""
    ec2 = run.account.client("ec2")
    (found,) = ec2.describe_addresses(AllocationIds=[own_address(run)])["Addresses"]
    if "AssociationId" in found:
        ec2.disassociate_address(AssociationId=found["AssociationId"])


def moves(run: Run) -> list[Row]:
    """Moves the address to and fro between two interfaces, and looks after each move."""
    ec2 = run.account.client("ec2")
    address, places = own_address(run), [spare_interface(run), spare_interface(run)]
    calls, lags = [], list[float | None]()
    for number in range(run.pace.moves):
        began = time.monotonic()
        made = ec2.associate_address(
            AllocationId=address, NetworkInterfaceId=places[number % 2], AllowReassociation=True
        )["AssociationId"]
        calls.append(time.monotonic() - began)
        lags.append(_shown_after(run, address, made))
    free(run)
    for interface in places:
        ec2.delete_network_interface(NetworkInterfaceId=interface)
    return [judge.associate(calls), judge.describe(lags, run.pace.message)]


def _shown_after(run: Run, address: str, association: str) -> float | None:
    """Seconds until DescribeAddresses shows an association; 0 where its first answer does."""
    began = time.monotonic()
    first = True
    while time.monotonic() - began < run.pace.message:
        (found,) = run.account.client("ec2").describe_addresses(AllocationIds=[address])[
            "Addresses"
        ]
        if found.get("AssociationId") == association:
            return 0.0 if first else time.monotonic() - began
        first = False
        time.sleep(0.1)
    return None


def dry_run(run: Run) -> list[Row]:
    """A dry run towards an interface that was deleted a moment ago."""
    ec2 = run.account.client("ec2")
    gone = spare_interface(run)
    ec2.delete_network_interface(NetworkInterfaceId=gone)
    noticed = "InvalidNetworkInterfaceID.NotFound"
    answered = ""
    # EC2 may know the interface a while longer.
    for _ in range(10):
        answered = _code(
            lambda: ec2.associate_address(
                AllocationId=own_address(run), NetworkInterfaceId=gone, DryRun=True
            )
        )
        if answered == noticed:
            break
        run.sleep(run.pace.look)
    return [judge.code("dry_run", answered, noticed, "DryRunOperation")]


def unknown_instance(run: Run) -> list[Row]:
    """An instance id that has the right form and belongs to nothing."""
    ec2 = run.account.client("ec2")
    answered = _code(lambda: ec2.describe_instances(InstanceIds=["i-0123456789abcdef0"]))
    return [judge.code("unknown_instance", answered, "InvalidInstanceID.NotFound")]


def _code(call: Any) -> str:
    try:
        call()
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return "no error"


def terminated(run: Run) -> list[Row]:
    """The last one: terminates the standby while it has the run's own address."""
    ec2 = run.account.client("ec2")
    _, standby = run.holder()
    instance = run.instances()[standby]
    associate(run, run.interface(instance))
    ec2.terminate_instances(InstanceIds=[instance])
    began = time.monotonic()

    def state() -> Any:
        return ec2.describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"][0]

    run.pace.until(
        lambda: state()["State"]["Name"] == "terminated",
        f"{instance} is terminated",
        run.pace.stack,
    )
    interfaces = len(state()["NetworkInterfaces"])
    while time.monotonic() - began < run.pace.stack:
        (found,) = ec2.describe_addresses(AllocationIds=[own_address(run)])["Addresses"]
        if "AssociationId" not in found:
            seconds = time.monotonic() - began
            measured = f"off after {seconds:.0f} s; {interfaces} interfaces are shown"
            return [Row("terminated", measured, judge.good(not interfaces), {"off": seconds})]
        run.sleep(run.pace.look)
    return [Row("terminated", "the address is still associated", "otherwise", {"off": None})]
