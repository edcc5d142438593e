"""Aimed faults: what has to come within the same seconds, which chance alone hardly ever brings.

Each is the way in which one kind of fault came about, or would come about again.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from eip_contract.fields import MAX_COUNTER
from eip_contract.report import ResourceState, Suspect

from simulation import truth
from simulation.acts import End, Scene, cut_pairs
from simulation.acts_cluster import MODES, begin_trouble, counted, die_for_good, holder_of
from simulation.node import Node

HOUR_MS, CLAIM_MS = 3_600_000, 250
SEEN_SECONDS, STOPPED_SECONDS, HEARD_AGAIN_SECONDS = 1.5, 3.0, 12.0
TWIN_QUIET_SECONDS, TWIN_SECONDS, HEARD_SECONDS = 4.0, 16.0, 18.0
HELD_SECONDS, UNHEARD_SECONDS, STAMP_SECONDS = 110.0, 32.0, 1.3
MEDDLING_SECONDS = (0.0, 25.0, 60.0)
LONG_UNREAD_SECONDS, REFUSED_SECONDS, NEEDED_SECONDS = 36.0, 26.0, 50.0
IDLE_SECONDS, CALL_SECONDS, OVERTAKING_SECONDS = 30.0, 0.4, 0.8


def _plain(scene: Scene) -> str | None:
    """A resource that is watched as it is, without our resource agent."""
    return next((r for r in scene.node.resources if scene.node.is_plain(r)), None)


def _cut_off(scene: Scene, node: Node) -> Callable[[], None]:
    """Cuts a node from all others; returns what heals that."""
    others = [n for n in scene.cluster.nodes if n is not node]
    return cut_pairs(scene.cluster, [(node.name, n.name) for n in others])


def _forge(scene: Scene, node: Node, holder: Node, *, starts_anew: bool) -> None:
    """Says for a node, by its keys, that it lost the holder an hour ago and starts the resource.

    In the name of a start of the agent that is yet to come, or of the one that the table knows.
    """
    region, resource = scene.world.region, node.resources[0]
    snapshot = region.store.read(node.cluster_id)
    known = snapshot.nodes.get(node.instance_id) if snapshot else None
    last = node.agent.last_report if node.agent else None
    if last is None or known is None or known.report is None:
        return
    region.report(
        dataclasses.replace(
            last,
            # Those keys read the table as well.
            incarnation=known.report.incarnation + starts_anew,
            seq=0 if starts_anew else known.report.seq + 1,
            next_report_within_ms=CLAIM_MS,
            cause="claim",
            suspects=(Suspect(holder.said_name, HOUR_MS),),
            resources={**last.resources, resource: ResourceState("starting", HOUR_MS)},
            awaiting=(resource,),
        )
    )


def forged_claim(scene: Scene) -> End | None:
    """Whoever has the keys of a standby says once that it lost the holder long ago, and claims.

    By the time that the holder dies indeed, the standby's own agent is to be heard again.
    """
    holder = holder_of(scene)
    node = next((n for n in scene.cluster.nodes if n is not holder), holder)
    scene.world.watch.disturb(node)
    _forge(scene, node, holder, starts_anew=True)
    return _dies_later(scene, holder, HEARD_AGAIN_SECONDS)


def _dies_later(scene: Scene, node: Node, seconds: float) -> End:
    """A node loses power after a while; returns what brings it back."""

    def dies() -> None:
        scene.world.watch.disturb(node)
        if node.powered:
            node.cut_power()

    scene.world.loop.at(seconds, dies)
    return lambda: None if node.powered or node.stays_off else node.boot()


def muted_survivor(scene: Scene) -> End | None:
    """Whoever has a standby's keys says the highest counters that there are; the holder dies."""
    world, holder = scene.world, holder_of(scene)
    node = next((n for n in scene.cluster.nodes if n is not holder), holder)
    last = node.agent.last_report if node.agent else None
    if last is None or not holder.powered:
        return None
    world.region.report(dataclasses.replace(last, incarnation=MAX_COUNTER, seq=MAX_COUNTER))
    return _dies_later(scene, holder, SEEN_SECONDS)


def forged_claims(scene: Scene) -> End | None:
    """The same, four times a second for a while: what docs/security.md says such a process can."""
    holder = holder_of(scene)
    node = next((n for n in scene.cluster.nodes if n is not holder), holder)
    over: list[bool] = []

    def again() -> None:
        if not over:
            _forge(scene, node, holder, starts_anew=False)
            scene.world.loop.at(CLAIM_MS / 1000, again)

    again()
    return lambda: over.append(True)


def half_a_group(scene: Scene) -> End | None:
    """Of a watched group only the first members can run, for as long as this lasts."""
    resource = _plain(scene)
    configuration = scene.cluster.pacemaker.configuration
    return counted(scene, configuration.halves, resource) if resource else None


def clone(scene: Scene) -> End | None:
    """A watched resource is a clone that runs on every node."""
    resource = _plain(scene)
    configuration = scene.cluster.pacemaker.configuration
    return counted(scene, configuration.clones, resource) if resource else None


def long_cut(scene: Scene) -> End | None:
    """The holder is cut off, and nobody stops the second copy of what is watched as it is."""
    return _cut_off(scene, holder_of(scene))


def late_twin(scene: Scene) -> End | None:
    """A node loses its tag and is forgotten; once it has it again, an old report comes twice."""
    node, world = holder_of(scene), scene.world
    last = node.agent.last_report if node.agent else None
    untagged = world.region.ec2.untagged
    if last is None or node.instance_id in untagged or node.peer.process.frozen:
        return None
    untagged.add(node.instance_id)
    world.watch.untagged(node)
    node.restart_agent(cleanly=False)
    world.watch.disturb(node)

    def fall_silent() -> None:
        node.cuts_from_aws += 1
        world.loop.at(HEARD_SECONDS - TWIN_QUIET_SECONDS, be_heard)

    def deliver() -> None:
        untagged.discard(node.instance_id)
        world.watch.tagged_again(node)
        world.region.deliver_twin(last)

    def be_heard() -> None:
        node.cuts_from_aws -= 1
        world.watch.disturb(node)

    world.loop.at(TWIN_QUIET_SECONDS, fall_silent)
    world.loop.at(TWIN_SECONDS, deliver)
    return None


def held_words(scene: Scene) -> End | None:
    """The holder dies unheard, and what EventBridge kept back of it comes while another starts."""
    node, world = holder_of(scene), scene.world
    if not node.powered:
        return None
    world.watch.disturb(node)
    words = world.region.hold(node.instance_id)

    def fall_silent() -> None:
        node.cuts_from_aws += 1
        world.region.let_go(node.instance_id)
        world.loop.at(UNHEARD_SECONDS, dies)

    def dies() -> None:
        node.cuts_from_aws -= 1
        world.watch.disturb(node)
        if node.powered:
            node.cut_power()
        world.loop.at(STOPPED_SECONDS, next_word)

    def next_word() -> None:
        if words and world.loop.now < world.setup.calm_from:
            world.region.invoke(words.pop(0))
            world.loop.at(world.setup.answer_ms / 1000 - STAMP_SECONDS, next_word)

    world.loop.at(HELD_SECONDS, fall_silent)
    return lambda: None if node.powered or node.stays_off else node.boot()


def corosync_bounce(scene: Scene) -> End | None:
    """In a cut, Corosync is restarted on the holder, and `crm_mon` connects to nothing after it."""
    node, pacemaker = holder_of(scene), scene.cluster.pacemaker
    if not truth.runs(node, node.resources[0]):
        return None
    scene.world.watch.disturb(node)
    heal = _cut_off(scene, node)
    readable = begin_trouble(node, "crm_mon", "not_connected")
    pacemaker.lose(node.peer, "dead")

    def back() -> None:
        if node.powered and node.peer.stack == "dead":
            pacemaker.start(node.peer)

    scene.world.loop.at(SEEN_SECONDS, back)

    def end() -> None:
        scene.world.watch.disturb(node)
        readable()
        heal()

    return end


def restart_unseen(scene: Scene) -> End | None:
    """In a cut, Pacemaker starts again what it had stopped; the holder cannot read its view."""
    resource, pacemaker = _plain(scene), scene.cluster.pacemaker
    if resource is None:
        return None
    node = holder_of(scene, resource)
    scene.world.watch.disturb(node)
    pacemaker.disable(resource)
    ends: list[Callable[[], None]] = []

    def cut() -> None:
        ends.extend((_cut_off(scene, node), begin_trouble(node, "crm_mon", "fails")))
        scene.world.loop.at(SEEN_SECONDS, lambda: pacemaker.enable(resource))

    scene.world.loop.at(STOPPED_SECONDS, cut)

    def end() -> None:
        scene.world.watch.disturb(node)
        for each in ends:
            each()

    return end


def drifts(scene: Scene) -> End | None:
    """Somebody takes an address off its holder again and again, and once more at the end."""
    world, takes_off = scene.world, scene.fault.amount < 0.5

    def meddle() -> None:
        holder = holder_of(scene)
        other = next((n for n in scene.cluster.nodes if n is not holder), holder)
        world.meddle(scene.cluster, other, takes_off=takes_off)

    for seconds in MEDDLING_SECONDS:
        world.loop.at(seconds, meddle)
    return meddle


def long_unread(scene: Scene) -> End | None:
    """`crm_mon` has not answered on the others for so long that its view stands no more."""
    world, holder = scene.world, holder_of(scene)
    mode = world.rng.choice(MODES)
    others = [n for n in scene.cluster.nodes if n is not holder]
    readable = [begin_trouble(other, "crm_mon", mode) for other in others]
    back = _dies_later(scene, holder, LONG_UNREAD_SECONDS)

    def end() -> None:
        for each in readable:
            each()
        back()

    return end


def needed_after_a_refusal(scene: Scene) -> End | None:
    """A cut has the starts on the other side refused; healed for a while, the holder dies."""
    holder = holder_of(scene)
    heal = _cut_off(scene, holder)
    scene.world.loop.at(REFUSED_SECONDS, heal)

    def dies() -> None:
        scene.world.watch.disturb(holder)
        die_for_good(scene, holder, told=False)

    scene.world.loop.at(NEEDED_SECONDS, dies)
    return None


def order_while_disabled(scene: Scene) -> End | None:
    """An operator sends a disabled resource's address to a node that has long been without it."""
    world, pacemaker, holder = scene.world, scene.cluster.pacemaker, holder_of(scene)
    other = next((n for n in scene.cluster.nodes if n is not holder), holder)
    resource = scene.node.resources[0]
    pacemaker.disable(resource)
    scene.later(IDLE_SECONDS, lambda: world.operator_failover(scene.cluster, other, force=False))
    return lambda: pacemaker.enable(resource)


def order_in_a_call(scene: Scene) -> End | None:
    """EC2 takes long with an order's call, and an order back comes meanwhile."""
    world, cluster, holder = scene.world, scene.cluster, holder_of(scene)
    other = next((n for n in cluster.nodes if n is not holder), holder)
    world.weather.begin("ec2_slow", 1.0)
    world.operator_failover(cluster, other, force=False)
    scene.later(OVERTAKING_SECONDS, lambda: world.operator_failover(cluster, holder, force=False))
    world.loop.at(CALL_SECONDS, lambda: world.weather.end("ec2_slow", 1.0))
    return None
