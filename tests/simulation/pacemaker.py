"""A modelled Pacemaker on a modelled Corosync: what it starts and stops, and what it shows.

What to do next is decided by `lab.simulated.plan`; the resource agent that is run is the shipped
one. The set-up is the classic one: stickiness, migration-threshold 1, no fencing; clusters of three
and more may stop what lost its quorum. Of two copies it touches neither, as documented
(`multiple-active=block`), or it chooses at once, as with `stop_unexpected`.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from eip_agent.remember.sight import PacemakerView

from lab.simulated.plan import Member as PlanMember
from lab.simulated.plan import Role, Step, next_step
from simulation.clock import Loop
from simulation.configuration import Configuration
from simulation.corosync import Corosync
from simulation.pacemaker_state import Cib, Here, Peer, Side, is_busy, merged, state_of

DC_DEADTIME_SECONDS = 2.0
MONITOR_SECONDS = 10.0
OPERATION_SECONDS = 20.0
NOT_RUNNING = 7

RED = ("Pacemaker node health is red",)

Run = Callable[[Peer, str, str, float, Callable[[int], None]], None]
"""Runs the resource agent: peer, resource, action, time-out; calls back with the exit code."""


class PacemakerCluster:
    """One cluster. `alert` is called with a peer that has something new to look at."""

    def __init__(
        self,
        loop: Loop,
        rng: random.Random,
        *,
        size: int,
        configuration: Configuration,
        resources: Sequence[str],
        token_seconds: float,
        start_seconds: float,
        run: Run,
        saw_link: Callable[[Peer], None],
        alert: Callable[[Peer], None],
    ) -> None:
        self._loop, self._rng, self._run, self._alert = loop, rng, run, alert
        self._start_seconds = start_seconds
        self.names = [f"n{number}" for number in range(1, size + 1)]
        self.peers = {n: Peer(n, i, resources) for i, n in enumerate(self.names, 1)}
        self._order = dict(zip(self.names, rng.sample(range(size), size), strict=True))
        self.configuration = configuration
        self.corosync = Corosync(
            loop,
            rng,
            list(self.peers.values()),
            token_seconds=token_seconds,
            saw_link=saw_link,  # type: ignore[arg-type]
            reformed=self._reformed,  # type: ignore[arg-type]
        )

    def quorate(self, side: Side) -> bool:
        """Whether a side says that it has quorum; each half of a two-node cluster does."""
        size, votes, mode = len(self.configuration.names), len(side.members), self.quorum_mode()
        if mode == "device":
            return 2 * (votes + (side is self._side_with_device())) > size + 1
        return mode == "two_node" or 2 * votes > size

    def _side_with_device(self) -> Side | None:
        """The side that the quorum device votes for: the largest, or that of the lowest node."""
        living = [p for p in self.peers.values() if p.stack == "up" and p.process.alive]
        sides = [p.side for p in living if not p.process.frozen]
        return max(sides, key=lambda side: (len(side.members), -_lowest(side)), default=None)

    def start(self, peer: Peer) -> None:
        """Starts Corosync and Pacemaker, which probes what runs there already."""
        peer.stack, peer.stack_since = "up", self._loop.now
        peer.leaving = peer.left_cleanly = peer.pending = False
        peer.view = (peer.name,)
        self.corosync.forget(peer)
        disk = peer.side.cib
        cib = Cib(wanted=dict(disk.wanted), epoch=disk.epoch)
        peer.side = Side(peer.view, peer.name, self._loop.now + DC_DEADTIME_SECONDS, cib)
        for resource, here in peer.resources.items():
            here.role, here.failed, here.busy = "Stopped", False, True
            self._run(peer, resource, "monitor", OPERATION_SECONDS, self._probed(peer, resource))
        self.corosync.refresh()
        self._alert(peer)
        self._loop.at(DC_DEADTIME_SECONDS, lambda: self.schedule(peer.side), peer.process)

    def _probed(self, peer: Peer, resource: str) -> Callable[[int], None]:
        def done(code: int) -> None:
            here = peer.resources[resource]
            here.busy = False
            if code == 0:
                self._set(here, "Started")
                peer.side.cib.last_on.setdefault(resource, peer.name)
                # Pacemaker schedules no monitor for what it finds blocked.
                if not self._is_blocked(peer.side, resource):
                    self._watch(peer, resource)
            self.schedule(peer.side)

        return done

    def stop(self, peer: Peer) -> None:
        """Asks for a clean leave: resources stop first."""
        if peer.stack == "up":
            peer.leaving = True
            self.schedule(peer.side)

    def lose(self, peer: Peer, stack: str) -> None:
        """Corosync is gone: with its node or its host (`down`), or under Pacemaker (`dead`)."""
        # Until the membership says so, the others go on believing in what ran there.
        peer.stack = stack
        peer.leaving = peer.pending = False
        self.corosync.refresh()
        self._alert(peer)

    def _reformed(self, members: tuple[str, ...], nodes: list[Peer]) -> None:
        """A new membership: one CIB is copied, or several become one; a DC is elected."""
        rng = self._rng
        sources: list[Side] = []
        for node in nodes:
            if node.side not in sources:
                sources.append(node.side)
        chosen = sources[0] if len(sources) == 1 else rng.choice(sources)
        dc_stays = chosen.dc in members
        dc = chosen.dc if dc_stays else rng.choice([n.name for n in nodes])
        ready_at = self._loop.now + (0.05 if dc_stays else rng.uniform(0.1, 0.9))
        side = Side(members, dc, ready_at, merged(nodes, sources, chosen))
        if len(sources) > 1:
            side.ready_at = self._loop.now + rng.uniform(0.3, 1.0)
            side.waits_for = [n for n in nodes if n.side is chosen]
        # Whoever is heard of again did not leave.
        side.cib.left -= set(members)
        for node in nodes:
            node.pending = len(sources) > 1 and node.side is not chosen
            alone_until = node.stack_since + DC_DEADTIME_SECONDS if len(members) == 1 else 0.0
            side.ready_at = max(side.ready_at, alone_until)
        for node in nodes:
            node.side = side
            self._alert(node)
        self._loop.at(side.ready_at - self._loop.now, lambda: self.schedule(side))

    def schedule(self, side: Side) -> None:
        """Begins what Pacemaker would do next on this side, if it is ready to do anything."""
        if self._loop.now < side.ready_at or not self._dc_acts(side):
            return
        peers = [self.peers[name] for name in side.members]
        peers = [p for p in peers if p.side is side and not p.left_cleanly]
        if side.waits_for:
            if any(p.side is side and is_busy(p) for p in side.waits_for):
                return
            side.waits_for = []
            for peer in peers:
                if peer.pending:
                    peer.pending = False
                    self._alert(peer)
        for resource in peers[0].resources:
            self._schedule_resource(side, peers, resource)
        for peer in peers:
            if peer.leaving and not is_busy(peer):
                self._leave_if_empty(peer)

    def _dc_acts(self, side: Side) -> bool:
        dc = self.peers[side.dc]
        return dc.side is side and dc.stack == "up" and dc.process.alive and not dc.process.frozen

    def _schedule_resource(self, side: Side, peers: list[Peer], resource: str) -> None:
        wanted_on, banned_on = self._wanted(side, resource)
        if not self.configuration.manages(resource) or self._is_blocked(side, resource):
            return
        lost_quorum = self.configuration.strict and not self.quorate(side)
        members = []
        copies = sum(peer.resources[resource].role == "Started" for peer in peers)
        for peer in peers:
            here = peer.resources[resource]
            banned = (resource, peer.name) in side.cib.failures or peer.name == banned_on
            banned = banned or self.configuration.forbids(resource, peer.name)
            # Of several copies Pacemaker keeps one on a node it may use, by the order of nodes.
            order = float(self._order[peer.name] + banned * len(self.names))
            since = here.since if copies < 2 else order
            members.append(
                PlanMember(peer.name, here.role, since, banned or lost_quorum, peer.leaving)
            )
            if here.busy and here.role == "Stopped":
                return  # its probe has not ended
        # Of a clone each copy is as if it were alone.
        groups = [[m] for m in members] if self.configuration.clones[resource] > 0 else [members]
        for group in groups:
            self._begin(next_step(group, side.cib.last_on.get(resource), wanted_on), resource)

    def _begin(self, step: Step | None, resource: str) -> None:
        """Begins one operation, unless its node cannot do it now."""
        if step is None:
            return
        peer = self.peers[step.node]
        here = peer.resources[resource]
        if here.busy or peer.stack != "up" or not peer.process.alive:
            return
        self._set(here, "Starting" if step.operation == "start" else "Stopping")
        here.busy = True
        action = step.operation
        self._run(
            peer,
            resource,
            action,
            self._start_seconds if action == "start" else OPERATION_SECONDS,
            lambda code: self._ended(peer, resource, action, code),
        )
        self._alert(peer)

    def _is_blocked(self, side: Side, resource: str) -> bool:
        """Whether Pacemaker sees several copies and is not to choose between them."""
        if not self.configuration.blocks or resource in self.configuration.plain:
            return False
        seen = [p for p in map(self.peers.__getitem__, side.members) if p.side is side]
        here = [peer.resources[resource] for peer in seen if not peer.left_cleanly]
        return sum(copy.role != "Stopped" and not copy.gone for copy in here) > 1

    def _wanted(self, side: Side, resource: str) -> tuple[str | None, str | None]:
        wanted = side.cib.wanted.get(resource)
        if wanted is None or self._loop.now > wanted[2]:
            return None, None
        return wanted[0], wanted[1]

    def _ended(self, peer: Peer, resource: str, action: str, code: int) -> None:
        here = peer.resources[resource]
        here.busy = False
        if peer.stack == "down":
            return
        cib = peer.side.cib
        if action == "stop":
            self._set(here, "Stopped")
            here.failed = False
        else:
            self._set(here, "Started")
            here.failed = code != 0
            if code:
                cib.failures[resource, peer.name] = action
            else:
                cib.last_on[resource] = peer.name
                self._watch(peer, resource)
        self._alert(peer)
        self.schedule(peer.side)

    def _watch(self, peer: Peer, resource: str) -> None:
        """The recurring monitor of a resource that was started."""
        here = peer.resources[resource]
        here.monitors += 1
        number = here.monitors

        def monitored(code: int) -> None:
            if here.monitors != number or here.role != "Started":
                return
            if code and peer.stack == "up":
                self._failed(peer, resource, gone=code == NOT_RUNNING)
                return
            self._loop.at(MONITOR_SECONDS, again, peer.process)

        def again() -> None:
            if self.configuration.maintenance:
                self._loop.at(MONITOR_SECONDS, again, peer.process)
            elif here.monitors == number and here.role == "Started":
                self._run(peer, resource, "monitor", OPERATION_SECONDS, monitored)

        self._loop.at(MONITOR_SECONDS, again, peer.process)

    def _failed(self, peer: Peer, resource: str, *, gone: bool = False) -> None:
        peer.resources[resource].failed, peer.resources[resource].gone = True, gone
        peer.side.cib.failures[resource, peer.name] = "monitor"
        self._alert(peer)
        self.schedule(peer.side)

    def _leave_if_empty(self, peer: Peer) -> None:
        managed = {r: h for r, h in peer.resources.items() if self.configuration.manages(r)}
        if any(here.role != "Stopped" for here in managed.values()):
            return  # What is not managed stays as it is.
        for name in peer.side.members:
            if name != peer.name:
                self.peers[name].side.cib.left.add(peer.name)
        peer.left_cleanly = True
        self.lose(peer, "down")

    def _set(self, here: Here, role: Role) -> None:
        here.role, here.since, here.gone = role, self._loop.now, False

    def disable(self, resource: str) -> None:
        """Nobody is to run a resource."""
        self.configuration.disabled.add(resource)
        self.configured()

    def enable(self, resource: str) -> None:
        """A resource may run again."""
        self.configuration.disabled.discard(resource)
        self.configured()

    def configured(self) -> None:
        """The configuration changed: everybody sees it, and acts on it."""
        for peer in self.peers.values():
            if peer.stack == "up":
                self._alert(peer)
            self.schedule(peer.side)

    def _schedule_all(self) -> None:
        for peer in self.peers.values():
            self.schedule(peer.side)

    def clean_up(self, peer: Peer, resource: str, node: str) -> None:
        """`crm_resource --cleanup`: forgets, and probes what it no longer knows."""
        peer.side.cib.failures.pop((resource, node), None)
        there = self.peers[node]
        here = there.resources[resource]
        if here.failed and not here.busy:
            here.role, here.failed, here.busy = "Stopped", False, True
            self._run(there, resource, "monitor", OPERATION_SECONDS, self._probed(there, resource))
        self.schedule(peer.side)

    def refresh(self, peer: Peer, resource: str, node: str) -> None:
        """`crm_resource --refresh`: forgets all that is known of a copy, and probes it anew."""
        there = self.peers[node]
        here = there.resources[resource]
        if here.busy or there.stack != "up":
            return
        peer.side.cib.failures.pop((resource, node), None)
        self._set(here, "Stopped")
        here.failed, here.busy = False, True
        here.monitors += 1
        self._run(there, resource, "monitor", OPERATION_SECONDS, self._probed(there, resource))

    def fail(self, peer: Peer, resource: str) -> None:
        """`crm_resource --fail`: as if a monitor had just failed there."""
        here = peer.resources[resource]
        if here.role == "Started" and not here.busy:
            self._failed(peer, resource)

    def move(self, peer: Peer, resource: str, node: str, seconds: float) -> None:
        """`crm_resource --move --force` with a lifetime: prefers a node, bans the present one."""
        active = [
            name
            for name in peer.side.members
            if self.peers[name].resources[resource].role != "Stopped"
        ]
        banned = active[0] if active and active[0] != node else None
        until = self._loop.now + seconds
        peer.side.cib.wanted[resource] = (node, banned, until)
        # Pacemaker looks again when a constraint with a lifetime ends.
        self._loop.at(seconds + 0.1, self._schedule_all)
        peer.side.cib.epoch += 1
        self.schedule(peer.side)

    def clear(self, peer: Peer, resource: str, node: str = "") -> None:
        """`crm_resource --clear`, of all nodes or of one."""
        to, banned, until = peer.side.cib.wanted.pop(resource, (None, None, 0.0))
        left = to if node and to != node else None, banned if node and banned != node else None
        if any(left):
            peer.side.cib.wanted[resource] = (*left, until)
        peer.side.cib.epoch += 1
        self.schedule(peer.side)

    def shown(self, peer: Peer) -> PacemakerView:
        """What `crm_mon` shows on this node, as the agent's parser reads it."""
        if peer.stack == "down":
            return PacemakerView(state="offline")
        if peer.stack == "dead":
            return PacemakerView(state="unknown")
        side = peer.side
        names = self.configuration.names
        lost = frozenset(n for n in names if n not in side.members and n not in side.cib.left)
        roles, running_on, failed_here, incomplete = {}, {}, set(), {}
        for resource, here in peer.resources.items():
            roles[resource] = state_of(here)
            half = self.configuration.halves[resource] > 0
            if half and roles[resource] == "started":
                # A group whose first members run alone: nobody knows if the others follow.
                roles[resource], incomplete[resource] = "starting", "started"
            running_on[resource] = frozenset(
                name
                for name in side.members
                if not half
                and state_of(self.peers[name].resources[resource]) == "started"
                and not (peer.pending and name != peer.name)
            )
            if (resource, peer.name) in side.cib.failures:
                failed_here.add(resource)
        return PacemakerView(
            state="pending" if peer.pending else self.configuration.state_of(peer.name),
            dc=side.dc,
            quorate=self.quorate(side),
            members=side.members,
            lost=lost,
            under_way=any(
                self.peers[name].resources[resource].role in ("Starting", "Stopping")
                for name in side.members
                for resource in peer.resources
            ),
            left=frozenset(side.cib.left - set(side.members)),
            node_ids={name: self.peers[name].number for name in names},
            roles=roles,
            running_on=running_on,
            tops={resource: resource for resource in peer.resources},
            failed_here=frozenset(failed_here),
            failing=RED if self.configuration.red[peer.name] > 0 else (),
            incomplete=incomplete,
        )

    def quorum_mode(self) -> str:
        """What `corosync-quorumtool` tells of the cluster."""
        return self.configuration.mode


def _lowest(side: Side) -> int:
    return min(int(name.removeprefix("n")) for name in side.members)
