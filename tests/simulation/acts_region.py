"""What faults do to services for long, to tags, to the table, and by a node's own keys."""

from __future__ import annotations

import dataclasses

from eip_contract.fields import MAX_COUNTER

from simulation.acts import Act, End, Scene

FLOOD_SECONDS = 0.25


def outage(*kinds: str) -> Act:
    """Services answer nothing at all."""

    def begin(scene: Scene) -> End | None:
        weather = scene.world.weather
        for kind in kinds:
            weather.begin(kind, 1.0)

        def end() -> None:
            for kind in kinds:
                weather.end(kind, 1.0)

        return end

    begin.__doc__ = f"{' and '.join(kinds)}, all the time."
    return begin


def _restart_agents(scene: Scene) -> None:
    for node in scene.cluster.nodes:
        if node.powered and not node.peer.process.frozen:
            node.restart_agent(cleanly=True)


def later_address(scene: Scene) -> End | None:
    """A second address takes the first one's place on the interfaces, as the tags say now.

    The runbook has the agents restarted after it; some forget that for a while.
    """
    ec2, cluster = scene.world.region.ec2, scene.cluster
    ours = {i: a for i, (owner, a) in ec2.addresses.items() if owner == cluster.cluster_id}
    later = [i for i in ours if i in ec2.untagged]
    if not later:
        return None
    for allocation_id, address in ours.items():
        index = 0 if allocation_id in later else 1
        changed = dataclasses.replace(address, private_ip_index=index)
        ec2.addresses[allocation_id] = (cluster.cluster_id, changed)
    ec2.untagged.difference_update(later)
    seconds = 0.0 if scene.fault.amount < 0.7 else 20.0
    resource = ours[later[0]].resource
    scene.later(seconds, lambda: _restart_agents(scene))

    def configure() -> None:
        cluster.pacemaker.configuration.absent.discard(resource)
        cluster.pacemaker.configured()

    scene.later(seconds + 8.0, configure)
    return None


def wrong_resource_tag(scene: Scene) -> End | None:
    """Somebody writes another resource's name into an address's tag, and puts it right later."""
    ec2, cluster_id = scene.world.region.ec2, scene.cluster.cluster_id
    ours = [i for i, (owner, _) in ec2.addresses.items() if owner == cluster_id]
    allocation_id = ours[int(scene.fault.amount * len(ours))]
    address = ec2.addresses[allocation_id][1]
    if address.resource not in scene.node.resources or allocation_id in ec2.untagged:
        return None
    wrong = dataclasses.replace(address, resource=f"{address.resource}-old")
    ec2.retagged[allocation_id] = wrong
    restarts = scene.fault.amount < 0.7
    if restarts:
        _restart_agents(scene)

    def end() -> None:
        ec2.retagged.pop(allocation_id, None)
        if restarts:
            _restart_agents(scene)

    return end


def untag_node(scene: Scene) -> End | None:
    """A node's cluster tag is taken away, and given back later; its agent may be restarted."""
    node, untagged = scene.node, scene.world.region.ec2.untagged
    if node.stays_off or node.instance_id in untagged:
        return None
    untagged.add(node.instance_id)
    scene.world.watch.untagged(node)
    restarts = scene.fault.amount < 0.7
    if restarts and node.powered and not node.peer.process.frozen:
        node.restart_agent(cleanly=True)

    def end() -> None:
        scene.world.watch.tagged_again(node)
        untagged.discard(node.instance_id)
        if restarts and node.powered and not node.peer.process.frozen:
            node.restart_agent(cleanly=True)

    return end


def new_table(scene: Scene) -> End | None:
    """The table is replaced by an empty one: another stack, or a table that was lost."""
    scene.world.region.new_table()
    return None


def forged_counter(scene: Scene) -> End | None:
    """Whoever has a node's keys reports once with the highest counters that there are."""
    node = scene.node
    last = node.agent.last_report if node.agent else None
    if last is not None:
        forged = dataclasses.replace(last, incarnation=MAX_COUNTER, seq=MAX_COUNTER)
        scene.world.region.report(forged)
    return None


def flood(scene: Scene) -> End | None:
    """Whoever has a node's keys names another cluster, or another start, in each report."""
    node, world = scene.node, scene.world
    over: list[bool] = []
    count = [0]

    def again() -> None:
        last = node.agent.last_report if node.agent else None
        if over:
            return
        if last is not None and node.powered:
            count[0] += 1
            changes = (
                {"cluster_id": f"other-{count[0]}"}
                if scene.fault.amount < 0.5
                else {"incarnation": last.incarnation + count[0], "seq": 0}
            )
            world.region.report(dataclasses.replace(last, **changes))
        world.loop.at(FLOOD_SECONDS, again)

    again()

    # Its own reports are old beside the flood's, until the agent reads that and goes on above them.
    return lambda: over.append(True)
