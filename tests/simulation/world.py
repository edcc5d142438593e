"""One run: clusters, a region, a schedule of faults, and a calm end in which all must be well."""

# ruff: noqa: S311 - a run must be repeatable, nothing is secret

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from eip_arbiter.decision.snapshot import Address
from eip_arbiter.decision.snapshot import Node as NodeFacts
from eip_arbiter.operate import operations

from simulation import clock, operators, shims, truth
from simulation.acts import Scene
from simulation.clock import EPOCH_SECONDS, Loop
from simulation.configuration import Configuration
from simulation.ec2 import Instance
from simulation.faults import ACTS, Fault
from simulation.invocation import Invocation
from simulation.node import Node
from simulation.pacemaker import PacemakerCluster
from simulation.pacemaker_state import Peer
from simulation.region import Region
from simulation.setup import Setup
from simulation.watch import NEVER, Watch
from simulation.ways import PublicWays
from simulation.weather import Weather


class SimulatedCluster:
    """The nodes of one cluster."""

    def __init__(self, world: World, index: int, setup: Setup) -> None:
        self.cluster_id = f"c{index + 1}"
        resources = ("eip", "web" if setup.plain else "vip")[: setup.addresses]
        size = setup.sizes[index]
        names = [f"n{number}" for number in range(1, size + 1)]
        self.spares = {names[-1]} if setup.spares[index : index + 1] == (True,) else set()
        self.unable: set[str] = set()
        """Nodes that are kept off a resource for good."""

        configuration = Configuration(
            [name for name in names if name not in self.spares],
            setup.stops_without_quorum,
            setup.blocks,
            plain=frozenset(resources[1:]) if setup.plain else frozenset(),
        )
        if setup.later:
            configuration.absent.update(resources[1:])
        self.nodes: list[Node] = []
        self.pacemaker = PacemakerCluster(
            world.loop,
            random.Random(f"{setup.seed} pacemaker {index}"),
            size=size,
            configuration=configuration,
            resources=resources,
            token_seconds=setup.token_seconds,
            start_seconds=setup.start_seconds,
            run=lambda peer, *rest: self._at(peer).run_resource_agent(*rest),
            saw_link=lambda peer: self._links_changed(self._at(peer)),
            alert=lambda peer: self._alert(self._at(peer)),
        )
        for peer in self.pacemaker.peers.values():
            number = 16 * (index + 1) + peer.number
            node = Node(
                world.region,
                self.pacemaker,
                peer,
                cluster_id=self.cluster_id,
                instance_id=f"i-{number:017x}",
                interface_id=f"eni-{number:017x}",
                rng=random.Random(f"{setup.seed} node {index} {peer.number}"),
                tell=world.tell,
            )
            self.nodes.append(node)
            if node.name in self.spares:
                node.stays_off = True
                world.region.ec2.untagged.add(node.instance_id)
            ips = tuple(f"10.{index}.{n}.{peer.number}" for n in range(len(resources)))
            facts = NodeFacts(node.instance_id, node.interface_id, ips)
            world.region.ec2.instances[node.instance_id] = Instance(self.cluster_id, facts)
        for number, resource in enumerate(resources, 1):
            allocation_id = f"eipalloc-{16 * (index + 1) + number:017x}"
            address = Address(resource, allocation_id, f"203.0.{index}.{number}", number - 1)
            world.region.ec2.addresses[allocation_id] = (self.cluster_id, address)
            if setup.later and number > 1:
                world.region.ec2.untagged.add(allocation_id)

    def node(self, fault: Fault) -> Node:
        """The node that a fault is about."""
        return self.nodes[fault.node % len(self.nodes)]

    def may_lose(self, node: Node) -> bool:
        """Whether the cluster can serve without a node for good."""
        configuration = self.pacemaker.configuration
        left = [n for n in self.nodes if n is not node and not n.stays_off]
        able = [n for n in left if n.name not in self.unable]
        enough = len(left) * 2 > len(configuration.names) or not configuration.strict
        # Not by a quorum device: it is there for a while only.
        return bool(able) and enough

    def _at(self, peer: Peer) -> Node:
        return self.nodes[peer.number - 1]

    @staticmethod
    def _links_changed(node: Node) -> None:
        if node.agent:
            node.agent.links_changed()

    @staticmethod
    def _alert(node: Node) -> None:
        if node.agent:
            node.agent.push()
            node.agent.links_changed()


@dataclass
class Result:
    """What came of a run."""

    setup: Setup
    violations: list[str] = field(default_factory=list)
    injected: Counter[str] = field(default_factory=Counter)
    happened: Counter[str] = field(default_factory=Counter)
    moves: Counter[str] = field(default_factory=Counter)
    claim_to_grant: list[float] = field(default_factory=list)
    wrong_place: list[float] = field(default_factory=list)
    moves_per_fault: Counter[int] = field(default_factory=Counter)
    counts: Counter[str] = field(default_factory=Counter)
    settle_seconds: float = 0.0
    recovery: list[float] = field(default_factory=list)
    simulated_seconds: float = 0.0
    events: int = 0
    timeline: list[str] = field(default_factory=list)


class World:
    """One run of one setup."""

    def __init__(self, setup: Setup, *, keep_timeline: bool = False) -> None:
        self.setup = setup
        self.result = Result(setup)
        self._keep_timeline = keep_timeline
        self.loop = clock.CURRENT.loop = Loop()
        self.rng = random.Random(f"{setup.seed} world")
        self.weather = Weather(random.Random(f"{setup.seed} weather"), dict(setup.climate))
        self.weather.now = lambda: self.loop.now
        self.watch = Watch(self)
        self.region = Region(
            self.loop, random.Random(f"{setup.seed} region"), self.weather, self.watch, self.tell
        )
        self.region.calm_from = setup.calm_from
        self.region.skews = setup.skews
        self.region.set_policy(
            release_ms=setup.release_ms, answer_ms=setup.answer_ms, drift_ms=setup.drift_ms
        )
        self.region.metadata_lag_seconds = setup.metadata_lag_seconds
        self.clusters = [SimulatedCluster(self, i, setup) for i in range(len(setup.sizes))]
        if setup.public_ways:
            self.region.ec2.told = PublicWays(self.clusters, setup.seed).landed
        self.ended = False

    def tell(self, sentence: str) -> None:
        """A line of the timeline, where it is kept."""
        if self._keep_timeline:
            self.result.timeline.append(f"{self.loop.now:9.3f}  {sentence}")

    def begin(self) -> None:
        """Powers the nodes on, and puts the schedule into the queue."""
        for cluster in self.clusters:
            for node in cluster.nodes:
                if not node.stays_off:
                    node.boot()
        for fault in self.setup.faults:
            self.loop.at(fault.at, lambda f=fault: self._begin(f))  # type: ignore[misc]
        self.loop.at(self.setup.calm_from, self._calm)

    def run(self) -> Result:
        """Runs it to its end and returns what was found."""
        self.begin()
        result = self.result
        self.watch.run()
        result.violations = self.watch.violations
        result.happened = self.weather.happened
        result.simulated_seconds, result.events = self.loop.now, self.loop.events
        return result

    def _begin(self, fault: Fault) -> None:
        cluster = self.clusters[fault.cluster]
        self.tell(f"FAULT {fault}")
        self.result.injected[fault.kind] += 1
        self.watch.fault(cluster, fault)
        end = ACTS[fault.kind](Scene(self, cluster, fault))
        if end is not None:
            self.loop.at(fault.seconds, lambda: self._end(fault, end))

    def _end(self, fault: Fault, end: Any) -> None:
        self.tell(f"fault is over: {fault}")
        self.watch.fault_over(self.clusters[fault.cluster], fault)
        end()

    def _calm(self) -> None:
        """All faults end, all that is down comes up."""
        self.tell("CALM: all faults are over")
        self.weather.clear()
        for cluster in self.clusters:
            snapshot = self.region.store.read(cluster.cluster_id)
            if snapshot and snapshot.paused_until_ms:
                self.operator_resume(cluster)
            cluster.pacemaker.corosync.heal()
            cluster.pacemaker.configuration.heal()
            for resource in sorted(cluster.pacemaker.configuration.disabled):
                cluster.pacemaker.enable(resource)
            cluster.pacemaker.configured()
            for node in cluster.nodes:
                node.cuts_from_aws = 0
                node.troubles.clear()
                if node.stays_off:
                    continue
                if not node.powered:
                    node.boot()
                elif node.peer.stack != "up":
                    node.start_stack()

    # What faults do beyond nodes.

    def tell_instance_state(self, node: Node, state: str) -> None:
        """EC2 says on the default bus what becomes of an instance."""
        self.watch.instance_goes(node)
        arbiter, said_at_ms = self.region.arbiter, int((self.loop.now + EPOCH_SECONDS) * 1000)
        self.region.publish(lambda: arbiter.on_instance_state(node.instance_id, state, said_at_ms))

    def jump_arbiter_clock(self, seconds: float) -> None:
        """The functions' clock is set."""
        self.region.clock_offset += seconds
        self.watch.clock_jumped(seconds)

    def operator_failover(self, cluster: SimulatedCluster, node: Node, *, force: bool) -> None:
        """An operator moves an address."""
        resource = self.rng.choice(node.resources)
        payload = {"verb": "failover", "target": node.name, "force": force}
        self._operator_orders(cluster, node, resource, payload)

    def operator_switchover(self, cluster: SimulatedCluster, node: Node) -> None:
        """An operator asks Pacemaker to move a resource off the node that runs it."""
        resource = self.rng.choice(node.resources)
        holders = [n.name for n in cluster.nodes if truth.runs(n, resource)]
        payload = {"verb": "switchover", "target": node.name, "holder": (holders or ["n1"])[0]}
        self._operator_orders(cluster, node, resource, payload)

    def _operator_orders(
        self, cluster: SimulatedCluster, node: Node, resource: str, payload: dict[str, Any]
    ) -> None:
        number = f"order-{self.loop.events}"
        payload |= {"cluster": cluster.cluster_id, "resource": resource, "by": f"op-{number}"}
        asked_at = self.loop.now

        def answered(answer: Any, invocation: Invocation) -> None:
            self.tell(f"operator: {payload} -> {answer}")
            self.watch.check(operators.answer_is_true, payload, answer, invocation)
            verb = payload["verb"]
            if invocation.store is not self.region.store:
                return  # a table of before took it
            self.watch.ordered(node, resource, number, verb=verb, asked_at=asked_at, answer=answer)

        arbiter = self.region.arbiter
        self.region.call(lambda: operations.operate(arbiter, payload, number), answered)

    def operator_pause(self, cluster: SimulatedCluster, *, again: bool = False) -> None:
        """An operator pauses a cluster for long; what is answered counts.

        With `again`, another one pauses it for a minute only, a moment later.
        """
        payload = {"verb": "pause", "cluster": cluster.cluster_id, "minutes": 60}
        shorter = {**payload, "minutes": 1}
        asked_at = self.loop.now

        def another() -> None:
            if asked_at > self.watch.resumed_at.get(cluster.cluster_id, NEVER):
                self._operate(shorter, lambda _: None)

        def answered(answer: Any) -> None:
            self.tell(f"operator: {payload} -> {answer}")
            self.watch.paused(cluster, asked_at, answer)
            if asked_at <= self.watch.resumed_at.get(cluster.cluster_id, NEVER):
                # Whoever resumed meanwhile sees that the pause came last.
                self.operator_resume(cluster)
            elif again and cluster.cluster_id in self.watch.paused_from:
                self.loop.at(3.0, another)

        self._operate(payload, answered)

    def operator_resume(self, cluster: SimulatedCluster) -> None:
        """An operator resumes a cluster, and asks again until that is done."""
        payload = {"verb": "resume", "cluster": cluster.cluster_id}
        self.watch.resumed(cluster)

        def answered(answer: Any) -> None:
            self.tell(f"operator: {payload} -> {answer}")
            snapshot = self.region.store.read(cluster.cluster_id)
            if snapshot and snapshot.paused_until_ms:
                self.loop.at(1.0, again)

        def again() -> None:
            if cluster.cluster_id not in self.watch.paused_from:  # else it was paused anew
                self._operate(payload, answered)

        again()

    def operator_acknowledge(self, cluster: SimulatedCluster) -> None:
        """An operator has seen that an address flaps."""
        resource = self.rng.choice(cluster.nodes[0].resources)
        payload = {"verb": "acknowledge", "cluster": cluster.cluster_id, "resource": resource}
        self._operate(payload, lambda answer: self.tell(f"operator: {payload} -> {answer}"))

    def _operate(self, payload: dict[str, Any], answered: Callable[[Any], None]) -> None:
        arbiter, number = self.region.arbiter, f"request-{self.loop.events}"
        payload = {**payload, "by": f"op-{number}"}

        def told(answer: Any, invocation: Invocation) -> None:
            self.watch.check(operators.answer_is_true, payload, answer, invocation)
            answered(answer)

        self.region.call(lambda: operations.operate(arbiter, payload, number), told)

    def meddle(self, cluster: SimulatedCluster, node: Node, *, takes_off: bool) -> None:
        """Somebody changes an association by hand."""
        ec2 = self.region.ec2
        resource = self.rng.choice(node.resources)
        allocation_id, address = next(
            (i, a)
            for i, (c, a) in ec2.addresses.items()
            if c == cluster.cluster_id and a.resource == resource
        )
        now, lag = self.loop.now, self.rng.uniform(0.2, 8.0)
        where = ec2.locate(allocation_id)
        self.tell(f"somebody meddles with {address.public_ip}")
        if takes_off and where:
            ec2.disassociate(now, where.association_id, term=-2, asked_at=now, lag=lag)
        else:
            ip = ec2.instances[node.instance_id].node.private_ips[address.private_ip_index]
            ec2.associate(now, allocation_id, node.interface_id, ip, term=-2, asked_at=now, lag=lag)


def run(setup: Setup, *, keep_timeline: bool = False) -> Result:
    """Runs a setup once; the same setup always gives the same result."""
    with shims.installed():
        return World(setup, keep_timeline=keep_timeline).run()
