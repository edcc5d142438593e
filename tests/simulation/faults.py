"""Faults: what can be done to nodes, networks, the region and people's nerves, and schedules of it.

A fault is a value: kind, when, for how long, on what, and a number that each kind reads in its own
way. A run's schedule is a list of them, so that one can be dropped and the run repeated.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from simulation.world import SimulatedCluster, World


@dataclass(frozen=True, slots=True)
class Fault:
    """`cluster` and `node` count from 0; `amount` is from 0 to 1."""

    kind: str
    at: float
    seconds: float
    cluster: int
    node: int
    amount: float

    def __str__(self) -> str:
        where = f"c{self.cluster + 1}/n{self.node + 1}"
        return f"{self.kind} at {self.at:.2f} s for {self.seconds:.2f} s on {where}, {self.amount:.3f}"


Act = Callable[["World", "SimulatedCluster", Fault], Callable[[], None] | None]
"""Begins a fault; returns what ends it, if anything has to."""


def node_of(cluster: SimulatedCluster, fault: Fault) -> object:
    """The node that a fault is about."""
    return cluster.nodes[fault.node % len(cluster.nodes)]


def crash(world: World, cluster: SimulatedCluster, fault: Fault) -> Callable[[], None] | None:
    """Power loss; the node comes back later."""
    node = cluster.node(fault)
    if not node.powered:
        return None
    node.cut_power()
    return lambda: None if node.powered else node.boot()


def stop_instance(world: World, cluster: SimulatedCluster, fault: Fault) -> Callable[[], None] | None:
    """The instance is stopped in EC2, which says so; it is started again later."""
    node = cluster.node(fault)
    if not node.powered:
        return None
    world.tell_instance_state(node, "stopping")

    def off() -> None:
        if node.powered:
            node.cut_power()
        world.tell_instance_state(node, "stopped")

    world.loop.at(1.0 + 20.0 * fault.amount, off)

    def on() -> None:
        if not node.powered:
            node.boot()

    return lambda: world.loop.at(25.0, on) and None


def stop_stack(world: World, cluster: SimulatedCluster, fault: Fault) -> Callable[[], None] | None:
    """A planned stop of Pacemaker and Corosync."""
    node = cluster.node(fault)
    if node.peer.stack != "up":
        return None
    cluster.pacemaker.stop(node.peer)

    def back() -> None:
        node.peer.leaving = False
        if node.powered and node.peer.stack == "down":
            node.start_stack()

    return back


def kill_corosync(world: World, cluster: SimulatedCluster, fault: Fault) -> Callable[[], None] | None:
    """Corosync dies under Pacemaker; somebody restarts the stack later."""
    node = cluster.node(fault)
    if node.peer.stack != "up":
        return None
    cluster.pacemaker.lose(node.peer, "dead")

    def back() -> None:
        if node.powered and node.peer.stack == "dead":
            node.start_stack()

    return back


def freeze(world: World, cluster: SimulatedCluster, fault: Fault) -> Callable[[], None] | None:
    """The whole node stands still and goes on later."""
    node = cluster.node(fault)
    if not node.powered:
        return None
    node.freeze()
    return node.thaw


def freeze_agent(world: World, cluster: SimulatedCluster, fault: Fault) -> Callable[[], None] | None:
    """The agent alone hangs; systemd's watchdog starts it anew."""
    node = cluster.node(fault)
    if not node.powered or node.agent is None:
        return None
    agent = node.agent
    world.loop.freeze(agent.process)

    def watchdog() -> None:
        if node.powered and node.agent is agent:
            node.restart_agent(cleanly=False)

    return watchdog


def restart_agent(world: World, cluster: SimulatedCluster, fault: Fault) -> Callable[[], None] | None:
    """The agent is restarted, or crashes and is started by systemd."""
    node = cluster.node(fault)
    if node.powered:
        node.restart_agent(cleanly=fault.amount < 0.5)  # noqa: PLR2004
    return None


def _cut_pairs(cluster: SimulatedCluster, pairs: list[tuple[str, str]]) -> Callable[[], None]:
    corosync = cluster.pacemaker.corosync
    for a, b in pairs:
        corosync.cut(a, b, 1)
    corosync.refresh()

    def heal() -> None:
        for a, b in pairs:
            corosync.cut(a, b, -1)
        corosync.refresh()

    return heal


def _split(cluster: SimulatedCluster, fault: Fault) -> list[tuple[str, str]]:
    names = cluster.pacemaker.names
    size = 1 + int(fault.amount * (len(names) - 1))
    start = fault.node % len(names)
    group = [(names + names)[start + i] for i in range(min(size, len(names) - 1))]
    return [(a, b) for a in group for b in names if b not in group]


def partition(world: World, cluster: SimulatedCluster, fault: Fault) -> Callable[[], None] | None:
    """A group of nodes and the rest cannot hear each other."""
    return _cut_pairs(cluster, _split(cluster, fault))


def partition_one_way(world: World, cluster: SimulatedCluster, fault: Fault) -> Callable[[], None] | None:
    """One pair of nodes is cut, the others hear both."""
    names = cluster.pacemaker.names
    a = fault.node % len(names)
    b = (a + 1 + int(fault.amount * (len(names) - 1))) % len(names)
    return _cut_pairs(cluster, [(names[a], names[b if b != a else (a + 1) % len(names)])])


def partition_flapping(
    world: World, cluster: SimulatedCluster, fault: Fault
) -> Callable[[], None] | None:
    """A partition that comes and goes."""
    pairs = _split(cluster, fault)
    state: dict[str, Callable[[], None] | None] = {"heal": None, "over": None}

    def flip() -> None:
        if state["over"]:
            return
        heal = state["heal"]
        if heal:
            heal()
            state["heal"] = None
        else:
            state["heal"] = _cut_pairs(cluster, pairs)
        world.loop.at(world.rng.uniform(0.2, 6.0), flip)

    flip()

    def end() -> None:
        state["over"] = end
        if heal := state["heal"]:
            heal()

    return end


def cut_aws(world: World, cluster: SimulatedCluster, fault: Fault) -> Callable[[], None] | None:
    """A node cannot reach AWS."""
    node = cluster.node(fault)
    node.cuts_from_aws += 1

    def end() -> None:
        node.cuts_from_aws -= 1

    return end


def cut_aws_all(world: World, cluster: SimulatedCluster, fault: Fault) -> Callable[[], None] | None:
    """No node of the cluster can reach AWS."""
    for node in cluster.nodes:
        node.cuts_from_aws += 1

    def end() -> None:
        for node in cluster.nodes:
            node.cuts_from_aws -= 1

    return end


def node_clock(world: World, cluster: SimulatedCluster, fault: Fault) -> Callable[[], None] | None:
    """A node's wall clock jumps."""
    cluster.node(fault).jump_clock(60.0 * (fault.amount - 0.5))
    return None


def arbiter_clock(world: World, cluster: SimulatedCluster, fault: Fault) -> Callable[[], None] | None:
    """The clock of the functions is off for a while."""
    seconds = 4.0 * (fault.amount - 0.5)
    world.jump_arbiter_clock(seconds)
    return lambda: world.jump_arbiter_clock(-seconds)


def order(world: World, cluster: SimulatedCluster, fault: Fault) -> Callable[[], None] | None:
    """An operator's failover."""
    world.operator_failover(cluster, cluster.node(fault), force=fault.amount < 0.2)  # noqa: PLR2004
    return None


def pause(world: World, cluster: SimulatedCluster, fault: Fault) -> Callable[[], None] | None:
    """An operator pauses the cluster and resumes it later."""
    world.operator_pause(cluster)
    return lambda: world.operator_resume(cluster)


def acknowledge(world: World, cluster: SimulatedCluster, fault: Fault) -> Callable[[], None] | None:
    """An operator clears the flap brake."""
    world.operator_acknowledge(cluster)
    return None


def drift(world: World, cluster: SimulatedCluster, fault: Fault) -> Callable[[], None] | None:
    """Somebody takes the address off by hand, or puts it elsewhere."""
    world.meddle(cluster, cluster.node(fault), takes_off=fault.amount < 0.5)  # noqa: PLR2004
    return None


def _weather(kind: str, low: float, high: float) -> Act:
    def begin(world: World, cluster: SimulatedCluster, fault: Fault) -> Callable[[], None] | None:
        level = low + (high - low) * fault.amount
        world.weather.begin(kind, level)
        return lambda: world.weather.end(kind, level)

    begin.__doc__ = f"{kind} becomes likely in the region."
    return begin


KINDS: dict[str, tuple[float, tuple[float, float], Act]] = {
    "crash": (10, (5.0, 90.0), crash),
    "stop_instance": (3, (30.0, 80.0), stop_instance),
    "stop_stack": (6, (5.0, 60.0), stop_stack),
    "kill_corosync": (3, (5.0, 60.0), kill_corosync),
    "freeze": (8, (0.5, 40.0), freeze),
    "freeze_agent": (4, (5.0, 30.0), freeze_agent),
    "restart_agent": (5, (0.0, 0.0), restart_agent),
    "partition": (12, (0.3, 60.0), partition),
    "partition_one_way": (5, (0.3, 60.0), partition_one_way),
    "partition_flapping": (4, (5.0, 40.0), partition_flapping),
    "cut_aws": (6, (1.0, 90.0), cut_aws),
    "cut_aws_all": (4, (1.0, 90.0), cut_aws_all),
    "node_clock": (2, (0.0, 0.0), node_clock),
    "arbiter_clock": (2, (5.0, 60.0), arbiter_clock),
    "order": (6, (0.0, 0.0), order),
    "pause": (2, (5.0, 60.0), pause),
    "acknowledge": (1, (0.0, 0.0), acknowledge),
    "drift": (2, (0.0, 0.0), drift),
    "event_loss": (3, (5.0, 40.0), _weather("event_loss", 0.1, 0.6)),
    "event_late": (2, (5.0, 40.0), _weather("event_late", 0.1, 0.5)),
    "event_double": (2, (5.0, 40.0), _weather("event_double", 0.2, 1.0)),
    "event_reordered": (2, (5.0, 40.0), _weather("event_reordered", 0.3, 1.0)),
    "publish_error": (2, (5.0, 40.0), _weather("publish_error", 0.2, 1.0)),
    "invocation_crash": (4, (5.0, 40.0), _weather("invocation_crash", 0.1, 0.8)),
    "invocation_stall": (3, (5.0, 40.0), _weather("invocation_stall", 0.05, 0.4)),
    "dynamodb_error": (3, (5.0, 60.0), _weather("dynamodb_error", 0.2, 1.0)),
    "dynamodb_lost_reply": (2, (5.0, 40.0), _weather("dynamodb_lost_reply", 0.1, 0.5)),
    "ec2_error": (4, (5.0, 60.0), _weather("ec2_error", 0.3, 1.0)),
    "ec2_lost_reply": (3, (5.0, 60.0), _weather("ec2_lost_reply", 0.3, 1.0)),
    "ec2_late": (3, (5.0, 60.0), _weather("ec2_late", 0.2, 1.0)),
    "metadata_error": (1, (5.0, 60.0), _weather("metadata_error", 0.3, 1.0)),
}
"""Weight, shortest and longest duration in seconds, and what it does."""


def schedule(rng: random.Random, clusters: int, nodes: int, *, begin: float, end: float, count: int
             ) -> list[Fault]:
    """Faults at any time between, overlapping as they may."""
    names, weights = list(KINDS), [weight for weight, _, _ in KINDS.values()]
    faults = []
    for kind in rng.choices(names, weights, k=count):
        low, high = KINDS[kind][1]
        at = rng.uniform(begin, end)
        # Short ones are as likely as long ones: many races live below a few seconds.
        seconds = low * (high / low) ** rng.random() if low else 0.0
        faults.append(
            Fault(kind, at, min(seconds, end - at), rng.randrange(clusters), rng.randrange(nodes),
                  rng.random())
        )
    return sorted(faults, key=lambda fault: fault.at)


def one_at_a_time(rng: random.Random, clusters: int, nodes: int, *, begin: float, gap: float,
                  count: int) -> list[Fault]:
    """Faults with calm between them, so that what follows is owed to one of them."""
    faults, at = [], begin
    names, weights = list(KINDS), [weight for weight, _, _ in KINDS.values()]
    for kind in rng.choices(names, weights, k=count):
        low, high = KINDS[kind][1]
        seconds = low * (high / low) ** rng.random() if low else 0.0
        faults.append(
            Fault(kind, at, seconds, rng.randrange(clusters), rng.randrange(nodes), rng.random())
        )
        at += seconds + gap
    return faults
