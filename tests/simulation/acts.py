"""What faults do: each begins in a scene, and returns what ends it, if anything has to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from simulation import truth

if TYPE_CHECKING:
    from simulation.faults import Fault
    from simulation.node import Node
    from simulation.world import SimulatedCluster, World

End = Callable[[], Any]


@dataclass(frozen=True, slots=True)
class Scene:
    """Where a fault happens."""

    world: World
    cluster: SimulatedCluster
    fault: Fault

    @property
    def node(self) -> Node:
        """The node that the fault is about."""
        return self.cluster.node(self.fault)

    def later(self, seconds: float, act: Callable[[], Any]) -> None:
        """Does something so much later, unless the calm has begun by then."""
        loop, calm_from = self.world.loop, self.world.setup.calm_from
        loop.at(seconds, lambda: act() if loop.now < calm_from else None)


Act = Callable[[Scene], End | None]


def crash(scene: Scene) -> End | None:
    """Power loss; the node comes back later."""
    node = scene.node
    if not node.powered:
        return None
    node.cut_power()
    return lambda: None if node.powered or node.stays_off else node.boot()


def stop_instance(scene: Scene) -> End | None:
    """The instance is stopped in EC2, which says so; it is started again later."""
    node = scene.node
    if not node.powered:
        return None
    scene.world.tell_instance_state(node, "stopping")

    def off() -> None:
        if node.powered:
            node.cut_power()
        scene.world.tell_instance_state(node, "stopped")

    scene.world.loop.at(1.0 + 20.0 * scene.fault.amount, off)

    def on() -> None:
        scene.world.loop.at(25.0, lambda: None if node.powered or node.stays_off else node.boot())

    return on


def stop_stack(scene: Scene) -> End | None:
    """A planned stop of Pacemaker and Corosync."""
    node = scene.node
    if node.peer.stack != "up":
        return None
    scene.cluster.pacemaker.stop(node.peer)

    def back() -> None:
        node.peer.leaving = False
        if node.powered and node.peer.stack == "down":
            node.start_stack()

    return back


def kill_corosync(scene: Scene) -> End | None:
    """Corosync dies under Pacemaker; somebody restarts the stack later."""
    node = scene.node
    if node.peer.stack != "up":
        return None
    scene.cluster.pacemaker.lose(node.peer, "dead")

    def back() -> None:
        if node.powered and node.peer.stack == "dead":
            node.start_stack()

    return back


def freeze(scene: Scene) -> End | None:
    """The whole node stands still and goes on later."""
    node = scene.node
    if not node.powered:
        return None
    node.freeze()
    return node.thaw


def freeze_agent(scene: Scene) -> End | None:
    """The agent alone hangs; systemd's watchdog starts it anew."""
    node = scene.node
    if not node.powered or node.agent is None:
        return None
    agent = node.agent
    scene.world.loop.freeze(agent.process)

    def watchdog() -> None:
        if node.powered and node.agent is agent:
            node.restart_agent(cleanly=False)

    return watchdog


def restart_agent(scene: Scene) -> End | None:
    """The agent is restarted, or crashes and is started by systemd."""
    node = scene.node
    if node.powered:
        node.restart_agent(cleanly=scene.fault.amount < 0.5)
    return None


def cut_pairs(cluster: SimulatedCluster, pairs: list[tuple[str, str]]) -> Callable[[], None]:
    """Cuts pairs of nodes from each other; returns what heals that."""
    corosync = cluster.pacemaker.corosync
    for a, b in pairs:
        corosync.cut(a, b, 1)
    corosync.refresh()

    def heal() -> None:
        for a, b in pairs:
            corosync.cut(a, b, -1)
        corosync.refresh()

    return heal


def _split(scene: Scene) -> list[tuple[str, str]]:
    fault, names = scene.fault, scene.cluster.pacemaker.names
    size = 1 + int(fault.amount * (len(names) - 1))
    start = fault.node % len(names)
    group = [(names + names)[start + i] for i in range(min(size, len(names) - 1))]
    return [(a, b) for a in group for b in names if b not in group]


def partition(scene: Scene) -> End | None:
    """A group of nodes and the rest cannot hear each other."""
    return cut_pairs(scene.cluster, _split(scene))


def partition_one_way(scene: Scene) -> End | None:
    """One pair of nodes is cut, the others hear both."""
    names = scene.cluster.pacemaker.names
    a = scene.fault.node % len(names)
    b = (a + 1 + int(scene.fault.amount * (len(names) - 1))) % len(names)
    return cut_pairs(scene.cluster, [(names[a], names[b if b != a else (a + 1) % len(names)])])


def partition_flapping(scene: Scene) -> End | None:
    """A partition that comes and goes."""
    pairs = _split(scene)
    state: dict[str, Callable[[], None] | None] = {"heal": None, "over": None}

    def flip() -> None:
        if state["over"]:
            return
        heal = state["heal"]
        if heal:
            heal()
            state["heal"] = None
        else:
            state["heal"] = cut_pairs(scene.cluster, pairs)
        scene.world.loop.at(scene.world.rng.uniform(0.2, 6.0), flip)

    flip()

    def end() -> None:
        state["over"] = end
        if heal := state["heal"]:
            heal()

    return end


def cut_aws(scene: Scene) -> End | None:
    """A node cannot reach AWS."""
    node = scene.node
    node.cuts_from_aws += 1

    def end() -> None:
        node.cuts_from_aws -= 1

    return end


def cut_aws_all(scene: Scene) -> End | None:
    """No node of the cluster can reach AWS."""
    for node in scene.cluster.nodes:
        node.cuts_from_aws += 1

    def end() -> None:
        for node in scene.cluster.nodes:
            node.cuts_from_aws -= 1

    return end


def node_clock(scene: Scene) -> End | None:
    """A node's wall clock jumps."""
    scene.node.jump_clock(600.0 * (scene.fault.amount - 0.5))
    return None


def arbiter_clock(scene: Scene) -> End | None:
    """The clock of the functions is off for a while."""
    seconds = 4.0 * (scene.fault.amount - 0.5)
    scene.world.jump_arbiter_clock(seconds)
    return lambda: scene.world.jump_arbiter_clock(-seconds)


def order(scene: Scene) -> End | None:
    """An operator's failover."""
    scene.world.operator_failover(scene.cluster, scene.node, force=scene.fault.amount < 0.2)
    return None


def switchover(scene: Scene) -> End | None:
    """An operator's switchover, often to the node that runs it already, which is refused."""
    scene.world.operator_switchover(scene.cluster, scene.node)
    return None


def disable(scene: Scene) -> End | None:
    """An operator disables a resource in Pacemaker, and enables it later."""
    pacemaker = scene.cluster.pacemaker
    resource = scene.world.rng.choice(scene.node.resources)
    pacemaker.disable(resource)
    return lambda: pacemaker.enable(resource)


def claim_at_release(scene: Scene) -> End | None:
    """Nobody is to run a resource, and it may run again just as its address is taken off."""
    pacemaker, amount = scene.cluster.pacemaker, scene.fault.amount
    resource = scene.node.resources[0]
    pacemaker.disable(resource)
    # A second more or less: the report that finds it unused, the commit and the call lie there.
    seconds = scene.world.setup.release_ms / 1000 + 14.0 * amount
    scene.world.loop.at(seconds, lambda: pacemaker.enable(resource))
    return None


def lone_return(scene: Scene) -> End | None:
    """The active node loses peers and AWS, and is restarted in that solitude."""
    cluster, loop = scene.cluster, scene.world.loop
    active = [n for n in cluster.nodes if truth.runs(n, n.resources[0])]
    node = (active or [scene.node])[0]
    node.cuts_from_aws += 1
    scene.world.watch.disturb(node)
    heal = cut_pairs(
        cluster, [(node.name, other.name) for other in cluster.nodes if other is not node]
    )

    def stop() -> None:
        if node.peer.stack == "up":
            cluster.pacemaker.stop(node.peer)

    def back() -> None:
        node.peer.leaving = False
        if node.powered and node.peer.stack == "down":
            node.start_stack()

    loop.at(2.0, stop)
    loop.at(12.0 + 15.0 * scene.fault.amount, back)

    def end() -> None:
        node.cuts_from_aws -= 1
        scene.world.watch.disturb(node)
        heal()
        back()

    return end


def claim_kept_back(scene: Scene) -> End | None:
    """EventBridge keeps a claim back, and nothing newer of that node comes through before it."""
    cluster, loop, region = scene.cluster, scene.world.loop, scene.world.region
    idle = [n for n in cluster.nodes if not truth.runs(n, n.resources[0])]
    node = (idle or [scene.node])[0]
    scene.world.watch.disturb(node)
    ending: list[Callable[[], None]] = [
        cut_pairs(cluster, [(node.name, n.name) for n in cluster.nodes if n is not node])
    ]
    over: list[bool] = []

    def heal() -> None:
        if ending:
            ending.pop()()

    def keep_back() -> None:
        if not over:
            region.keep_back(node.instance_id)

    # By then its first claims were refused, and the challenge is known.
    loop.at(4.0 + 6.0 * scene.fault.amount, keep_back)
    loop.at(12.0 + 8.0 * scene.fault.amount, heal)

    def end() -> None:
        over.append(True)
        heal()
        region.let_go(node.instance_id)
        scene.world.watch.disturb(node)

    return end


def interface_refused(scene: Scene) -> End | None:
    """EC2 associates nothing with a node's interface: it was replaced, or is not tagged."""
    refused, interface = scene.world.region.ec2.refused, scene.node.interface_id
    refused[interface] += 1
    return lambda: refused.subtract([interface])


def pause(scene: Scene) -> End | None:
    """An operator pauses the cluster and resumes it later; another may pause it for less."""
    scene.world.operator_pause(scene.cluster, again=scene.fault.amount > 0.6)
    return lambda: scene.world.operator_resume(scene.cluster)


def acknowledge(scene: Scene) -> End | None:
    """An operator clears the flap brake."""
    scene.world.operator_acknowledge(scene.cluster)
    return None


def drift(scene: Scene) -> End | None:
    """Somebody takes the address off by hand, or puts it elsewhere."""
    scene.world.meddle(scene.cluster, scene.node, takes_off=scene.fault.amount < 0.5)
    return None


def weather(kind: str, low: float, high: float) -> Act:
    def begin(scene: Scene) -> End | None:
        level = low + (high - low) * scene.fault.amount
        scene.world.weather.begin(kind, level)
        return lambda: scene.world.weather.end(kind, level)

    begin.__doc__ = f"{kind} becomes likely in the region."
    return begin
