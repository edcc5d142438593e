"""What a cluster's addresses become when EC2's tags say something else than the state. Pure.

There is one entry for each allocation. Holder, term and grant stay with the allocation when its
resource is renamed; they stay with the resource when its Elastic IP is exchanged.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from eip_contract.report import ReportRejected

from eip_arbiter.decision.snapshot import Address, Phase, Snapshot


@dataclass(frozen=True, slots=True)
class Agreement:
    """The addresses as they are to be, by resource.

    `changes`: of each what it is called, the address, and a sentence. `waits`: what of the tags is
    not taken up yet, in words.
    """

    addresses: Mapping[str, Address]
    changes: tuple[tuple[str, Address, str], ...]
    waits: tuple[str, ...]


def agreed(
    snapshot: Snapshot,
    tagged: tuple[Address, ...],
    now_ms: int,
    elsewhere: Collection[str] = (),
) -> Agreement:
    """What the state's addresses become by the tags.

    An address that has lost its tag stays: whether that was a mistake or on purpose only time
    tells. One that is tagged for another cluster leaves.

    Args:
        snapshot: the cluster as it is in the state.
        tagged: all addresses that EC2 has tagged for the cluster.
        now_ms: the arbiter's clock.
        elsewhere: the allocations that EC2 has tagged for other clusters.

    Raises:
        ReportRejected: reason `ambiguous_address`: two addresses would displace each other, by
            the tags alone or beside what the state has.
    """
    _refuse_doubles(snapshot.cluster_id, tagged)
    making = _Making(snapshot, tagged, now_ms)
    making.keep_untagged(elsewhere)
    making.take_known()
    making.reindex()
    making.add_new()
    return Agreement(making.entries, tuple(making.changes), tuple(making.waits))


@dataclass
class _Making:
    """An agreement that is being made, step by step in the order of the methods."""

    snapshot: Snapshot
    tagged: tuple[Address, ...]
    now_ms: int
    entries: dict[str, Address] = field(default_factory=dict)
    changes: list[tuple[str, Address, str]] = field(default_factory=list)
    waits: list[str] = field(default_factory=list)
    new: list[Address] = field(default_factory=list)

    @property
    def allocations(self) -> frozenset[str]:
        """Those that are tagged for this cluster."""
        return frozenset(address.allocation_id for address in self.tagged)

    def keep_untagged(self, elsewhere: Collection[str]) -> None:
        """What is not tagged for this cluster stays, unless it is tagged for another one."""
        names = {tag.resource for tag in self.tagged}
        for resource, address in self.snapshot.addresses.items():
            if address.allocation_id in self.allocations:
                continue
            if address.allocation_id not in elsewhere:
                self.entries[resource] = address
            elif resource not in names:
                sentence = f"{_it(address)} is tagged for another cluster and leaves this one"
                self.changes.append(("left", address, sentence))

    def take_known(self) -> None:
        """Each tagged address of which the state knows the allocation, or the resource."""
        for tag in self.tagged:
            there = self.snapshot.addresses.get(tag.resource)
            mine = _entry_of(tag, self.snapshot.addresses)
            if mine is not None and mine.resource == tag.resource:
                self.entries[tag.resource] = mine
            elif mine is not None:
                _refuse_taken_name(self.snapshot.cluster_id, tag, there)
                sentence = f"{_it(mine)} is {tag.resource} from now on, by EC2's tags"
                self._change("renamed", replace(mine, resource=tag.resource), sentence)
            elif there is not None and there.allocation_id not in self.allocations:
                sentence = (
                    f"{tag.public_ip} takes the place of {there.public_ip} for {tag.resource}, "
                    "by EC2's tags"
                )
                self._change("exchanged", _exchanged(there, tag), sentence)
            else:
                self.new.append(tag)

    def reindex(self) -> None:
        """All other private addresses at once, or none: by halves, two would have one place."""
        moved = [(self.entries[tag.resource], tag) for tag in self.tagged if self._is_moved(tag)]
        reasons = (_must_wait(self.snapshot, entry, tag, self.now_ms) for entry, tag in moved)
        self.waits += (why for why in reasons if why)
        names = {tag.resource for _, tag in moved}
        # One that has lost its tag, or that this list is too old to know of, keeps its place.
        taken = {e.private_ip_index for r, e in self.entries.items() if r not in names}
        self.waits += (
            f"{_it(tag)} is moved once private address number {tag.private_ip_index} is free"
            for _, tag in moved
            if tag.private_ip_index in taken
        )
        for entry, tag in moved if not self.waits else ():
            sentence = (
                f"{_it(tag)} belongs on private address number {tag.private_ip_index} of its node "
                "from now on, by EC2's tags"
            )
            self._change("reindexed", _reindexed(entry, tag, self.now_ms), sentence)

    def _is_moved(self, tag: Address) -> bool:
        entry = self.entries.get(tag.resource)
        return entry is not None and entry.private_ip_index != tag.private_ip_index

    def add_new(self) -> None:
        """Each with a term as high as any: a resource's terms grow, whichever address had it."""
        known = [self.entries[t.resource] for t in self.tagged if t.resource in self.entries]
        taken = {address.private_ip_index for address in known}
        term = max((address.term for address in self.snapshot.addresses.values()), default=0)
        for tag in self.new:
            if tag.private_ip_index in taken:
                self.waits.append(f"{_it(tag)} is taken in once its private address is free")
            else:
                self._change(
                    "added", replace(tag, term=term), f"{_it(tag)} is tagged for this cluster"
                )

    def _change(self, what: str, address: Address, sentence: str) -> None:
        self.entries[address.resource] = address
        self.changes.append((what, address, sentence))


def _entry_of(tag: Address, known: Mapping[str, Address]) -> Address | None:
    """The entry of this allocation; of several that an older version left, the tag's or newest."""
    mine = [address for address in known.values() if address.allocation_id == tag.allocation_id]
    return max(mine, key=lambda a: (a.resource == tag.resource, a.term), default=None)


def _exchanged(known: Address, tag: Address) -> Address:
    """The grant in force is of another Elastic IP now.

    The holder and the term stay, so nobody wins or loses a claim by it; R080 associates it once
    the holder tells that it is not there.
    """
    return replace(
        known,
        allocation_id=tag.allocation_id,
        public_ip=tag.public_ip,
        association_id=tag.association_id,
        interface_id=tag.interface_id,
    )


def _index_differs(tag: Address, entries: Mapping[str, Address]) -> bool:
    entry = entries.get(tag.resource)
    return entry is not None and entry.private_ip_index != tag.private_ip_index


def _must_wait(snapshot: Snapshot, entry: Address, tag: Address, now_ms: int) -> str | None:
    """Why another private address is not taken up yet, or None.

    All of a cluster wait for each other: taken up by halves, two addresses could have one place.
    """
    holder = snapshot.nodes.get(entry.holder) if entry.holder else None
    why = None
    if now_ms < snapshot.paused_until_ms:
        why = "the cluster is paused"
    elif entry.phase is Phase.MOVING and now_ms < entry.deadline_ms:
        why = "it is being moved"
    elif holder and tag.private_ip_index >= len(holder.private_ips):
        why = f"{holder.name} has no such private address"
    tagged = f"is tagged eip-arbiter:private-ip-index={tag.private_ip_index}"
    return f"{_it(tag)} {tagged}, which waits: {why}" if why else None


def _reindexed(entry: Address, tag: Address, now_ms: int) -> Address:
    """Under the grant in force; R031 puts it on the other private address of the same node."""
    entry = replace(entry, private_ip_index=tag.private_ip_index)
    if entry.holder is None:
        return entry
    return replace(entry, phase=Phase.MOVING, deadline_ms=now_ms, changed_at_ms=now_ms)


def _refuse_taken_name(cluster_id: str, tag: Address, there: Address | None) -> None:
    """Another address has the new name in the state.

    Raises:
        ReportRejected: reason `ambiguous_address`.
    """
    if there is not None and there.allocation_id != tag.allocation_id:
        raise ReportRejected(
            "ambiguous_address",
            f"{tag.public_ip} of cluster {cluster_id} is tagged eip-arbiter:resource="
            f"{tag.resource}, which is {there.public_ip} in the state; give it another name",
        )


def _refuse_doubles(cluster_id: str, tagged: tuple[Address, ...]) -> None:
    """Two addresses for one resource, or for one private address, would displace each other.

    Raises:
        ReportRejected: reason `ambiguous_address`, with the tag that would tell them apart.
    """
    for tag, of in (
        ("eip-arbiter:resource", [a.resource for a in tagged]),
        ("eip-arbiter:private-ip-index", [str(a.private_ip_index) for a in tagged]),
    ):
        doubled = [a.public_ip for a, value in zip(tagged, of, strict=True) if of.count(value) > 1]
        if doubled:
            raise ReportRejected(
                "ambiguous_address",
                f"{' and '.join(sorted(doubled))} of cluster {cluster_id} have the same {tag}",
            )


def _it(address: Address) -> str:
    return f"{address.public_ip} ({address.resource})"
