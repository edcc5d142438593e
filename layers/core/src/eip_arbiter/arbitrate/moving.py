"""The EC2 calls of a move: the only code that changes where an address is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from eip_arbiter.decision.policy import Policy
from eip_arbiter.decision.snapshot import Address, Snapshot
from eip_arbiter.ports import Association, MoveFailedError

TELLING_MS = 500
"""What is kept of the function's time for its line in the log."""

LOOK_AGAIN_MS, LEAST_PAUSE_MS = 1_000, 250
"""DescribeAddresses is eventually consistent: it may still tell of what was before an association.
What it says against one is asked again after such a pause, or after what is left for one."""
LOOK_MS = 300
"""What a look takes as a rule."""


class Look(Enum):
    """What EC2's word on the address's place counts for, before EC2 is asked to put it there.

    `RECORDED`: the move before was settled. If the address is recorded at the right place already
    it is looked for, and what is found there counts. `RESUMED`: this move may have been made by
    whoever did not settle it. What is found counts if it is an association that nobody recorded: a
    description that lags may show the recorded one. `NONE`: a move that nobody settled was
    overtaken. Its call may land at any moment, so that no look tells where the address will be.
    """

    RECORDED = 1
    RESUMED = 2
    NONE = 3


@dataclass(frozen=True, slots=True)
class Placed:
    """Where an address is by now, and whether that took a call of ours."""

    association: Association | None
    called: bool


class ElasticIps(Protocol):
    """The three calls on Elastic IPs. Each raises `MoveFailedError`."""

    def associate(self, allocation_id: str, interface_id: str, private_ip: str) -> str:
        """Puts the address there in one call, wherever it was; returns the association id."""
        ...

    def disassociate(self, association_id: str) -> None:
        """Removes this association only; one that is gone already is no error."""
        ...

    def locate(self, allocation_id: str, after_ms: int = 0) -> Association | None:
        """Where EC2 says that the address is, asked after so long."""
        ...


@dataclass(frozen=True)
class Mover:
    """Makes EC2 agree with a grant; `clock` gives milliseconds since the epoch."""

    elastic_ips: ElasticIps
    policy: Policy
    clock: Callable[[], int]
    ends_at_ms: int | None = None
    """When Lambda ends this invocation: then nobody would say that the address was not moved."""

    def place(self, snapshot: Snapshot, address: Address, look: Look) -> Placed:
        """The EC2 calls of a move; one that EC2 agrees with already is not made.

        Raises:
            MoveFailedError: EC2 did not do it, or the time left does not cover the call.
        """
        if address.holder is None:
            if address.association_id:
                self._check_time_left(address)
                self.elastic_ips.disassociate(address.association_id)
            return Placed(None, called=True)
        node = snapshot.nodes[address.holder]
        if address.private_ip_index >= len(node.private_ips):
            raise MoveFailedError(
                "NoPrivateAddress",
                f"{node.name} has no private address number {address.private_ip_index}",
            )
        private_ip = node.private_ips[address.private_ip_index]
        found = self._find(address, node.interface_id, private_ip, look)
        if found:
            return Placed(found, called=False)
        self._check_time_left(address)
        association_id = self.elastic_ips.associate(
            address.allocation_id, node.interface_id, private_ip
        )
        return Placed(Association(association_id, node.interface_id, private_ip), called=True)

    def _find(
        self, address: Address, interface_id: str, private_ip: str, look: Look
    ) -> Association | None:
        """The association there, if EC2 says that it is made: EC2 may charge a remap."""
        recorded_there = look is Look.RECORDED and address.interface_id == interface_id
        if not recorded_there and look is not Look.RESUMED:
            return None
        pause_ms = 0
        for _ in range(2):
            self._check_function_ends_after()
            found = self.elastic_ips.locate(address.allocation_id, pause_ms)
            if found and (found.interface_id, found.private_ip) == (interface_id, private_ip):
                old = found.association_id == address.association_id
                if not old or look is Look.RECORDED:
                    return found
            pause_ms = self._pause_ms(address)
            if pause_ms < LEAST_PAUSE_MS:
                break
        return None

    def _pause_ms(self, address: Address) -> int:
        """How long to wait before EC2 is asked again, so that the call can still be made after."""
        ends_at_ms = address.deadline_ms
        if self.ends_at_ms is not None:
            ends_at_ms = min(ends_at_ms, self.ends_at_ms - TELLING_MS)
        left_ms = ends_at_ms - self.policy.ec2_call_ms - self.clock()
        return min(LOOK_AGAIN_MS, left_ms - LOOK_MS)

    def _check_time_left(self, address: Address) -> None:
        """Right before a call that changes EC2: an invocation that stalled must not act late.

        Raises:
            MoveFailedError: somebody else may be on it before the call would end.
        """
        if self.clock() + self.policy.ec2_call_ms > address.deadline_ms:
            # EC2 was not asked, so nothing can land: the next try need not wait for the deadline.
            text = "the time left does not cover the call"
            raise MoveFailedError("DeadlineTooNear", text, refused=True)
        self._check_function_ends_after()

    def _check_function_ends_after(self) -> None:
        """Before each call: one that the function does not outlive is one that nobody tells of.

        Raises:
            MoveFailedError: the function would end first.
        """
        ends_at_ms = self.clock() + self.policy.ec2_call_ms + TELLING_MS
        if self.ends_at_ms is not None and ends_at_ms > self.ends_at_ms:
            raise MoveFailedError(
                "DeadlineTooNear", "the function's time left does not cover the call"
            )
