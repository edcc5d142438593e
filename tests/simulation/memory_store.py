"""A store in memory with the conditions of `eip_arbiter.aws.dynamodb_store`, one call one step.

`test_store_contract` holds the two together. Snapshots are immutable, so a reader keeps what it
read while others write.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace

from eip_arbiter.decision.outcome import ReportSeen, reports_of
from eip_arbiter.decision.snapshot import (
    Address,
    Ec2Evidence,
    FormerReport,
    HistoryEntry,
    LastReport,
    Node,
    Phase,
    Snapshot,
    former_with,
    overtaken_by,
    unheld,
)
from eip_arbiter.ports import (
    Committed,
    LostRace,
    Recorded,
    StaleReport,
    Unregistered,
)
from eip_contract.report import NodeReport
from eip_contract.state_item import LATE_MS, AddressStatus, ClusterStatus

Before = tuple[Snapshot | None, ClusterStatus | None]


class MemoryStore:
    """Implements `eip_arbiter.ports.Store`."""

    _ids = itertools.count(1)

    def __init__(self) -> None:
        self._table_id = f"memory-{next(self._ids)}"
        self._clusters: dict[str, Snapshot] = {}
        self._members: dict[str, str] = {}
        self.history: dict[tuple[str, int, int, str, int, str], HistoryEntry] = {}
        self.is_retried = False

    @contextlib.contextmanager
    def retried(self) -> Iterator[None]:
        """What is written meanwhile is sent again by the client, which had no reply before.

        As in DynamoDB the condition then fails against its own first sending, and whoever finds
        just what it meant to write takes it for that.
        """
        self.is_retried = True
        try:
            yield
        finally:
            self.is_retried = False

    def record_report(
        self, report: NodeReport, received_at_ms: int, late_ms: int = 0
    ) -> Recorded | StaleReport | Unregistered:
        """Keeps a report if it is newer than the node's last one."""
        before = self._clusters.get(report.cluster_id)
        node = before.nodes.get(report.instance_id) if before else None
        if before is None or node is None:
            return Unregistered()
        known = node.report
        heard = LastReport.of(report, received_at_ms, late_ms)
        if known and not self.is_newer(known, report):
            if self.is_retried and known == heard:
                return Recorded(before)
            return StaleReport(known.incarnation, known.seq)
        former = before.former.get(report.instance_id)
        if former and not self.is_newer(former, report):
            return StaleReport(former.incarnation, former.seq)
        alarm = None
        if report.raises_alarm:
            alarm = received_at_ms if node.alarm_since_ms is None else node.alarm_since_ms
        after = replace(node, report=heard, alarm_since_ms=alarm)
        return Recorded(self._put_node(before, after))

    @staticmethod
    def is_newer(known: LastReport | FormerReport, report: NodeReport) -> bool:
        """The condition of a report's write."""
        return (known.incarnation, known.seq) < (report.incarnation, report.seq)

    def record_instance_state(self, instance_id: str, state: str, at_ms: int) -> Snapshot | None:
        """Keeps EC2's word about an instance, unless a newer one is known."""
        before = self._clusters.get(self._members.get(instance_id, ""))
        node = before.nodes.get(instance_id) if before else None
        if before is None or node is None:
            return None
        if node.ec2 and (
            node.ec2.at_ms > at_ms
            or (node.ec2.at_ms == at_ms and node.ec2.state not in overtaken_by(state))
        ):
            return before
        incarnation = node.report.incarnation if node.report else 0
        evidence = Ec2Evidence(state, at_ms, incarnation)
        return self._put_node(before, replace(node, ec2=evidence))

    def read(self, cluster_id: str) -> Snapshot | None:
        """The newest state of a cluster."""
        return self._clusters.get(cluster_id)

    def register(self, cluster_id: str, node: Node, addresses: tuple[Address, ...]) -> str | None:
        """Adds or refreshes a node; adds the addresses that are not known yet."""
        former = self._members.get(node.instance_id)
        self._members[node.instance_id] = cluster_id
        before = self._clusters.get(cluster_id) or Snapshot(cluster_id, 0, table_id=self._table_id)
        known = before.nodes.get(node.instance_id)
        if known:
            node = replace(
                node, report=known.report, alarm_since_ms=known.alarm_since_ms, ec2=known.ec2
            )
        self._clusters[cluster_id] = replace(
            before,
            version=before.version + 1,
            nodes={**before.nodes, node.instance_id: node},
            addresses={**{a.resource: a for a in addresses}, **before.addresses},
        )
        return former

    def readdress(
        self, snapshot: Snapshot, addresses: Mapping[str, Address]
    ) -> Committed | LostRace:
        """Writes all addresses anew, if the version still holds."""
        now = self._clusters.get(snapshot.cluster_id)
        if now is None or now.version != snapshot.version:
            return LostRace()
        after = replace(now, version=now.version + 1, addresses=dict(addresses))
        self._clusters[snapshot.cluster_id] = after
        return Committed(after)

    def forget(
        self, snapshot: Snapshot, instance_ids: Collection[str], line: HistoryEntry | None = None
    ) -> Committed | LostRace:
        """Drops nodes, if the version and their reports are still those of the snapshot."""
        now = self._clusters.get(snapshot.cluster_id)
        seen = reports_of(snapshot, instance_ids)
        if now is None or now.version != snapshot.version or not self.still_newest(now, seen):
            gone = now is not None and not set(instance_ids) & now.nodes.keys()
            return self._lost(snapshot, holds=gone, line=line)
        left = {i: node for i, node in now.nodes.items() if i not in instance_ids}
        with_nobody = {a.resource: a for a in unheld(now, instance_ids)}
        addresses = {**now.addresses, **with_nobody}
        former = former_with(now, instance_ids)
        return self._put(replace(now, nodes=left, addresses=addresses, former=former), line)

    def commit(
        self,
        snapshot: Snapshot,
        address: Address,
        rested_on: tuple[ReportSeen, ...],
        line: HistoryEntry | None = None,
        told: Collection[int] = (),
    ) -> Committed | LostRace:
        """Writes an address if the version and the reports are still those of the snapshot."""
        now = self._clusters.get(snapshot.cluster_id)
        if now is None or not self.may_commit(now, snapshot, rested_on):
            written = now is not None and now.addresses.get(address.resource) == address
            return self._lost(snapshot, holds=written, line=line)
        return self._put_address(now, address, line, told)

    def _lost(
        self, seen: Snapshot, *, holds: bool, line: HistoryEntry | None
    ) -> Committed | LostRace:
        """What a change on a version comes to if its condition does not hold."""
        now = self._clusters.get(seen.cluster_id)
        if now is None or not self.is_retried:
            return LostRace()
        its_own = line in now.waiting if line else now.version == seen.version + 1
        if holds and its_own:
            return Committed(now)
        return LostRace(unsure=now.version > seen.version + 1)

    @staticmethod
    def may_commit(now: Snapshot, seen: Snapshot, rested_on: tuple[ReportSeen, ...]) -> bool:
        """The condition of a commit."""
        return now.version == seen.version and MemoryStore.still_newest(now, rested_on)

    @staticmethod
    def still_newest(now: Snapshot, rested_on: tuple[ReportSeen, ...]) -> bool:
        """Whether each report that a decision rested on is its node's newest."""
        for seen in rested_on:
            node = now.nodes.get(seen.instance_id)
            newest = node.report if node else None
            if newest is None or (newest.incarnation, newest.seq) != (seen.incarnation, seen.seq):
                return False
        return True

    def settle(
        self, snapshot: Snapshot, address: Address, told: Collection[int] = ()
    ) -> Committed | LostRace:
        """Writes where EC2 has the address, if its grant is still the one in force and moving."""
        now = self._clusters.get(snapshot.cluster_id)
        known = now.addresses.get(address.resource) if now else None
        granted = snapshot.addresses[address.resource]
        if now is None or known is None:
            return LostRace()
        settled = replace(
            known,
            phase=address.phase,
            changed_at_ms=address.changed_at_ms,
            association_id=address.association_id or None,
            interface_id=address.interface_id or None,
            denials=address.denials,
        )
        if not self.may_settle(known, granted):
            its_own = settled == known and known.term == address.term
            return Committed(now) if self.is_retried and its_own else LostRace()
        return self._put_address(now, settled, None, told)

    @staticmethod
    def may_settle(known: Address, granted: Address) -> bool:
        """The condition of a settlement."""
        return (
            known.term == granted.term
            and known.phase is Phase.MOVING
            and known.changed_at_ms == granted.changed_at_ms
            and known.deadline_ms == granted.deadline_ms
        )

    def pause(
        self, snapshot: Snapshot, until_ms: int, line: HistoryEntry | None = None
    ) -> Committed | LostRace:
        """Writes until when the cluster is paused, if the version still holds."""
        now = self._clusters.get(snapshot.cluster_id)
        if now is None or now.version != snapshot.version:
            paused = now is not None and now.paused_until_ms == until_ms
            return self._lost(snapshot, holds=paused, line=line)
        return self._put(replace(now, paused_until_ms=until_ms), line)

    def append_history(self, entry: HistoryEntry) -> None:
        """Adds a line; a repeated step keeps its first one."""
        step = (entry.at_ms, entry.version, entry.resource, entry.term, entry.kind)
        self.history.setdefault((entry.cluster_id, *step), entry)

    def drop_waiting(self, cluster_id: str, told: Collection[int]) -> None:
        """Ends the waiting of lines that are in the history."""
        now = self._clusters.get(cluster_id)
        if now is not None:
            left = tuple(line for line in now.waiting if line.version not in told)
            self._clusters[cluster_id] = replace(now, waiting=left)

    def status(self, cluster_id: str) -> ClusterStatus | None:
        """What `eip_contract.state_item.read_status` makes of the cluster's item."""
        snapshot = self._clusters.get(cluster_id)
        return None if snapshot is None else to_status(snapshot)

    def _put_node(self, before: Snapshot, node: Node) -> Snapshot:
        after = replace(before, nodes={**before.nodes, node.instance_id: node})
        self._clusters[before.cluster_id] = after
        return after

    def _put_address(
        self,
        before: Snapshot,
        address: Address,
        line: HistoryEntry | None = None,
        told: Collection[int] = (),
    ) -> Committed:
        addresses = {**before.addresses, address.resource: address}
        return self._put(replace(before, addresses=addresses), line, told)

    def _put(
        self, changed: Snapshot, line: HistoryEntry | None, told: Collection[int] = ()
    ) -> Committed:
        """A change on a version, with the line that tells of it."""
        left = tuple(waiting for waiting in changed.waiting if waiting.version not in told)
        after = replace(
            changed, version=changed.version + 1, waiting=(*left, line) if line else left
        )
        self._clusters[changed.cluster_id] = after
        return Committed(after)


def to_status(snapshot: Snapshot, before: Before | None = None) -> ClusterStatus:
    """The part of a snapshot that a node reads; what is as it was before is not made again."""
    if before and before[0] and before[1] and before[0].addresses is snapshot.addresses:
        addresses = before[1].addresses
    else:
        addresses = {name: _address(address) for name, address in snapshot.addresses.items()}
    reports = {i: n.report for i, n in snapshot.nodes.items() if n.report}
    return ClusterStatus(
        version=snapshot.version,
        addresses=addresses,
        node_names={i: r.node_name for i, r in reports.items()},
        last_reports={i: (r.incarnation, r.seq) for i, r in reports.items()},
        paused_until_ms=snapshot.paused_until_ms,
        table_id=snapshot.table_id,
        late=frozenset(i for i, r in reports.items() if r.late_ms > LATE_MS),
        former={i: (f.incarnation, f.seq) for i, f in snapshot.former.items()},
        facts={i: (n.private_ips, n.nofailover) for i, n in snapshot.nodes.items()},
    )


def _address(address: Address) -> AddressStatus:
    order = address.order
    return AddressStatus(
        resource=address.resource,
        public_ip=address.public_ip,
        holder=address.holder,
        term=address.term,
        phase=address.phase.value,
        order_id=order.id if order else None,
        order_target=order.target if order else None,
        order_until_ms=order.until_ms if order else 0,
        refused_claimant=address.refusal.claimant if address.refusal else None,
    )
