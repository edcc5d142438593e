"""What must not last: judged while faults go on, and in the calm at a run's end.

Each bound is named after whom it waits for. Nothing here is forgiven; what a judge leaves out, it
leaves out since somebody's order, or a service that does not answer, is the reason.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from eip_arbiter.decision import decide
from eip_arbiter.decision.snapshot import OrderKind, Phase

from simulation import truth

if TYPE_CHECKING:
    from simulation.node import Node
    from simulation.watch import Watch
    from simulation.world import SimulatedCluster

CALM_SECONDS = 10.0
START_SECONDS = 5.0
"""A start, a stop before it, and what the grant between them takes."""
SERVICE_SECONDS = CALM_SECONDS + START_SECONDS
TAGS_SECONDS = 65.0
"""Tags are compared each minute: so long a change of them may not be known to the state."""
SWITCHOVER_SECONDS = 120.0
"""So long one may stand that Pacemaker does not follow, while the service is where it was."""
MOVE_LASTS_SECONDS = 60.0
"""A move's own ban ends by then; a node that booted since does not know of the order."""
DRIFT_SECONDS = 15.0
"""So long the metadata service may lag behind before an address that does not show is missed."""
FOLLOW_SECONDS = 30.0
"""Pacemaker is given so long to follow a failover (`follow_ms`)."""
LATE_SECONDS, NEVER = 3.0, -1e9
PINNED_SECONDS = 45.0
LOST_COPY_SECONDS = 60.0


class Recovery:
    """In the calm: how long each resource is without service once its cluster is whole.

    A cluster is whole while every node that is to be there is up and in one membership, its DC
    acts, and the agents serve. Corosync's token, the election and a joining node's own operations
    are Pacemaker's time, and end there.
    """

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._whole_since: dict[str, float] = {}
        self._without: dict[tuple[str, str], float] = {}
        self._most: dict[tuple[str, str], float] = {}
        self._nameless: dict[tuple[str, str], float] = {}
        self._told: set[tuple[str, str]] = set()
        self.longest = 0.0

    def step(self) -> None:
        """One look."""
        watch = self._watch
        for cluster in watch.world.clusters:
            if not is_whole(watch, cluster):
                self._whole_since.pop(cluster.cluster_id, None)
                self._forget(cluster)
                continue
            self._whole_since.setdefault(cluster.cluster_id, watch.now)
            for resource in truth.wanted_resources(cluster):
                self._judge(cluster, resource)

    def _forget(self, cluster: SimulatedCluster) -> None:
        for key in [key for key in self._without if key[0] == cluster.cluster_id]:
            del self._without[key]

    def _judge(self, cluster: SimulatedCluster, resource: str) -> None:
        watch, key = self._watch, (cluster.cluster_id, resource)
        problem = truth.problem_of(watch, cluster, resource)
        if problem is None:
            self._without.pop(key, None)
            self._most.pop(key, None)
            return
        if self._waits_for_tags(cluster, key):
            self._without[key] = watch.now
            return
        waited = watch.now - self._without.setdefault(key, watch.now)
        self.longest = max(self.longest, waited)
        order = truth.address_of(watch, *key).order
        ordered = order is not None and order.kind is OrderKind.FAILOVER
        # What follows the order's end has its own time.
        most = SERVICE_SECONDS + (FOLLOW_SECONDS if ordered else 0.0)
        if (
            order
            and order.kind is OrderKind.SWITCHOVER
            and truth.is_served(watch, cluster, resource)
        ):
            most += SWITCHOVER_SECONDS
        if truth.is_banned_since_it_booted(watch, cluster, resource):
            most += MOVE_LASTS_SECONDS
        if truth.lies_elsewhere(watch, cluster, resource):
            most += DRIFT_SECONDS
        most = self._most[key] = max(most, self._most.get(key, 0.0))
        if waited > most and key not in self._told:
            self._told.add(key)
            why = "; ".join(reasons(watch, cluster, resource))
            watch.violate(f"i6_in_time: {problem} for {waited:.0f} s after all was whole: {why}")

    def _waits_for_tags(self, cluster: SimulatedCluster, key: tuple[str, str]) -> bool:
        """Whether the state does not know yet what a tag says that was put right.

        The watch compares addresses each minute, and asks about as often for a node without a tag.
        """
        snapshot = self._watch.world.region.store.read(key[0])
        living = {node.instance_id for node in cluster.nodes if not node.stays_off}
        known = snapshot and key[1] in snapshot.addresses and living <= snapshot.nodes.keys()
        if known:
            self._nameless.pop(key, None)
            return False
        return self._watch.now - self._nameless.setdefault(key, self._watch.now) < TAGS_SECONDS

    def judge_moves(self) -> None:
        """Once a cluster is whole, one move of the arbiter's own accord brings an address home."""
        watch = self._watch
        for cluster_id, since in self._whole_since.items():
            for allocation_id, (owner, address) in watch.world.region.ec2.addresses.items():
                moves = [
                    (at, rule)
                    for at, rule, landing in watch.moves
                    if landing.allocation_id == allocation_id
                    and at > since
                    and landing.after is not None
                    and (allocation_id, landing.term) not in watch.moved_by_pacemaker
                    # Its last word was kept back: as fresh as any other, where all else is right.
                    and (allocation_id, landing.term) not in watch.granted_to_dead
                    and rule not in ("R020", "none")
                ]
                # A start that is granted just before its time is over fails; the next one follows.
                rules = [
                    rule
                    for (at, rule), (before, _) in zip(moves, [(NEVER, ""), *moves], strict=False)
                    if rule != "R061" or at - before >= LATE_SECONDS
                ]
                if owner == cluster_id and len(rules) > 1:
                    told = f"{address.resource} of {cluster_id} moved by {', '.join(rules)}"
                    watch.violate(f"i6_one_move: {told} since {since:.0f} s, in the calm")


def is_whole(watch: Watch, cluster: SimulatedCluster) -> bool:
    """Whether nothing of a cluster is still on its way up."""
    nodes = [node for node in cluster.nodes if not node.stays_off]
    names = {node.name for node in nodes}
    side = nodes[0].peer.side
    return (
        all(is_well(node) and node.peer.side is side for node in nodes)
        and set(side.members) == names
        and not side.waits_for
        and watch.now >= side.ready_at
    )


def is_well(node: Node) -> bool:
    """Whether a node's power, Pacemaker and agent are all there."""
    peer = node.peer
    up = node.powered and peer.stack == "up" and not peer.process.frozen
    agent = node.agent
    serves = agent is not None and agent.serves and not agent.process.frozen
    return up and not peer.pending and not peer.leaving and serves


def reasons(watch: Watch, cluster: SimulatedCluster, resource: str) -> Iterator[str]:
    """Who waits for what."""
    region = watch.world.region
    snapshot = region.store.read(cluster.cluster_id)
    address = truth.address_of(watch, cluster.cluster_id, resource)
    if snapshot and resource in snapshot.addresses:
        decision = decide(snapshot, resource, region.policy, region.clock_ms())
        yield f"the arbiter says {decision.rule}: {decision.sentence}"
    if address.order:
        yield f"an order to {address.order.target[-2:]} stands"
    for node in cluster.nodes:
        here = node.peer.resources[resource]
        if node.stays_off:
            yield f"{node.name} is gone for good"
            continue
        wanted = node.peer.side.cib.wanted.get(resource)
        if wanted and wanted[1] and wanted[2] > watch.now:
            left = f"{wanted[2] - watch.now:.0f} s"
            yield f"{node.name} knows that a move bans {wanted[1]} for {left}"
        if (resource, node.name) in node.peer.side.cib.failures:
            yield f"{node.name} is banned by a failure"
        if here.role != "Stopped" or here.busy:
            yield f"{node.name} has it {here.role}{', failed' if here.failed else ''}"
        newest = snapshot.nodes.get(node.instance_id) if snapshot else None
        if newest and newest.report and newest.report.incarnation > node.incarnation:
            yield f"{node.name} is not heard: the table knows a later start of it"


class Lasting:
    """While faults go on: conditions that nobody's order and no outage excuses for so long."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._since: dict[tuple[str, ...], float] = {}
        self._looked_at: dict[tuple[str, str], float] = {}

    def look(self, cluster: SimulatedCluster, resource: str, running: Iterable[Node]) -> None:
        """One look at one resource, of which these nodes run copies."""
        watch = self._watch
        address = truth.address_of(watch, cluster.cluster_id, resource)
        running = list(running)
        holder = next((n for n in cluster.nodes if n.instance_id == address.holder), None)
        looked_at = self._looked_at.get((cluster.cluster_id, resource), watch.now)
        self._looked_at[cluster.cluster_id, resource] = watch.now
        if watch.world.weather.is_bad or watch.is_paused(cluster):
            self._hold(cluster.cluster_id, resource, watch.now - looked_at)
            return
        healthy = [n for n in running if n is not holder and hears(n)]
        order = address.order
        settled = address.phase is Phase.SETTLED and holder is not None
        pinned = order is not None and order.kind is OrderKind.FAILOVER
        nowhere = holder is not None and truth.stands_still(holder, resource)
        if settled and pinned and nowhere and healthy:
            self._lasts(PINNED_SECONDS, "pinned_by_an_order", cluster.cluster_id, resource)
        else:
            self._since.pop(("pinned_by_an_order", cluster.cluster_id, resource), None)
        managed = cluster.pacemaker.configuration.manages(resource)
        following = order is not None and order.target == address.holder
        for node in cluster.nodes:
            lost = node in healthy and settled and managed and not following
            if lost and not node.is_plain(resource) and not any(node.troubles.values()):
                self._lasts(LOST_COPY_SECONDS, "lost_copy_runs_on", node.key, resource)
            else:
                self._since.pop(("lost_copy_runs_on", node.key, resource), None)

    def _hold(self, cluster_id: str, resource: str, seconds: float) -> None:
        """Time in which nobody could do anything does not count, and ends nothing."""
        for key in self._since:
            if key[1].startswith(cluster_id) and key[2] == resource:
                self._since[key] += seconds

    def _lasts(self, most: float, name: str, whose: str, resource: str) -> None:
        watch, key = self._watch, (name, whose, resource)
        since = self._since.setdefault(key, watch.now)
        if watch.now - since > most:
            self._since[key] = float("inf")
            cluster = next(c for c in watch.world.clusters if whose.startswith(c.cluster_id))
            why = "; ".join(reasons(watch, cluster, resource))
            watch.violate(f"{name}: {resource} of {whose} for {most:.0f} s: {why}")


def hears(node: Node) -> bool:
    """Whether a node's agent works and reaches AWS."""
    untagged = node.instance_id in node.region.ec2.untagged
    return is_well(node) and not node.aws_cut and not untagged
