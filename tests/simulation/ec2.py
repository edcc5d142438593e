"""A modelled EC2: the last call to land wins, and its journal is what invariants are judged by.

Also the metadata service's word on public addresses, which lags behind, and the inventory by tags.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from eip_arbiter.decision.snapshot import Address, Node
from eip_arbiter.ports import Association

DESCRIBED_SOONER, DESCRIBED_SECONDS = 0.5, 10.0
"""DescribeAddresses lags behind as well, but not as much as the metadata service."""


@dataclass(frozen=True, slots=True)
class Landing:
    """One change of an association: who asked (a term, or 0 for somebody outside), and when."""

    at: float
    allocation_id: str
    before: Association | None
    after: Association | None
    term: int
    asked_at: float


@dataclass(frozen=True, slots=True)
class Instance:
    """An instance with its tag, and the facts that EC2 knows of it."""

    cluster_id: str
    node: Node


@dataclass
class ModelEc2:
    """Elastic IPs, instances, and what each interface's metadata shows."""

    instances: dict[str, Instance] = field(default_factory=dict)
    addresses: dict[str, tuple[str, Address]] = field(default_factory=dict)
    journal: list[Landing] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)
    untagged: set[str] = field(default_factory=set)
    """Instances and allocations whose cluster's tag was taken away, or not yet given."""

    refusing: int = 0
    """So many of the next calls are throttled, and no more."""

    retagged: dict[str, Address] = field(default_factory=dict)
    """Addresses with wrong tags, by allocation id."""

    told: Callable[[Landing], None] = lambda _landing: None
    _where: dict[str, Association | None] = field(default_factory=dict)
    _shown: dict[str, list[tuple[float, tuple[str, ...]]]] = field(default_factory=dict)
    _told: dict[str, list[tuple[float, Association | None]]] = field(default_factory=dict)
    """By allocation id: until when EC2 tells of what was before a change."""

    _count: int = 0

    def locate(self, allocation_id: str) -> Association | None:
        """Where an address is now."""
        return self._where.get(allocation_id)

    def described(self, now: float, allocation_id: str) -> Association | None:
        """Where EC2 says that an address is, which may be where it was some seconds ago."""
        told = self._told.get(allocation_id, [])
        while told and told[0][0] <= now:
            told.pop(0)
        return told[0][1] if told else self._where.get(allocation_id)

    def associate(
        self,
        now: float,
        allocation_id: str,
        interface: str,
        ip: str,
        *,
        term: int,
        asked_at: float,
        lag: float,
    ) -> str:
        """Puts an address on an interface, wherever it was; returns the association id."""
        self._count += 1
        for other, where in self._where.items():
            # EC2 keeps one Elastic IP for each private address.
            if (
                other != allocation_id
                and where
                and (where.interface_id, where.private_ip) == (interface, ip)
            ):
                self._land(now, other, None, term=term, asked_at=asked_at, lag=lag)
        after = Association(f"eipassoc-{self._count:017x}", interface, ip)
        self._land(now, allocation_id, after, term=term, asked_at=asked_at, lag=lag)
        return after.association_id

    def disassociate(
        self, now: float, association_id: str, *, term: int, asked_at: float, lag: float
    ) -> None:
        """Removes this association, if it is there."""
        for allocation_id, association in self._where.items():
            if association and association.association_id == association_id:
                self._land(now, allocation_id, None, term=term, asked_at=asked_at, lag=lag)
                return

    def _land(
        self,
        now: float,
        allocation_id: str,
        after: Association | None,
        *,
        term: int,
        asked_at: float,
        lag: float,
    ) -> None:
        before = self._where.get(allocation_id)
        self._where[allocation_id] = after
        told = self._told.setdefault(allocation_id, [])
        shown_at = now + min(lag * DESCRIBED_SOONER, DESCRIBED_SECONDS)
        told.append((max([shown_at, *(at for at, _ in told[-1:])]), before))
        landing = Landing(now, allocation_id, before, after, term, asked_at)
        self.journal.append(landing)
        self.told(landing)
        for association in (before, after):
            if association:
                shown = self._shown.setdefault(association.interface_id, [])
                at = max([now + lag, *(earlier for earlier, _ in shown[-1:])])
                shown.append((at, self._ips(association.interface_id)))

    def _ips(self, interface: str) -> tuple[str, ...]:
        return tuple(
            address.public_ip
            for allocation_id, (_, address) in self.addresses.items()
            if (where := self._where.get(allocation_id)) and where.interface_id == interface
        )

    def shown_ips(self, now: float, interface: str) -> tuple[str, ...]:
        """What the metadata service of that interface's instance says now."""
        shown = self._shown.get(interface, [])
        visible = [ips for at, ips in shown if at <= now]
        if len(visible) > 1:
            del shown[: len(visible) - 1]
        return visible[-1] if visible else ()

    def tagged(self, cluster_id: str) -> tuple[Address, ...]:
        """The addresses that are tagged for a cluster, with their present associations."""
        found = []
        for allocation_id, (owner, address) in self.addresses.items():
            if owner == cluster_id and allocation_id not in self.untagged:
                where = self._where.get(allocation_id)
                found.append(
                    replace(
                        self.retagged.get(allocation_id, address),
                        association_id=where.association_id if where else None,
                        interface_id=where.interface_id if where else None,
                    )
                )
        return tuple(found)
