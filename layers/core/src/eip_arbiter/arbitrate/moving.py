"""The EC2 calls of a move: the only code that changes where an address is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from eip_arbiter.decision.policy import Policy
from eip_arbiter.decision.snapshot import Address, Snapshot
from eip_arbiter.ports import Association, MoveFailedError


class ElasticIps(Protocol):
    """The three calls on Elastic IPs. Each raises `MoveFailedError`."""

    def associate(self, allocation_id: str, interface_id: str, private_ip: str) -> str:
        """Puts the address there in one call, wherever it was; returns the association id."""
        ...

    def disassociate(self, association_id: str) -> None:
        """Removes this association only; one that is gone already is no error."""
        ...

    def locate(self, allocation_id: str) -> Association | None:
        """Where the address is now."""
        ...


@dataclass(frozen=True)
class Mover:
    """Makes EC2 agree with a grant; `clock` gives milliseconds since the epoch."""

    elastic_ips: ElasticIps
    policy: Policy
    clock: Callable[[], int]

    def place(self, snapshot: Snapshot, address: Address, *, look: bool) -> Association | None:
        """The EC2 calls of a move; with `look`, one that EC2 agrees with already is not made.

        Raises:
            MoveFailedError: EC2 did not do it, or the time left does not cover the call.
        """
        if address.holder is None:
            if address.association_id:
                self._check_time_left(address)
                self.elastic_ips.disassociate(address.association_id)
            return None
        node = snapshot.nodes[address.holder]
        if address.private_ip_index >= len(node.private_ips):
            raise MoveFailedError(
                "NoPrivateAddress",
                f"{node.name} has no private address number {address.private_ip_index}",
            )
        private_ip = node.private_ips[address.private_ip_index]
        if look or address.interface_id == node.interface_id:
            # It may be there already, and EC2 may charge a remap.
            found = self.elastic_ips.locate(address.allocation_id)
            if found and (found.interface_id, found.private_ip) == (node.interface_id, private_ip):
                return found
        self._check_time_left(address)
        association_id = self.elastic_ips.associate(
            address.allocation_id, node.interface_id, private_ip
        )
        return Association(association_id, node.interface_id, private_ip)

    def _check_time_left(self, address: Address) -> None:
        """Right before a call that changes EC2: an invocation that stalled must not act late.

        Raises:
            MoveFailedError: somebody else may be on it before the call would end.
        """
        if self.clock() + self.policy.ec2_call_ms > address.deadline_ms:
            # EC2 was not asked, so nothing can land: the next try need not wait for the deadline.
            text = "the time left does not cover the call"
            raise MoveFailedError("DeadlineTooNear", text, refused=True)
