"""What is true in a run, whoever knows it: questions that invariants and figures ask."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import TYPE_CHECKING

from eip_arbiter.decision.snapshot import Address, OrderKind, Phase
from eip_contract.report import NodeReport

if TYPE_CHECKING:
    from simulation.node import Node
    from simulation.watch import Watch
    from simulation.world import SimulatedCluster


FAILOVER = OrderKind.FAILOVER
UNREAD_START_MS = 5_000
REAL_QUORUM = ("majority", "device")


def claims(report: NodeReport, resource: str) -> bool:
    """Whether a report is a claim of a healthy node.

    A start is Pacemaker's own word, for a while also where its view cannot be read.
    """
    state = report.resources.get(resource)
    if state is None or report.failing:
        return False
    if report.pacemaker.state == "unknown":
        return state.state == "starting" and state.for_ms <= UNREAD_START_MS
    return state.state in ("started", "starting") and report.pacemaker.state != "offline"


def runs(node: Node, resource: str) -> bool:
    """Whether this node really runs the resource."""
    here = node.peer.resources[resource]
    return (
        node.powered
        and not node.peer.process.frozen
        and node.peer.stack == "up"
        and here.role == "Started"
        and not here.failed
        and not here.busy
    )


def is_misplaced(watch: Watch, cluster: SimulatedCluster, resource: str) -> bool:
    """Whether some node runs the resource, and the address is with none that does."""
    running = [node for node in cluster.nodes if runs(node, resource)]
    return is_elsewhere(watch, cluster, resource, running)


def is_elsewhere(
    watch: Watch, cluster: SimulatedCluster, resource: str, running: list[Node]
) -> bool:
    """Whether the address is with none of the nodes that run the resource, if any does."""
    if not running:
        return False
    address = address_of(watch, cluster.cluster_id, resource)
    where = watch.world.region.ec2.locate(address.allocation_id) if address else None
    return where is None or where.interface_id not in [node.interface_id for node in running]


def all_is_well(watch: Watch) -> bool:
    """Whether nothing is wrong anywhere."""
    return next(iter(problems_of(watch)), None) is None


def wanted_resources(cluster: SimulatedCluster) -> list[str]:
    """The resources that are to run."""
    configuration = cluster.pacemaker.configuration
    off = configuration.disabled | configuration.absent
    return [resource for resource in cluster.nodes[0].resources if resource not in off]


def stands_still(node: Node, resource: str) -> bool:
    """Whether a node has no copy of a resource, not even one that is about to be."""
    off = not node.powered or node.peer.process.frozen
    return off or (node.peer.stack == "up" and node.peer.resources[resource].role == "Stopped")


def problems_of(watch: Watch) -> list[str]:
    found = (
        problem_of(watch, cluster, resource)
        for cluster in watch.world.clusters
        for resource in wanted_resources(cluster)
    )
    return [problem for problem in found if problem]


def problem_of(watch: Watch, cluster: SimulatedCluster, resource: str) -> str | None:
    """What is wrong with a resource's service, or None."""
    name = f"{cluster.cluster_id} {resource}"
    running = [node for node in cluster.nodes if runs(node, resource)]
    busy = any(
        node.peer.resources[resource].role != "Stopped"
        for node in cluster.nodes
        if node.powered and node not in running
    )
    if len(running) != 1 or busy:
        return f"{name} runs on {[node.name for node in running]}, busy: {busy}"
    address = address_of(watch, cluster.cluster_id, resource)
    if address.order and address.order.kind is OrderKind.SWITCHOVER:
        return f"{name} is still to be switched over"
    if is_misplaced(watch, cluster, resource):
        return f"{name} is not where {running[0].key} runs it"
    if address.holder != running[0].instance_id or address.phase is not Phase.SETTLED:
        return f"{name} is held by {address.holder}"
    return None


def is_banned_since_it_booted(watch: Watch, cluster: SimulatedCluster, resource: str) -> bool:
    """Whether a move that an order asked for bans a node that has booted since."""
    for node in cluster.nodes:
        _, banned, until = node.peer.side.cib.wanted.get(resource, (None, None, 0.0))
        if banned == node.name and watch.now < until and node.peer.stack_since > until - 60.0:
            return True
    return False


def is_served(watch: Watch, cluster: SimulatedCluster, resource: str) -> bool:
    """Whether one copy runs, and EC2 has the address there."""
    running = [node for node in cluster.nodes if runs(node, resource)]
    return len(running) == 1 and not is_misplaced(watch, cluster, resource)


def lies_elsewhere(watch: Watch, cluster: SimulatedCluster, resource: str) -> bool:
    """Whether the state has it with the node that runs it, and EC2 alone does not."""
    address = address_of(watch, cluster.cluster_id, resource)
    running = [node.instance_id for node in cluster.nodes if runs(node, resource)]
    with_it = running == [address.holder] and address.phase is Phase.SETTLED
    return with_it and is_misplaced(watch, cluster, resource)


def holders(watch: Watch) -> list[tuple[str, str, str | None, int]]:
    """Every address with its holder and term, and where EC2 has it."""
    found = []
    for allocation_id, (cluster_id, address) in watch.world.region.ec2.addresses.items():
        where = watch.world.region.ec2.locate(allocation_id)
        now = address_of(watch, cluster_id, address.resource)
        found.append((cluster_id, where.interface_id if where else "", now.holder, now.term))
    return found


def moves_by_fault(watch: Watch) -> list[int]:
    """Moves of the arbiter's own accord between each fault and the next, of one address."""
    times = [fault.at for fault in watch.faults] + [float("inf")]
    pairs = itertools.pairwise(times)
    return [max(moves_between(watch, *pair).values(), default=0) for pair in pairs]


def moves_between(watch: Watch, begin: float, end: float) -> Counter[str]:
    return Counter(m.allocation_id for at, _, m in watch.moves if begin <= at < end)


def places(watch: Watch, cluster_id: str, resource: str) -> list[tuple[float, str]]:
    """Since when EC2 had an address where."""
    ec2 = watch.world.region.ec2
    return [
        (landing.at, landing.after.interface_id if landing.after else "")
        for landing in ec2.journal
        for owner, address in [ec2.addresses[landing.allocation_id]]
        if (owner, address.resource) == (cluster_id, resource)
    ]


def places_of(watch: Watch, allocation_id: str) -> list[tuple[float, str]]:
    """Since when EC2 had an address where, by its allocation."""
    return [
        (landing.at, landing.after.interface_id if landing.after else "")
        for landing in watch.world.region.ec2.journal
        if landing.allocation_id == allocation_id
    ]


def address_of(watch: Watch, cluster_id: str, resource: str) -> Address:
    snapshot = watch.world.region.store.read(cluster_id)
    if snapshot is not None and resource in snapshot.addresses:
        return snapshot.addresses[resource]
    addresses = watch.world.region.ec2.addresses.values()
    return next(a for c, a in addresses if c == cluster_id and a.resource == resource)


def by_allocation(watch: Watch, cluster_id: str, allocation_id: str) -> Address:
    """What the state says of an address, by whatever name a tag gave it."""
    snapshot = watch.world.region.store.read(cluster_id)
    known = snapshot.addresses.values() if snapshot else ()
    tagged = watch.world.region.ec2.addresses[allocation_id][1]
    return next((a for a in known if a.allocation_id == allocation_id), tagged)


def is_ordered(old: Address, target: str | None) -> bool:
    """Whether an operator's failover sends an address there; a switchover only asks Pacemaker."""
    return is_wanted(old, target) and old.order is not None and old.order.kind is FAILOVER


def is_wanted(old: Address, target: str | None) -> bool:
    """Whether an operator's order of either kind sends an address there."""
    return old.order is not None and old.order.target == target


def only_claimant_has_quorum(watch: Watch, old: Address, after: Address) -> bool:
    claimant, holder = watch.heard.get(after.holder or ""), watch.heard.get(old.holder or "")
    return (
        claimant is not None
        and holder is not None
        and claimant.report.pacemaker.quorum_mode in REAL_QUORUM
        and claimant.report.pacemaker.quorate
        and not holder.report.pacemaker.quorate
    )
