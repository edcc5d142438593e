"""How nodes and addresses come into the state, change there and leave it: as EC2's tags say now.

A report's own word about its cluster counts for nothing here. A node's first report and each start
of its agent register it; the watch compares every node and address each minute.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace

from eip_contract.report import NodeReport, ReportRejected

from eip_arbiter.arbitrate.agreeing import agreed
from eip_arbiter.arbitrate.lookups import NotTaggedError
from eip_arbiter.arbitrate.narrating import line
from eip_arbiter.decision.snapshot import Address, HistoryEntry, Node, Phase, Snapshot
from eip_arbiter.ports import Committed, Inventory, Store, Telemetry


@dataclass(frozen=True)
class Registry:
    """Makes the state agree with EC2's tags. A lost race is left to the next look."""

    store: Store
    inventory: Inventory
    telemetry: Telemetry
    clock: Callable[[], int]

    def register(self, report: NodeReport) -> None:
        """Takes the reporting node into the state, and has its cluster's addresses agree with EC2.

        A node that EC2 says belongs elsewhere leaves the cluster of its report.

        Raises:
            ReportRejected: reason `not_tagged`, `unknown_cluster` or `ambiguous_address`; nothing
                was registered.
            MoveFailedError: EC2 did not answer; nothing was changed.
        """
        cluster_id, instance_id = report.cluster_id, report.instance_id
        found = self.inventory.node(instance_id)
        if found is None or found[0] != cluster_id:
            if found is not None:
                self._leave(cluster_id, instance_id, found[0])
            raise NotTaggedError(
                f"{instance_id} is not tagged eip-arbiter:cluster={cluster_id}",
                found[0] if found else None,
            )
        tagged = self.inventory.addresses(cluster_id)
        if not tagged:
            raise ReportRejected(
                "unknown_cluster", f"no Elastic IP is tagged eip-arbiter:cluster={cluster_id}"
            )
        before = self.store.read(cluster_id) or Snapshot(cluster_id, 0)
        agreed(before, tagged, self.clock())  # A double is refused before anything is written.
        node = replace(found[1], registered_for=report.incarnation)
        former = self.store.register(cluster_id, node, () if before.addresses else tagged)
        self.telemetry.decided(
            "registered",
            f"{report.node_name} joins with {', '.join(a.public_ip for a in tagged)} in view",
            cluster=cluster_id,
            instance=instance_id,
        )
        if former and former != cluster_id:
            self._leave(former, instance_id, cluster_id)
        snapshot = self.store.read(cluster_id)
        if snapshot is not None:
            snapshot, _ = self.agree(snapshot, tagged)
            self._forget_terminated(snapshot)

    def agree(
        self, snapshot: Snapshot, tagged: tuple[Address, ...], elsewhere: Collection[str] = ()
    ) -> tuple[Snapshot, tuple[str, ...]]:
        """Makes the cluster's addresses agree with EC2's tags, in one write.

        Args:
            snapshot: the cluster as it is in the state.
            tagged: all addresses that EC2 has tagged for the cluster.
            elsewhere: the allocations that EC2 has tagged for other clusters.

        Returns:
            The newest snapshot, and what of the tags has to wait, in words.

        Raises:
            ReportRejected: reason `ambiguous_address`; nothing was changed.
        """
        plan = agreed(snapshot, tagged, self.clock(), elsewhere)
        if plan.addresses == snapshot.addresses:
            return snapshot, plan.waits
        outcome = self.store.readdress(snapshot, plan.addresses)
        if not isinstance(outcome, Committed):
            return snapshot, plan.waits
        for what, address, sentence in plan.changes:
            self.telemetry.decided(what, sentence, cluster=snapshot.cluster_id)
            self.store.append_history(self._line(snapshot, address, sentence))
        return outcome.snapshot, plan.waits

    def agree_nodes(
        self, snapshot: Snapshot, instances: Mapping[str, tuple[str, Node]]
    ) -> Snapshot:
        """Takes up what EC2 says of the nodes now, and takes out who belongs elsewhere.

        EC2's list by tag may lag behind, so one who is not in it is asked about by its id. One that
        EC2 does not know, or that is terminated, stays: its silence and EC2's events tell of it.

        Args:
            snapshot: the cluster as it is in the state.
            instances: by instance id, the cluster and the facts of all that EC2 has tagged.

        Raises:
            MoveFailedError: EC2 did not answer; whoever was not compared yet stays as it was.
        """
        gone, changed = {}, False
        for node in snapshot.nodes.values():
            found = instances.get(node.instance_id) or self.inventory.node(node.instance_id)
            if found is None:
                continue
            now = replace(found[1], registered_for=node.registered_for)
            if found[0] != snapshot.cluster_id:
                gone[node.instance_id] = found[0]
            elif now != replace(node, report=None, alarm_since_ms=None, ec2=None):
                self.store.register(snapshot.cluster_id, now, ())
                changed = True
                self.telemetry.decided(
                    "changed",
                    f"EC2 describes {node.name} anew: {_facts(now)}",
                    cluster=snapshot.cluster_id,
                    instance=node.instance_id,
                )
        if changed:
            snapshot = self.store.read(snapshot.cluster_id) or snapshot
        return self._take_out(snapshot, gone) if gone else snapshot

    def _leave(self, cluster_id: str, instance_id: str, belongs_to: str) -> None:
        """Takes a node out of a cluster, if it is still registered there."""
        snapshot = self.store.read(cluster_id)
        if snapshot is not None and instance_id in snapshot.nodes:
            self._take_out(snapshot, {instance_id: belongs_to})

    def _take_out(self, snapshot: Snapshot, gone: Mapping[str, str]) -> Snapshot:
        """Forgets nodes that EC2 says belong to another cluster, or to none ("").

        What one of them holds is with nobody then. No EC2 call is made: the address stays on the
        instance until a node of the cluster claims it. One to which an address is being moved stays
        until that has ended: a call that is under way would land on whoever gets it meanwhile.
        """
        at_ms = self.clock()
        goes_to = {
            a.holder
            for a in snapshot.addresses.values()
            if a.phase is Phase.MOVING and at_ms < a.deadline_ms
        }
        gone = {i: belongs_to for i, belongs_to in gone.items() if i not in goes_to}
        if not gone:
            return snapshot
        told = {i: _belongs_elsewhere(snapshot, i, belongs_to) for i, belongs_to in gone.items()}
        lines = [
            self._line(
                snapshot, a, f"{told[a.holder]}, and {a.public_ip} ({a.resource}) is with nobody"
            )
            for a in snapshot.addresses.values()
            if a.holder in told
        ]
        # The first one is part of the change, so that a crash leaves none of it untold.
        outcome = self.store.forget(snapshot, tuple(gone), lines[0] if lines else None)
        if not isinstance(outcome, Committed):
            return snapshot
        for instance_id, sentence in told.items():
            self.telemetry.decided(
                "forgotten", sentence, cluster=snapshot.cluster_id, instance=instance_id
            )
        for entry in lines:
            self.store.append_history(entry)
        if lines:
            self.store.drop_waiting(snapshot.cluster_id, [lines[0].version])
        return outcome.snapshot

    def _line(self, snapshot: Snapshot, address: Address, sentence: str) -> HistoryEntry:
        """A line of history about an address that tags changed, not a decision."""
        return line(snapshot, address, kind="note", at_ms=self.clock(), sentence=sentence)

    def _forget_terminated(self, snapshot: Snapshot) -> None:
        """A cluster whose instances are replaced again and again must not grow for ever."""
        gone = departed(snapshot)
        if gone and isinstance(self.store.forget(snapshot, gone), Committed):
            self.telemetry.decided(
                "forgotten",
                f"{', '.join(gone)} is terminated, says EC2",
                cluster=snapshot.cluster_id,
            )


def _belongs_elsewhere(snapshot: Snapshot, instance_id: str, belongs_to: str) -> str:
    tag = f"is tagged eip-arbiter:cluster={belongs_to}" if belongs_to else "lost its tag"
    name = snapshot.nodes[instance_id].name
    return f"{name} ({instance_id}) {tag}: it has no say in {snapshot.cluster_id} now"


def _facts(node: Node) -> str:
    nofailover = ", nofailover" if node.nofailover else ""
    ips = ", ".join(node.private_ips) or "no private address"
    return f"{node.interface_id} with {ips}, priority {node.priority}{nofailover}"


def departed(snapshot: Snapshot) -> tuple[str, ...]:
    """Terminated instances that no address is or will be on."""
    wanted = {address.holder for address in snapshot.addresses.values()}
    wanted |= {a.order.target for a in snapshot.addresses.values() if a.order}
    return tuple(
        node.instance_id
        for node in snapshot.nodes.values()
        if node.ec2 and node.ec2.state == "terminated" and node.instance_id not in wanted
    )
