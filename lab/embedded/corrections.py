"""Where moto's EC2 differs from Amazon's in a way that matters here, and how it is put right.

Each correction names its reason. They replace methods of moto's classes in this process, once.
Moto's types are internal, so values of its classes are `Any` here.
"""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any, Protocol

from moto.core.responses import ActionResult
from moto.ec2.exceptions import EC2ClientError, ResourceAlreadyAssociatedError
from moto.ec2.models import elastic_ip_addresses as eip_models
from moto.ec2.models.elastic_ip_addresses import ElasticAddress, ElasticAddressBackend
from moto.ec2.models.elastic_network_interfaces import NetworkInterface
from moto.ec2.models.instances import Instance, InstanceBackend
from moto.ec2.responses.elastic_ip_addresses import ElasticIPAddresses
from moto.ec2.utils import random_eip_association_id

from lab.embedded.fidelity import corrects
from lab.embedded.late_word import LateWord


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """Where an address is: all fields empty when it is nowhere."""

    interface_id: str = ""
    instance_id: str = ""
    private_ip: str = ""
    association_id: str = ""


class Listener(Protocol):
    """Is told what EC2 changed, while the change is still under EC2's lock."""

    @property
    def describe_lag_seconds(self) -> float:
        """How far EC2's descriptions are behind its associations."""

    def address_moved(
        self, operation: str, allocation_id: str, public_ip: str, was: Place, now: Place
    ) -> None:
        """Take note of a changed association."""

    def instance_changed(self, instance_id: str, states: tuple[str, ...]) -> None:
        """Take note of the states that an instance went through, in order."""


class _Silent:
    describe_lag_seconds = 0.0

    def address_moved(
        self, operation: str, allocation_id: str, public_ip: str, was: Place, now: Place
    ) -> None:
        pass

    def instance_changed(self, instance_id: str, states: tuple[str, ...]) -> None:
        pass


_SILENT = _Silent()
_listener: Listener = _SILENT
_numbers = itertools.count()
_late_word = LateWord()
_original_disassociate = ElasticAddressBackend.disassociate_address
_original_release = ElasticAddressBackend.release_address
_original_private_ips: Any = NetworkInterface.instance_private_ip_address_list
_original_states = {
    "start_instances": (InstanceBackend.start_instances, ("pending", "running")),
    "stop_instances": (InstanceBackend.stop_instances, ("stopping", "stopped")),
    "terminate_instances": (InstanceBackend.terminate_instances, ("shutting-down", "terminated")),
}


def install(listener: Listener | None) -> None:
    """Put the corrections in force and tell `listener` about changes from now on."""
    # Moto's backends are global to the process as well.
    global _listener, _numbers, _late_word  # noqa: PLW0603
    _listener = listener or _SILENT
    _numbers = itertools.count()
    _late_word = LateWord()
    models: Any = eip_models
    models.random_ip = _documentation_ip
    ElasticIPAddresses.associate_address = _associate_response  # type: ignore[method-assign]
    ElasticIPAddresses.describe_addresses = _describe_response  # type: ignore[method-assign]
    ElasticAddressBackend.disassociate_address = _disassociate  # type: ignore[method-assign]
    ElasticAddressBackend.release_address = _release  # type: ignore[method-assign]
    patched: Any = ElasticAddress
    patched.private_ip_address = property(_private_ip_of)
    interface: Any = NetworkInterface
    interface.instance_private_ip_address_list = property(_private_ips)
    instance: Any = Instance
    instance.network_interfaces = property(_interfaces)
    for name, (original, states) in _original_states.items():
        setattr(InstanceBackend, name, _state_change(original, states))


def place_of(eip: Any) -> Place:
    """Tell where moto's ElasticAddress is."""
    if eip.eni is None:
        return Place()
    private_ip = getattr(eip, "embedded_private_ip", None) or eip.eni.private_ip_address
    instance_id = eip.eni.instance.id if eip.eni.instance else ""
    return Place(eip.eni.id, instance_id, private_ip, eip.association_id or "")


@corrects("documentation-ranges")
def _documentation_ip() -> str:
    """Moto hands out 127.x as Elastic IPs; these ranges are for documentation (RFC 5737)."""
    number = next(_numbers)
    if number >= 2 * 254:
        raise EC2ClientError("AddressLimitExceeded", "The embedded AWS has 508 addresses.")
    return f"{('203.0.113', '198.51.100')[number // 254]}.{number % 254 + 1}"


@corrects("private-address-of-an-elastic-ip")
def _private_ip_of(eip: Any) -> str | None:
    """Moto tells the primary one, whichever the address is on."""
    return place_of(eip).private_ip or None


@corrects("reassociation-by-default", "dry-run-sees-rights-only")
def _associate_response(self: Any) -> Any:
    """AssociateAddress as EC2 documents it.

    Moto takes AllowReassociation as false where it is absent (EC2: true for a VPC), ignores
    PrivateIpAddress, leaves the address on the interface it came from, forgets the instance when an
    interface is named, and lets two addresses share one private address.
    """
    # AWS documents a dry run as a check of permissions; whether it looks at more, it does not say.
    self.error_on_dryrun()
    given = self._get_params()
    backend = self.ec2_backend
    if "AllocationId" in given:
        eip = backend.address_by_allocation([given["AllocationId"]])[0]
    elif "PublicIp" in given:
        eip = backend.address_by_ip([given["PublicIp"]])[0]
    else:
        raise EC2ClientError("MissingParameter", "Either PublicIp or AllocationId is required.")
    if "NetworkInterfaceId" in given:
        eni = backend.get_network_interface(given["NetworkInterfaceId"])
    elif "InstanceId" in given:
        instance = backend.get_instance(given["InstanceId"])
        if instance.state not in {"pending", "running", "stopping", "stopped"}:
            raise EC2ClientError(
                "InvalidInstanceID", f"The instance '{instance.id}' is not in a valid state."
            )
        eni = instance.nics[0]
    else:
        raise EC2ClientError("MissingParameter", "InstanceId or NetworkInterfaceId is required.")
    private_ip = given.get("PrivateIpAddress") or eni.private_ip_address
    allowed = str(self._get_param("AllowReassociation", True)).lower() == "true"
    _associate(backend, eip, eni, private_ip, allow_reassociation=allowed)
    return ActionResult({"AssociationId": eip.association_id})


@corrects("late-descriptions")
def _describe_response(self: Any) -> Any:
    """DescribeAddresses may be late: it is eventually consistent."""
    self.error_on_dryrun()
    found = self.ec2_backend.describe_addresses(
        self._get_param("AllocationIds", []),
        self._get_param("PublicIps", []),
        self._filters_from_querystring(),
    )
    return ActionResult({"Addresses": [_shown(eip) for eip in found]})


def _shown(eip: Any) -> Any:
    return _late_word.shown(eip, _listener.describe_lag_seconds)


@corrects("one-elastic-ip-for-each-private-address", "association-by-interface")
def _associate(
    backend: Any, eip: Any, eni: Any, private_ip: str, *, allow_reassociation: bool
) -> None:
    if private_ip not in {p["PrivateIpAddress"] for p in eni.private_ip_addresses}:
        raise EC2ClientError(
            "InvalidParameterValue", f"{private_ip} is not a private address of {eni.id}."
        )
    was = place_of(eip)
    displaced = [
        other
        for other in backend.addresses
        if other is not eip and other.eni is eni and place_of(other).private_ip == private_ip
    ]
    elsewhere = was.interface_id and (was.interface_id, was.private_ip) != (eni.id, private_ip)
    if (elsewhere or displaced) and not allow_reassociation:
        raise ResourceAlreadyAssociatedError(eip.public_ip)
    for other in displaced:
        _take_off(other, "Displaced")
    _late_word.changes(eip)
    if eip.eni is not None and eip.eni.public_ip == eip.public_ip:
        eip.eni.public_ip = None
        eip.eni.check_auto_public_ip()
    eip.eni, eip.instance, eip.embedded_private_ip = eni, eni.instance, private_ip
    eip.association_id = random_eip_association_id()
    if private_ip == eni.private_ip_address:
        eni.public_ip = eip.public_ip
    _listener.address_moved(
        "AssociateAddress", eip.allocation_id, eip.public_ip, was, place_of(eip)
    )


def _take_off(eip: Any, operation: str) -> None:
    was, eni = place_of(eip), eip.eni
    _late_word.changes(eip)
    kept = eni.public_ip if eni is not None and eni.public_ip != eip.public_ip else None
    _original_disassociate(eip.ec2_backend, address=eip.public_ip)
    if kept:
        eni.public_ip = kept  # moto clears the primary's public address whichever address left
    if was.interface_id:
        _listener.address_moved(operation, eip.allocation_id, eip.public_ip, was, Place())


@corrects("disassociation-is-told")
def _disassociate(self: Any, address: str | None = None, association_id: str | None = None) -> None:
    """DisassociateAddress, with the listener told."""
    if address:
        eip = self.address_by_ip([address])[0]
    else:
        eip = self.address_by_association([association_id])[0]
    _take_off(eip, "DisassociateAddress")


@corrects("release-in-use-is-refused")
def _release(self: Any, address: str | None = None, allocation_id: str | None = None) -> None:
    """Moto releases an associated address; EC2 refuses."""
    if address:
        eip = self.address_by_ip([address])[0]
    else:
        eip = self.address_by_allocation([allocation_id])[0]
    if eip.eni is not None:
        raise EC2ClientError("InvalidIPAddress.InUse", f"Address {eip.public_ip} is in use.")
    _original_release(self, address=eip.public_ip)


@corrects("owner-of-an-assigned-address")
def _private_ips(eni: Any) -> list[dict[str, Any]]:
    """Moto shows the association of the primary private address only, and each as the account's.

    EC2 names `amazon` as the owner of an address that a subnet assigned by itself.
    """
    items: list[dict[str, Any]] = _original_private_ips.fget(eni)
    elastic = {eip.public_ip for eip in eni.ec2_backend.addresses}
    for item in items:
        if item.get("Association", {}).get("publicIp") in elastic:
            del item["Association"]
        if "Association" in item:
            item["Association"] = {**item["Association"], "ipOwnerId": "amazon"}
    for eip in map(_shown, eni.ec2_backend.addresses):
        if eip.eni is eni:
            for item in items:
                if item["PrivateIpAddress"] == place_of(eip).private_ip:
                    item["Association"] = {"publicIp": eip.public_ip, "ipOwnerId": eni.owner_id}
    return items


def _interfaces(instance: Any) -> list[Any]:
    """Moto shows the interfaces of a terminated instance for ever; EC2 has deleted them."""
    return [] if instance.state == "terminated" else list(instance.nics.values())


def _state_change(original: Any, states: tuple[str, ...]) -> Any:
    """Tell the listener, and take the addresses off a terminated instance, which moto forgets."""

    @corrects("state-change-events", "terminated-without-address")
    def changed(self: Any, instance_ids: list[str]) -> Any:
        before = {i: self.get_instance(i).state for i in instance_ids}
        if states[-1] == "terminated":
            for eip in list(self.addresses):
                if place_of(eip).instance_id in instance_ids:
                    _take_off(eip, "TerminateInstances")
        result = original(self, instance_ids)
        for instance_id in instance_ids:
            if before[instance_id] != states[-1]:
                _listener.instance_changed(instance_id, states)
        return result

    return changed
