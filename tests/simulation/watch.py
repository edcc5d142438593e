"""What really happened in a run, noted as it happens; `invariants` judges it.

Truth is the modelled EC2's journal, the modelled nodes, and what the store took in and when in true
time. The arbiter's own state is looked at only to know which grant was in force.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from eip_arbiter.decision.snapshot import Address, Snapshot
from eip_arbiter.ports import Recorded
from eip_contract.report import NodeReport

from simulation.clock import EPOCH_SECONDS
from simulation.ec2 import Landing
from simulation.pacemaker import OPERATION_SECONDS

if TYPE_CHECKING:
    from simulation.faults import Fault
    from simulation.invocation import Invocation
    from simulation.node import Node
    from simulation.world import SimulatedCluster, World

NEVER = -1e9
NOT_RUNNING = 7


@dataclass(frozen=True, slots=True)
class Heard:
    """A report that the store took in, and when in true time the arbiter had it."""

    at: float
    report: NodeReport


@dataclass(frozen=True, slots=True)
class Grant:
    """A grant that was committed."""

    at: float
    holder: str | None
    before: Address
    after: Address


@dataclass
class AcceptedOrder:
    """An operator's order to which `operate` answered that it stands or is done."""

    at: float
    cluster_id: str
    resource: str
    target: str
    order_id: str
    verb: str
    done: bool


@dataclass
class Watch:
    """Notes of one run."""

    world: World
    violations: list[str] = field(default_factory=list)
    heard: dict[str, Heard] = field(default_factory=dict)
    claimed: dict[tuple[str, str], Heard] = field(default_factory=dict)
    """The last claim of each node for each resource: nothing else is a holder's answer."""

    lately: deque[NodeReport] = field(default_factory=lambda: deque(maxlen=60))
    grants: dict[tuple[str, str, int], Grant] = field(default_factory=dict)
    starts: dict[tuple[str, str], float] = field(default_factory=dict)
    not_running: dict[tuple[str, str], float] = field(default_factory=dict)
    """Since when the resource agent says so; Pacemaker's stop may come later."""

    orders_taken: dict[str, float] = field(default_factory=dict)
    order_about: dict[str, tuple[str, str]] = field(default_factory=dict)
    orders_ended: set[str] = field(default_factory=set)
    orders: list[AcceptedOrder] = field(default_factory=list)
    told_going: dict[str, int] = field(default_factory=dict)
    """Instances that EC2 said go away, with the incarnation that their agents had."""

    paused_from: dict[str, float] = field(default_factory=dict)
    resumed_at: dict[str, float] = field(default_factory=dict)
    clock_jumps: list[tuple[float, float]] = field(default_factory=list)
    disturbed: dict[str, float] = field(default_factory=dict)
    region_disturbed_at: float = NEVER
    faults: list[Fault] = field(default_factory=list)
    sent: dict[tuple[str, int, int], float] = field(default_factory=dict)
    """When each report left its node."""

    last_granted: dict[tuple[str, str], tuple[float, str | None]] = field(default_factory=dict)
    moves: list[tuple[float, str, Landing]] = field(default_factory=list)

    @property
    def now(self) -> float:
        """True time."""
        return self.world.loop.now

    def check(self, judge: Callable[..., str | None], *arguments: Any) -> None:
        """Notes what an invariant has to say."""
        problem = judge(self, *arguments)
        if problem:
            self.violate(f"{judge.__name__}: {problem}")

    def violate(self, text: str) -> None:
        """Notes a violation."""
        self.world.tell(f"VIOLATION {text}")
        self.violations.append(f"{self.now:.3f} s: {text}")

    def node(self, instance_id: str) -> Node:
        """The node of an instance."""
        return next(n for c in self.world.clusters for n in c.nodes if n.instance_id == instance_id)

    def cluster_of(self, node: Node) -> SimulatedCluster:
        """The cluster of a node."""
        return next(c for c in self.world.clusters if node in c.nodes)

    # Told by the region.

    def recorded(self, report: NodeReport, received_at_ms: int, outcome: Any) -> None:
        """The store was given a report."""
        self.lately.append(report)
        if isinstance(outcome, Recorded):
            self.check(invariants.i8_own_cluster, report)
            # A write may be slow: what counts is when the arbiter got the report in its hands.
            at = received_at_ms / 1000 - EPOCH_SECONDS - self.world.region.clock_offset
            self.heard[report.instance_id] = Heard(at, report)
            for resource in report.resources:
                if truth.claims(report, resource):
                    self.claimed[report.instance_id, resource] = Heard(at, report)
            if report.incarnation > self.told_going.get(report.instance_id, report.incarnation):
                del self.told_going[report.instance_id]

    def committed(self, before: Snapshot, after: Address) -> None:
        """The store took a commit."""
        old = before.addresses[after.resource]
        key = (before.cluster_id, after.resource, after.term)
        self.check(invariants.i1_terms, before.cluster_id, old, after)
        if after.order and after.order != old.order:
            self.orders_taken[after.order.id] = self.now
            self.order_about[after.order.id] = (before.cluster_id, after.resource)
        if old.order and not after.order:
            self.orders_ended.add(old.order.id)
        if after.term == old.term and after.holder == old.holder:
            return
        if after.holder is None:
            self.world.result.moves[f"{after.rule} (release)"] += 1
            self.check(invariants.released_long_ago, old)
            return
        self.check(invariants.i2_answering_holder, old, after)
        self.check(invariants.i2_silent_when_claimed, old, after)
        self.check(invariants.i2_undisturbed_holder, old, after)
        self.check(invariants.i4_paused, before, old, after)
        self.check(invariants.i3_evidence, old, after)
        self.check(invariants.i3_claim_is_not_from_before, old, after)
        self.check(invariants.drift_is_real, old, after)
        self._note_grant(old, after)
        self.grants[key] = Grant(self.now, after.holder, old, after)
        self.last_granted[before.cluster_id, after.resource] = (self.now, old.holder)

    def _note_grant(self, old: Address, after: Address) -> None:
        result = self.world.result
        changed = "" if after.holder != old.holder else " (same holder)"
        result.moves[after.rule + changed] += 1
        started = self.starts.get((after.holder or "", after.resource))
        waits = started is not None and self.now - started < OPERATION_SECONDS
        if not changed and waits and started is not None and after.rule != "R020":
            result.claim_to_grant.append(self.now - started)

    def settled(self, snapshot: Snapshot, address: Address) -> None:
        """The store took a settlement."""
        self.check(invariants.i1_settled_where_it_was_put, snapshot.cluster_id, address.resource)

    def asked(self, invocation: Invocation, allocation_id: str) -> None:
        """An invocation is about to call AssociateAddress."""
        self.check(invariants.move_in_time, invocation, allocation_id)

    def landed(self, landing: Landing) -> None:
        """A call of the arbiter took effect in EC2."""
        self.check(invariants.i8_own_address, landing)
        self.check(invariants.i3_landed_by_grant, landing)
        self.check(invariants.removed_by_record_only, landing)
        before = landing.before.interface_id if landing.before else None
        after = landing.after.interface_id if landing.after else None
        if before != after:
            grant = self._grant(landing)
            at = grant.at if grant else self.now
            self.moves.append((at, grant.after.rule if grant else "none", landing))

    def _grant(self, landing: Landing) -> Grant | None:
        cluster_id, address = self.world.region.ec2.addresses[landing.allocation_id]
        return self.grants.get((cluster_id, address.resource, landing.term))

    # Told by nodes and faults.

    def started(self, node: Node, resource: str) -> None:
        """Pacemaker runs the resource agent's start."""
        self.starts[node.instance_id, resource] = self.now

    def operation(self, node: Node, resource: str, action: str, code: int, *, marked: bool) -> None:
        """The resource agent ended an action."""
        self.world.tell(f"{node.key}: {action} {resource} -> {code}")
        if action == "start" and code == 0:
            self.not_running.pop((node.instance_id, resource), None)
            self.check(invariants.i11_started_where_granted, node, resource)
        if action == "start" and code == 1:
            self.check(invariants.i6_dead_holder_is_replaced, node, resource)
        if (action, code) == ("monitor", NOT_RUNNING) or (action == "start" and code):
            self.not_running.setdefault((node.instance_id, resource), self.now)
        if action == "monitor" and marked and code not in (0, 124):
            self.check(invariants.i10_monitor, node, resource)

    def fault(self, cluster: SimulatedCluster, fault: Fault) -> None:
        """A fault begins."""
        self.faults.append(fault)
        self._disturb(cluster, fault)

    def fault_over(self, cluster: SimulatedCluster, fault: Fault) -> None:
        """A fault is over."""
        self._disturb(cluster, fault)

    def _disturb(self, cluster: SimulatedCluster, fault: Fault) -> None:
        """Notes whose reports a fault touches; a cut of the ring touches nobody's."""
        if fault.kind in invariants.LEAVES_REPORTS_ALONE:
            return
        every = fault.kind == "cut_aws_all"
        for node in cluster.nodes if every else [cluster.node(fault)]:
            self.disturb(node)

    def disturb(self, node: Node) -> None:
        """Something touches a node's reports."""
        self.disturbed[node.instance_id] = self.now

    def instance_goes(self, node: Node) -> None:
        """EC2 says that an instance goes."""
        self.told_going[node.instance_id] = node.incarnation

    def clock_jumped(self, seconds: float) -> None:
        """The arbiter's clock was set."""
        self.clock_jumps.append((self.now, abs(seconds)))
        self.region_disturbed_at = self.now

    def ordered(
        self,
        node: Node,
        resource: str,
        order_id: str,
        *,
        verb: str,
        asked_at: float,
        answer: Any,
    ) -> None:
        """An operator was answered."""
        outcome = answer.get("outcome") if isinstance(answer, dict) else type(answer).__name__
        self.world.result.counts[f"order {verb} {outcome}"] += 1
        if outcome in ("moved", "accepted"):
            accepted = AcceptedOrder(
                asked_at,
                node.cluster_id,
                resource,
                node.instance_id,
                order_id,
                verb,
                outcome == "moved",
            )
            self.orders.append(accepted)

    def paused(self, cluster: SimulatedCluster, asked_at: float, answer: Any) -> None:
        """An operator was answered that a cluster is paused."""
        overtaken = asked_at <= self.resumed_at.get(cluster.cluster_id, NEVER)
        paused = isinstance(answer, dict) and answer.get("outcome") == "paused"
        if paused and not overtaken:
            self.paused_from[cluster.cluster_id] = self.now

    def resumed(self, cluster: SimulatedCluster) -> None:
        """An operator asks to resume a cluster."""
        self.paused_from.pop(cluster.cluster_id, None)
        self.resumed_at[cluster.cluster_id] = self.now

    def clock_error(self, since: float) -> float:
        """By how much the arbiter's clock may have misjudged a duration that began then."""
        return math.fsum(seconds for at, seconds in self.clock_jumps if at >= since)

    # The run.

    def run(self) -> None:
        """Faults, then calm until all is well and stays so."""
        world = self.world
        sampler = Sampler(self)
        world.loop.at(1.0, sampler.sample)
        world.loop.run_until(world.setup.calm_from)
        well_since: float | None = None
        while self.now < world.setup.calm_from + invariants.LONGEST_RECOVERY_SECONDS:
            world.loop.run_until(self.now + 1.0)
            if truth.all_is_well(self):
                well_since = self.now if well_since is None else well_since
                if self.now - well_since >= invariants.STAYS_WELL_SECONDS:
                    break
            else:
                well_since = None
        if well_since is None:
            self.check(invariants.i6_recovers)
        else:
            world.result.settle_seconds = well_since - world.setup.calm_from
            self._replay_old_reports()
        self.check(invariants.i9_orders)
        self.check(invariants.i7_moves)
        sampler.finish()

    def _replay_old_reports(self) -> None:
        """I5: reports of long ago change nothing."""
        world = self.world
        before = truth.holders(self)
        for report in list(self.lately):
            if (report.incarnation, report.seq) < self._newest(report):
                world.region.deliver(report)
        world.loop.run_until(self.now + 5.0)
        self.check(invariants.i5_replay, before)

    def _newest(self, report: NodeReport) -> tuple[int, int]:
        newest = self.heard[report.instance_id].report
        return (newest.incarnation, newest.seq)


class Sampler:
    """Samples where addresses are against where Pacemaker runs their resources."""

    STEP_SECONDS = 0.5

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._wrong: Counter[int] = Counter()

    def sample(self) -> None:
        """One look; comes again by itself."""
        watch = self._watch
        for cluster in watch.world.clusters:
            for resource in cluster.nodes[0].resources:
                if truth.is_misplaced(watch, cluster, resource):
                    self._wrong[len(watch.faults)] += 1
        watch.world.loop.at(self.STEP_SECONDS, self.sample)

    def finish(self) -> None:
        """Puts figures by fault into the result, where one fault came at a time."""
        watch = self._watch
        if not watch.world.setup.serial:
            return
        result = watch.world.result
        for number in range(1, len(watch.faults) + 1):
            result.wrong_place.append(self._wrong[number] * self.STEP_SECONDS)
        for count in truth.moves_by_fault(watch):
            result.moves_per_fault[count] += 1


from simulation import invariants, truth  # noqa: E402 - each needs the other's names, at run time only
