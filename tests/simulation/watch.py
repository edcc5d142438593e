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

from eip_arbiter.decision.policy import LATE_MS
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
MINUTE_SECONDS = 60.0
PLANNED_SECONDS = 60.0
LOOK_SECONDS = 6.0
"""How old what a look saw may be while the next one hangs."""
FOLLOWS_PACEMAKER = ("R050", "R061")
"""Rules by which an address follows a resource that Pacemaker moved."""


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
    grants: dict[tuple[str, int], Grant] = field(default_factory=dict)
    """By allocation and term: a tag may give an address another name meanwhile."""

    starts: dict[tuple[str, str], float] = field(default_factory=dict)
    not_running: dict[tuple[str, str], float] = field(default_factory=dict)
    """Since when the resource agent says so; Pacemaker's stop may come later."""

    orders_taken: dict[str, float] = field(default_factory=dict)
    order_about: dict[str, tuple[str, str]] = field(default_factory=dict)
    _said: dict[tuple[str, int, int], NodeReport] = field(default_factory=dict)
    said_twice: set[tuple[str, int, int]] = field(default_factory=set)
    order_targets: dict[str, str] = field(default_factory=dict)
    """By its name, which another node may say: whom the arbiter took for the target."""

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

    released_at: dict[tuple[str, str], float] = field(default_factory=dict)
    """When a node last reported a resource as stopped."""

    ran_when_sent: dict[tuple[str, int, int], frozenset[str]] = field(default_factory=dict)
    """The resources that ran unharmed where and when it left."""

    last_granted: dict[str, tuple[float, str | None]] = field(default_factory=dict)
    """By allocation: when, and who had it before."""

    moves: list[tuple[float, str, Landing]] = field(default_factory=list)
    newest: dict[str, tuple[int, int]] = field(default_factory=dict)
    """The newest report of each node that ever came in."""

    planned_stops: dict[tuple[str, str], float] = field(default_factory=dict)
    """When Pacemaker last stopped a copy that was well, by its own will."""

    moved_by_pacemaker: set[tuple[str, int]] = field(default_factory=set)
    granted_to_dead: set[tuple[str, int]] = field(default_factory=set)
    """Grants that only followed such a stop: allocation and term."""

    _doubled: set[str] = field(default_factory=set)
    untagged_since: dict[str, float] = field(default_factory=dict)
    ec2_calls: Counter[tuple[str, str, int]] = field(default_factory=Counter)
    notices: Counter[tuple[str, str, str, int]] = field(default_factory=Counter)
    old_grants: dict[tuple[str, int], Grant] = field(default_factory=dict)
    """Of a table that was replaced: what was under way may still land."""

    def __post_init__(self) -> None:
        self.sayings = bounds.Sayings(self)

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
        if self.world.region.is_of_old:
            return
        self.lately.append(report)
        if isinstance(outcome, Recorded):
            self.check(invariants.i8_own_cluster, report)
            # A write may be slow: what counts is when the arbiter got the report in its hands.
            at = received_at_ms / 1000 - EPOCH_SECONDS - self.world.region.clock_error()
            heard = outcome.snapshot.nodes[report.instance_id].report
            if heard and heard.late_ms > LATE_MS:
                # What EventBridge kept back is no answer to what was asked meanwhile.
                at = self.sent[report.instance_id, report.incarnation, report.seq]
            self.heard[report.instance_id] = Heard(at, report)
            for resource in report.resources:
                if truth.claims(report, resource):
                    self.claimed[report.instance_id, resource] = Heard(at, report)
            order = (report.incarnation, report.seq)
            self.newest[report.instance_id] = max(self.newest.get(report.instance_id, order), order)
            if report.incarnation > self.told_going.get(report.instance_id, report.incarnation):
                del self.told_going[report.instance_id]

    def committed(self, before: Snapshot, after: Address) -> None:
        """The store took a commit."""
        if self.world.region.is_of_old:
            return
        old = before.addresses[after.resource]
        key = (after.allocation_id, after.term)
        self.check(invariants.i1_terms, before.cluster_id, old, after)
        if after.order and after.order != old.order:
            self.orders_taken[after.order.id] = self.now
            self.order_about[after.order.id] = (before.cluster_id, after.resource)
            self.order_targets[after.order.id] = after.order.target
            self.check(operators.one_target, before, after.order.target)
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
        self.check(evidence.gave_up_in_truth, old, after)
        self.check(evidence.i5_newest_word, old, after)
        self.check(evidence.i5_fresh_word, old, after)
        self.check(bounds.not_to_an_untagged_node, old, after)
        self.check(invariants.i4_paused, before, old, after)
        self.check(evidence.i3_evidence, old, after)
        self.check(evidence.i3_claim_is_not_from_before, old, after)
        self.check(invariants.drift_is_real, old, after)
        self._note_grant(old, after)
        stopped_at = self.planned_stops.get((old.holder or "", after.resource), NEVER)
        if after.rule in FOLLOWS_PACEMAKER and self.now - stopped_at < PLANNED_SECONDS:
            self.moved_by_pacemaker.add(key)
        if not self.node(after.holder).powered:
            self.granted_to_dead.add(key)
        self.grants[key] = Grant(self.now, after.holder, old, after)
        self.last_granted[after.allocation_id] = (self.now, old.holder)

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
        if self.world.region.is_of_old:
            return
        self.check(invariants.i1_settled_where_it_was_put, snapshot.cluster_id, address.resource)

    def asked(self, invocation: Invocation, allocation_id: str) -> None:
        """An invocation is about to call AssociateAddress."""
        self.check(invariants.move_in_time, invocation, allocation_id)

    def landed(self, landing: Landing) -> None:
        """A call of the arbiter took effect in EC2."""
        self.check(invariants.i8_own_address, landing)
        self.check(invariants.i3_landed_by_grant, landing)
        self.check(invariants.removed_by_record_only, landing)
        self.check(invariants.not_overtaken, landing)
        before = landing.before.interface_id if landing.before else None
        after = landing.after.interface_id if landing.after else None
        if before != after:
            grant = self._grant(landing)
            at = grant.at if grant else self.now
            self.moves.append((at, grant.after.rule if grant else "none", landing))

    def _grant(self, landing: Landing) -> Grant | None:
        return self.grants.get((landing.allocation_id, landing.term))

    # Told by nodes and faults.

    def started(self, node: Node, resource: str) -> None:
        """Pacemaker runs the resource agent's start."""
        self.starts[node.instance_id, resource] = self.now

    def operation(self, node: Node, resource: str, action: str, code: int, *, marked: bool) -> None:
        """The resource agent ended an action."""
        self.world.tell(f"{node.key}: {action} {resource} -> {code}")
        if action == "stop" and code == 0:
            self.stopped_by_pacemaker(node, resource)
        if action == "start" and code == 0:
            self.not_running.pop((node.instance_id, resource), None)
            self.check(invariants.i11_started_where_granted, node, resource)
        if action == "start" and code == 1:
            self.check(invariants.i6_dead_holder_is_replaced, node, resource)
        if (action, code) == ("monitor", NOT_RUNNING) or (action == "start" and code):
            self.not_running.setdefault((node.instance_id, resource), self.now)
        if action == "monitor" and marked and code not in (0, 124):
            self.check(invariants.i10_monitor, node, resource)

    def stopped_by_pacemaker(self, node: Node, resource: str) -> None:
        """Pacemaker stopped a copy; one that had failed was not its own will."""
        if not node.peer.resources[resource].failed:
            self.planned_stops[node.instance_id, resource] = self.now

    def reported(self, node: Node, report: NodeReport) -> None:
        """A node's report leaves; noted is what really runs there by then."""
        key = (report.instance_id, report.incarnation, report.seq)
        if self._said.get(key) != report:
            # Whoever has the node's keys may have used its numbers before.
            if key in self._said:
                self.said_twice.add(key)
            self._said[key] = report
            self.sent[key] = self.now
            for resource, state in report.resources.items():
                if state.state == "stopped":
                    self.released_at[report.instance_id, resource] = self.now
            running = [
                r
                for r in node.resources
                if r in report.resources
                and truth.runs(node, r)
                # A start that nobody tells the agent of is seen by its next look.
                and not (
                    node.is_plain(r) and self.now - node.peer.resources[r].since < LOOK_SECONDS
                )
            ]
            if running and not node.cluster.configuration.red[node.name]:
                self.ran_when_sent[key] = frozenset(running)
        if node.agent and report is node.agent.last_report:
            self.sayings.said(node, report)

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
        if self.world.region.is_of_old:
            return  # the table that took it was lost meanwhile
        outcome = answer.get("outcome") if isinstance(answer, dict) else type(answer).__name__
        self.world.result.counts[f"order {verb} {outcome}"] += 1
        if not isinstance(answer, dict) and outcome not in ("RefusedError", "Killed"):
            self.violate(f"operator_is_answered: {verb} of {order_id} ended with {answer!r}")
        if outcome in ("moved", "accepted"):
            accepted = AcceptedOrder(
                asked_at,
                node.cluster_id,
                resource,
                self.order_targets.get(order_id, node.instance_id),
                order_id,
                verb,
                outcome == "moved",
            )
            self.orders.append(accepted)

    def rebooted(self, node: Node) -> None:
        """A node that is well is shut down; what it runs is stopped, and that has to be said."""
        running = [r for r in node.resources if truth.runs(node, r) and not node.is_plain(r)]
        managed = [r for r in running if node.cluster.configuration.manages(r)]
        if not managed or not liveness.hears(node):
            return
        incarnation = node.incarnation

        def judge() -> None:
            bad = self.world.weather.is_bad or self.now - self.world.weather.struck_at < 10.0
            for resource in managed:
                stopped_at = self.planned_stops.get((node.instance_id, resource), NEVER)
                said = self.released_at.get((node.instance_id, resource), NEVER)
                silent = node.aws_cut or node.incarnation != incarnation or node.is_frozen
                if stopped_at > self.now - 4.0 and said < stopped_at - 1.0 and not (bad or silent):
                    self.violate(f"release_is_said: {node.key} stopped {resource} without a word")

        self.world.loop.at(3.5, judge)

    def called_ec2(self, kind: str, who: str) -> None:
        """An invocation calls EC2, on behalf of a cluster or an instance."""
        self.ec2_calls[kind, who, int(self.now // MINUTE_SECONDS)] += 1

    def noticed(self, kind: str, cluster_id: str, resource: str) -> None:
        """A notice goes out to people."""
        self.notices[kind, cluster_id, resource, int(self.now // MINUTE_SECONDS)] += 1

    def untagged(self, node: Node) -> None:
        """A node's cluster tag was taken away."""
        self.untagged_since[node.instance_id] = self.now

    def tagged_again(self, node: Node) -> None:
        """A node's cluster tag was given back."""
        self.untagged_since.pop(node.instance_id, None)

    def new_table(self) -> None:
        """The table was replaced by an empty one, without orders and pauses; terms begin anew."""
        self.old_grants.update(self.grants)
        for known in (self.grants, self.orders_taken, self.heard, self.newest, self.last_granted):
            known.clear()
        self.orders.clear()
        self.paused_from.clear()
        self.lately.clear()
        self.region_disturbed_at = self.now

    def registered(self, cluster_id: str) -> None:
        """The store took a node and its cluster's addresses in."""
        if cluster_id not in self._doubled and not self.world.region.is_of_old:
            problem = bounds.one_entry_each(self, cluster_id)
            if problem:
                self._doubled.add(cluster_id)
                self.violate(f"one_entry_each: {problem}")

    def pause_written(self, before: Snapshot, until_ms: int) -> None:
        """The store took a pause, or its end."""
        problem = operators.pause_is_not_shortened(self, before, until_ms)
        if problem:
            self.violate(f"pause_is_not_shortened: {problem}")
            self.paused_from.pop(before.cluster_id, None)

    def is_paused(self, cluster: SimulatedCluster) -> bool:
        """Whether the state says so now, whatever an operator was told."""
        snapshot = self.world.region.store.read(cluster.cluster_id)
        now_ms = (self.now + EPOCH_SECONDS) * 1000
        return snapshot is not None and snapshot.paused_until_ms > now_ms

    def paused(self, cluster: SimulatedCluster, asked_at: float, answer: Any) -> None:
        """An operator was answered that a cluster is paused."""
        overtaken = asked_at <= self.resumed_at.get(cluster.cluster_id, NEVER)
        paused = isinstance(answer, dict) and answer.get("outcome") == "paused"
        of_old = self.world.region.is_of_old  # a table that was replaced since it was asked
        if paused and not overtaken and not of_old and self.is_paused(cluster):
            self.paused_from[cluster.cluster_id] = self.now

    def resumed(self, cluster: SimulatedCluster) -> None:
        """An operator asks to resume a cluster."""
        self.paused_from.pop(cluster.cluster_id, None)
        self.resumed_at[cluster.cluster_id] = self.now

    def clock_error(self, since: float) -> float:
        """By how much the arbiter's clock may have misjudged a duration that began then."""
        skews = self.world.setup.skews
        apart = max(skews) - min(skews) if skews else 0.0
        return apart + math.fsum(seconds for at, seconds in self.clock_jumps if at >= since)

    # The run.

    def run(self) -> None:
        """Faults, then calm until all is well and stays so."""
        world = self.world
        sampler = Sampler(self)
        world.loop.at(1.0, sampler.sample)
        world.loop.run_until(world.setup.calm_from)
        well_since: float | None = None
        recovery = liveness.Recovery(self)
        while self.now < world.setup.calm_from + invariants.LONGEST_RECOVERY_SECONDS:
            world.loop.run_until(self.now + 1.0)
            recovery.step()
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
            world.result.recovery.append(recovery.longest)
            recovery.judge_moves()
            self._replay_old_reports()
        self.check(invariants.i9_orders)
        self.check(operators.orders_are_on_record)
        self.check(bounds.calls_are_bounded)
        self.check(bounds.notices_are_bounded)
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
        heard = self.heard.get(report.instance_id)  # of a node with a forged counter none was
        return (heard.report.incarnation, heard.report.seq) if heard else (0, 0)


from simulation import (  # noqa: E402 - each needs the other's names, at run time only
    bounds,
    evidence,
    invariants,
    liveness,
    operators,
    truth,
)
from simulation.sampler import Sampler  # noqa: E402
