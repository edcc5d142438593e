"""What faults do to a cluster's own tools, its configuration, and its nodes for good."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from simulation import truth
from simulation.acts import Act, End, Scene, cut_pairs
from simulation.node import Node

UNIT = Path(__file__).parents[2] / "node_agent/systemd/eip-agent.service"
MODES = ("hangs", "fails", "not_connected")


def holder_of(scene: Scene, resource: str = "") -> Node:
    """The node that this or the first address is granted to, else the one that the fault names."""
    cluster, resource = scene.cluster, resource or scene.node.resources[0]
    address = truth.address_of(scene.world.watch, cluster.cluster_id, resource)
    return next((n for n in cluster.nodes if n.instance_id == address.holder), scene.node)


def begin_trouble(node: Node, command: str, mode: str) -> Callable[[], None]:
    """A command does not do its work on a node; returns what ends it."""
    node.troubles.setdefault(command, []).append(mode)

    def end() -> None:
        if mode in node.troubles.get(command, []):
            node.troubles[command].remove(mode)

    return end


def trouble(command: str, modes: tuple[str, ...] = MODES) -> Act:
    """A command fails or hangs, at once or again and again, on the holder or on another node."""

    def begin(scene: Scene) -> End | None:
        rng, loop = scene.world.rng, scene.world.loop
        node = holder_of(scene) if scene.fault.amount < 0.5 else scene.node
        mode, again = rng.choice(modes), rng.random() < 0.5
        over: list[bool] = []
        ends = [begin_trouble(node, command, mode)]

        def flip() -> None:
            if over:
                return
            if ends:
                ends.pop()()
            else:
                ends.append(begin_trouble(node, command, mode))
            loop.at(rng.uniform(0.5, 6.0), flip)

        if again:
            loop.at(rng.uniform(0.5, 6.0), flip)

        def end() -> None:
            over.append(True)
            if ends:
                ends.pop()()

        return end

    begin.__doc__ = f"{command} cannot be run, hangs, or answers nothing."
    return begin


def unread_in_a_cut(scene: Scene) -> End | None:
    """The nodes are split, and on one of them `crm_mon` does not answer for a while."""
    cluster, loop, rng = scene.cluster, scene.world.loop, scene.world.rng
    holder = holder_of(scene)
    others = [n for n in cluster.nodes if n is not holder]
    heal = cut_pairs(cluster, [(holder.name, n.name) for n in others])
    node = holder if scene.fault.amount < 0.7 else rng.choice(others)
    mode, seconds = rng.choice(MODES), rng.choice((0.5, 3.0, 20.0))
    seconds = min(seconds, scene.fault.seconds)

    def fail() -> None:
        loop.at(seconds, begin_trouble(node, "crm_mon", mode))

    scene.later(rng.uniform(1.0, scene.fault.seconds - seconds + 1.0), fail)
    return heal


def unread_survivor(scene: Scene) -> End | None:
    """The holder loses power, and `crm_mon` does not answer on the others."""
    cluster, node = scene.cluster, holder_of(scene)
    scene.world.watch.disturb(node)
    if not node.powered:
        return None
    node.cut_power()
    mode = scene.world.rng.choice(MODES)
    seconds = min(30.0, scene.fault.seconds)
    for other in cluster.nodes:
        if other is not node:
            scene.world.loop.at(seconds, begin_trouble(other, "crm_mon", mode))
    return lambda: None if node.powered or node.stays_off else node.boot()


def die(scene: Scene) -> End | None:
    """A node loses power for good; EC2 may say that it is terminated."""
    die_for_good(scene, scene.node, told=scene.fault.amount < 0.5)
    return None


def die_for_good(scene: Scene, node: Node, *, told: bool) -> None:
    """A node loses power and stays off, unless its cluster can lose no more; EC2 may say so."""
    if not node.powered or not scene.cluster.may_lose(node):
        return
    node.cut_power()
    node.stays_off = True
    if told:
        scene.world.tell_instance_state(node, "shutting-down")
        world = scene.world
        world.loop.at(5.0, lambda: world.tell_instance_state(node, "terminated"))


def holder_dies(scene: Scene) -> End | None:
    """The holder loses power, for good if the cluster can do without it."""
    node = holder_of(scene)
    scene.world.watch.disturb(node)
    if not node.powered:
        return None
    if scene.fault.amount < 0.5 and scene.cluster.may_lose(node):
        die_for_good(scene, node, told=scene.fault.amount < 0.25)
        return None
    node.cut_power()
    return lambda: None if node.powered or node.stays_off else node.boot()


def all_but_one_die(scene: Scene) -> End | None:
    """One node is left, which has no quorum where that is real, and EC2 refuses once."""
    nodes = [node for node in scene.cluster.nodes if node.powered and node is not scene.node]
    scene.world.region.ec2.refusing = 1
    for node in nodes:
        scene.world.watch.disturb(node)
        node.cut_power()

    def end() -> None:
        scene.world.region.ec2.refusing = 0
        for node in nodes:
            if not node.powered and not node.stays_off:
                node.boot()

    return end


def order_then_death(scene: Scene) -> End | None:
    """An operator sends an address to a node that dies a moment later, for good if it may."""
    world, node = scene.world, scene.node
    world.operator_failover(scene.cluster, node, force=False)

    def dies() -> None:
        world.watch.disturb(node)
        if scene.cluster.may_lose(node):
            die_for_good(scene, node, told=scene.fault.amount < 0.3)
        elif node.powered:
            node.cut_power()

    scene.later(0.3 + 5.0 * scene.fault.amount, dies)
    return lambda: None if node.powered or node.stays_off else node.boot()


def two_orders(scene: Scene) -> End | None:
    """Two operators, or one who thinks again: two orders close together."""
    world, cluster = scene.world, scene.cluster
    world.operator_failover(cluster, scene.node, force=False)
    other = cluster.nodes[(scene.fault.node + 1) % len(cluster.nodes)]
    seconds = 0.2 + 2.8 * scene.fault.amount
    scene.later(seconds, lambda: world.operator_failover(cluster, other, force=False))
    # A call of the first order is under way when the second one comes.
    world.weather.begin("ec2_slow", 1.0)
    return lambda: world.weather.end("ec2_slow", 1.0)


def counted(scene: Scene, counter: Counter[Any], *keys: Any) -> End:
    """Puts something into the configuration; returns what takes it away."""
    pacemaker = scene.cluster.pacemaker
    counter.update(keys)
    pacemaker.configured()

    def end() -> None:
        for key in keys:
            counter[key] = max(0, counter[key] - 1)
        pacemaker.configured()

    return end


def unmanaged(scene: Scene) -> End | None:
    """An operator has Pacemaker leave a resource alone."""
    configuration = scene.cluster.pacemaker.configuration
    return counted(scene, configuration.unmanaged, scene.world.rng.choice(scene.node.resources))


def maintenance(scene: Scene) -> End | None:
    """An operator has Pacemaker leave everything alone."""
    pacemaker = scene.cluster.pacemaker
    pacemaker.configuration.maintenance += 1
    pacemaker.configured()

    def end() -> None:
        pacemaker.configuration.maintenance = max(0, pacemaker.configuration.maintenance - 1)
        pacemaker.configured()

    return end


def standby(scene: Scene) -> End | None:
    """An operator puts a node on standby, or all of them."""
    every = scene.fault.amount < 0.2
    names = scene.cluster.pacemaker.names if every else [scene.node.name]
    return counted(scene, scene.cluster.pacemaker.configuration.standby, *names)


def ban(scene: Scene) -> End | None:
    """A location constraint keeps a resource off a node; some are forgotten there."""
    cluster = scene.cluster
    resource = scene.world.rng.choice(scene.node.resources)
    stays = scene.fault.amount < 0.3 and cluster.may_lose(scene.node)
    end = counted(scene, cluster.pacemaker.configuration.bans, (resource, scene.node.name))
    if stays:
        cluster.unable.add(scene.node.name)
    return None if stays else end


def red(scene: Scene) -> End | None:
    """A health check takes a node out of service."""
    return counted(scene, scene.cluster.pacemaker.configuration.red, scene.node.name)


def _with_settings(scene: Scene, **wrong: Any) -> End | None:
    """An agent runs with wrong settings until somebody puts them right."""
    node = scene.node
    right = {name: getattr(node, name) for name in wrong}

    def restart(settings: dict[str, Any]) -> None:
        for name, value in settings.items():
            setattr(node, name, value)
        take_effect()

    def take_effect() -> None:
        scene.world.watch.disturb(node)
        if node.powered and node.peer.process.frozen:
            scene.world.loop.at(0.5, take_effect)
        elif node.powered:
            node.restart_agent(cleanly=True)

    already_wrong = any(right[name] == value for name, value in wrong.items())
    if not node.powered or node.stays_off or already_wrong:
        return None
    restart(wrong)
    return lambda: restart(right)


def unnamed(scene: Scene) -> End | None:
    """An agent is restarted with settings that do not name the resources.

    Whoever puts them right cleans up what failed by it: the agent did not cause it.
    """
    node, end = scene.node, _with_settings(scene, watched=("nothing",))
    over: list[bool] = []

    def right() -> None:
        over.append(True)
        if end:
            end()
        tidy()

    def tidy() -> None:
        if node.peer.stack != "up":
            if not node.stays_off:
                scene.world.loop.at(0.5, tidy)
            return
        for resource in node.resources:
            scene.cluster.pacemaker.clear(node.peer, resource)
            scene.cluster.pacemaker.clean_up(node.peer, resource, node.name)

    moved = [n for n in scene.cluster.nodes if n is not node and n.powered]
    if end and moved and node.peer.stack == "up":
        # Somebody has Pacemaker move the resources meanwhile, as in any maintenance.
        pacemaker, target = scene.cluster.pacemaker, moved[0].name

        def move() -> None:
            for resource in node.resources if not over else ():
                pacemaker.move(node.peer, resource, target, 60.0)

        scene.later(10.0, move)
    return right if end else None


def other_name(scene: Scene) -> End | None:
    """A node says that its name is another one's."""
    nodes = scene.cluster.nodes
    other = nodes[(scene.fault.node + 1) % len(nodes)]
    world, cluster = scene.world, scene.cluster
    for node in (other, scene.node):
        seconds = 4.0 + 6.0 * world.rng.random()
        scene.later(seconds, lambda n=node: world.operator_failover(cluster, n, force=False))  # type: ignore[misc]
    return _with_settings(scene, said_name=other.name)


def reboot(scene: Scene) -> End | None:
    """A node is rebooted: systemd stops its units in the order that the agent's unit asks for."""
    node = scene.node
    if not node.powered or node.peer.stack != "up":
        return None
    scene.world.watch.rebooted(node)
    if not agent_outlives_pacemaker() and node.agent:
        node.agent.end(cleanly=True)
    scene.cluster.pacemaker.stop(node.peer)
    loop = scene.world.loop
    loop.at(4.0, lambda: node.cut_power() if node.powered else None)

    def on() -> None:
        if not node.powered and not node.stays_off:
            node.boot()

    # It goes down first, however short the fault is.
    return lambda: loop.at(4.5, on)


@functools.lru_cache(maxsize=1)
def agent_outlives_pacemaker() -> bool:
    """Whether the shipped unit is ordered before Pacemaker's, so that it is stopped after it."""
    lines = UNIT.read_text(encoding="utf-8").splitlines()
    return any(line.startswith("Before=") and "pacemaker.service" in line for line in lines)


def join(scene: Scene) -> End | None:
    """A node that was not there before joins the cluster."""
    spare = next((n for n in scene.cluster.nodes if n.name in scene.cluster.spares), None)
    if spare is None:
        return None
    cluster = scene.cluster
    cluster.spares.discard(spare.name)
    cluster.pacemaker.configuration.names.append(spare.name)
    scene.world.region.ec2.untagged.discard(spare.instance_id)
    spare.stays_off = False
    spare.boot()
    cluster.pacemaker.configured()
    return None


def quorum_device(scene: Scene) -> End | None:
    """A quorum device is added to two nodes, and some are taken away again."""
    pacemaker = scene.cluster.pacemaker
    if pacemaker.configuration.device or len(pacemaker.configuration.names) > 2:
        return None
    pacemaker.configuration.device = True
    pacemaker.configured()

    def end() -> None:
        pacemaker.configuration.device = False
        pacemaker.configured()

    return end if scene.fault.amount < 0.5 else None
