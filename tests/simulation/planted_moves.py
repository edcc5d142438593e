"""Bugs planted in the conditions of commits and in the steps of a move."""

# ruff: noqa: ARG001, ARG005 - planted bugs ignore what they should look at

from __future__ import annotations

import contextlib
import dataclasses
from typing import Any

from eip_arbiter.arbitrate import arbitration
from eip_arbiter.arbitrate.arbitration import Arbiter
from eip_arbiter.arbitrate.moving import Mover, Placed
from eip_arbiter.decision import transition
from eip_arbiter.decision.snapshot import Address, Snapshot
from eip_arbiter.ports import Association, MoveFailedError

from simulation.memory_store import MemoryStore
from simulation.mutant import Patch, mutant

# Commit conditions.


@mutant
def commit_without_version() -> list[Patch]:
    """A commit looks at the reports only."""
    check = staticmethod(lambda now, seen, rested_on: MemoryStore.still_newest(now, rested_on))
    return [(MemoryStore, "may_commit", check)]


@mutant
def commit_without_reports() -> list[Patch]:
    """A commit looks at the version only: a holder that answered meanwhile is overrun."""
    return [(MemoryStore, "still_newest", staticmethod(lambda now, rested_on: True))]


@mutant
def commit_without_conditions() -> list[Patch]:
    """A commit always succeeds."""
    return [(MemoryStore, "may_commit", staticmethod(lambda now, seen, rested_on: True))]


@mutant
def old_reports_are_taken() -> list[Patch]:
    """A late or doubled report overwrites a newer one."""
    return [(MemoryStore, "is_newer", staticmethod(lambda known, report: True))]


@mutant
def order_of_reports_without_incarnation() -> list[Patch]:
    """Only the sequence number orders reports: a restarted agent is not heard."""
    return [(MemoryStore, "is_newer", staticmethod(lambda known, report: known.seq < report.seq))]


@mutant
def settle_without_term() -> list[Patch]:
    """Whoever was stalled settles whatever is in force."""

    def may_settle(known: Address, granted: Address) -> bool:
        return True

    return [(MemoryStore, "may_settle", staticmethod(may_settle))]


@mutant
def settle_overwrites() -> list[Patch]:
    """A settlement writes the whole address as it was read, with its term and holder."""

    def settle(self: MemoryStore, snapshot: Snapshot, address: Address) -> Any:
        now = self.read(snapshot.cluster_id)
        return self._put_address(now or snapshot, address)

    return [(MemoryStore, "settle", settle)]


# Steps of a move.


@mutant
def call_before_commit() -> list[Patch]:
    """EC2 is called first, and the grant is committed after it."""
    original = Arbiter._commit  # noqa: SLF001

    def commit(self: Arbiter, snapshot: Snapshot, address: Address, change: Any) -> Any:
        holder = getattr(change, "holder", None)
        if holder:
            node = snapshot.nodes[holder]
            with contextlib.suppress(MoveFailedError):
                self.elastic_ips.associate(
                    address.allocation_id, node.interface_id, node.private_ips[0]
                )
        return original(self, snapshot, address, change)

    return [(Arbiter, "_commit", commit)]


@mutant
def settled_without_the_call() -> list[Patch]:
    """A grant settles although EC2 was never asked."""

    def place(self: Mover, snapshot: Snapshot, address: Address, *how: Any) -> Any:
        if address.holder is None:
            return Placed(None, called=True)
        node = snapshot.nodes[address.holder]
        return Placed(Association("", node.interface_id, node.private_ips[0]), called=True)

    return [(Mover, "place", place)]


@mutant
def failure_taken_for_success() -> list[Patch]:
    """What EC2 refused is settled as if it were done."""
    original = Mover.place

    def place(self: Mover, snapshot: Snapshot, address: Address, *how: Any) -> Any:
        try:
            return original(self, snapshot, address, *how)
        except MoveFailedError:
            if address.holder is None:
                return Placed(None, called=True)
            node = snapshot.nodes[address.holder]
            return Placed(Association("", node.interface_id, node.private_ips[0]), called=True)

    return [(Mover, "place", place)]


@mutant
def no_deadline_check() -> list[Patch]:
    """A stalled invocation calls EC2 however late it is."""

    def place(self: Mover, snapshot: Snapshot, address: Address, *how: Any) -> Any:
        if address.holder is None:
            if address.association_id:
                self.elastic_ips.disassociate(address.association_id)
            return Placed(None, called=True)
        node = snapshot.nodes[address.holder]
        ip = node.private_ips[address.private_ip_index]
        association_id = self.elastic_ips.associate(address.allocation_id, node.interface_id, ip)
        return Placed(Association(association_id, node.interface_id, ip), called=True)

    return [(Mover, "place", place)]


@mutant
def disassociated_by_address() -> list[Patch]:
    """A release takes off whatever association the address has when the call is made."""
    original = Mover.place

    def place(self: Mover, snapshot: Snapshot, address: Address, *how: Any) -> Any:
        if address.holder is not None:
            return original(self, snapshot, address, *how)
        found = self.elastic_ips.locate(address.allocation_id)
        if found:
            self.elastic_ips.disassociate(found.association_id)
        return Placed(None, called=True)

    return [(Mover, "place", place)]


@mutant
def disassociated_first() -> list[Patch]:
    """A move takes the address off its old node before it puts it on the new one."""
    original = Mover.place

    def place(self: Mover, snapshot: Snapshot, address: Address, *how: Any) -> Any:
        if address.holder is not None and address.association_id:
            self.elastic_ips.disassociate(address.association_id)
        return original(self, snapshot, address, *how)

    return [(Mover, "place", place)]


@mutant
def term_stays() -> list[Patch]:
    """A grant keeps the term of the one before."""
    original = transition.apply

    def apply(address: Address, change: Any, policy: Any, now_ms: int) -> Address:
        after = original(address, change, policy, now_ms)
        return dataclasses.replace(after, term=max(1, address.term))

    return [(arbitration, "apply", apply)]


@mutant
def all_addresses_on_the_first_private_address() -> list[Patch]:
    """Each address goes to the node's primary private address."""
    original = Mover.place

    def place(self: Mover, snapshot: Snapshot, address: Address, *how: Any) -> Any:
        return original(self, snapshot, dataclasses.replace(address, private_ip_index=0), *how)

    return [(Mover, "place", place)]
