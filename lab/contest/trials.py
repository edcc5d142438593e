"""The trials: one fault each, put on the same cluster in the same way whoever holds the resource.

Judged from the embedded AWS's journal of associations and from Pacemaker alone.
"""

from __future__ import annotations

import re
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from lab.cluster.protocol import ClusterError
from lab.contest.contenders import RESOURCE
from lab.real_site import LINK_REST_SECONDS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lab.contest.contenders import Contender
    from lab.embedded.journal import Move
    from lab.real_site import Place

PARTITION_SECONDS = 40.0
REFUSED_SECONDS = 60.0
AFTER_REFUSED_SECONDS = 10.0
BLACKHOLE_SECONDS = 60.0
SUCCESSOR_SECONDS = 30.0
_AFTER_HEAL_SECONDS = 15.0
_SETTLE_SECONDS = 90.0
_SAMPLE_SECONDS = 0.5
_OPERATION = re.compile(r"Result of (start|stop) operation for (\S+) on (\S+?): ")


@dataclass(frozen=True)
class Takeover:
    """One takeover, in seconds from the fault.

    `address_seconds` is when the address was on the other node (the start's end, for a resource
    without one), `started_seconds` when Pacemaker there said "Started", `nobody_seconds` how long
    no living node had it.
    """

    address_seconds: float
    started_seconds: float
    nobody_seconds: float


@dataclass(frozen=True)
class Partition:
    """A cut ring with AWS in reach of both, and its heal.

    `away_seconds`: how long the address was not on the node that had it and never failed.
    `doubled_seconds`, `idle_seconds`: how long both nodes, and none, said that the resource runs.
    `restarts`: starts and stops on the winner, from the heal on. `successor_seconds`: the winner
    then lost its power, and so long after it the other one had the address; None for never.
    """

    seconds: float
    moves: int
    away_seconds: float
    doubled_seconds: float
    idle_seconds: float
    restarts: int
    successor_seconds: float | None


@dataclass(frozen=True)
class Outage:
    """AWS refused to all nodes: moves, operations of the resource, and whether it serves after."""

    seconds: float
    moves: int
    operations: int
    serves_on: tuple[str, ...]


@dataclass(frozen=True)
class Blackhole:
    """AWS swallows all that the holder sends; then the holder loses its power.

    `operations` until the power loss; `successor_seconds` as in `Partition`.
    """

    seconds: float
    operations: int
    serves_on: tuple[str, ...]
    successor_seconds: float | None


class Trials:
    """Trials of one contender, whose resource is on the cluster already."""

    def __init__(self, place: Place, contender: Contender) -> None:
        self._place, self._contender = place, contender
        self._cluster, self._world = place.cluster, place.world
        self._whole_since = time.monotonic()

    def monitor_cpu_seconds(self) -> float:
        """Median CPU seconds of one monitor."""
        holder, _ = self.settle()
        return self._contender.monitor_cpu_seconds(self._place, holder)

    def takeover(self, fault: Literal["planned stop", "power loss"]) -> Takeover:
        """The holder's cluster stack is stopped, or it loses its power."""
        holder, peer = self.settle()
        self._rest()
        planned = fault == "planned stop"
        act = self._cluster.stop if planned else self._cluster.power_off
        began, wall = time.monotonic(), time.time()
        with ThreadPoolExecutor(1) as pool:
            done = pool.submit(act, holder)  # a planned stop waits for the start on the peer
            self._cluster.wait_started(RESOURCE, peer)
            started = time.monotonic() - began
            done.result()
        moves = self._moves(began)
        if self._contender.has_address:
            taken = next(m.at for m in moves if m.to_instance == self._instance(peer)) - began
        else:
            taken = self._dummy_started(peer) - wall
        gone = next((m.at - began for m in moves if not m.to_instance), taken if planned else 0.0)
        (self._cluster.start if planned else self._cluster.power_on)(holder)
        self._whole_since = time.monotonic()
        return Takeover(
            address_seconds=round(taken, 3),
            started_seconds=round(started, 3),
            nobody_seconds=round(max(0.0, taken - gone), 3),
        )

    def partition(self, seconds: float = PARTITION_SECONDS) -> Partition:
        """The ring is cut and healed, and then the winner is killed."""
        holder, _ = self.settle()
        self._rest()
        began = time.monotonic()
        self._cluster.partition(holder)
        doubled, idle = self._said_by(began + seconds)
        cut = self._moves(began)
        before = {name: self._operations(name) for name in self._cluster.nodes}
        self._cluster.heal()
        self._cluster.wait_online()
        time.sleep(_AFTER_HEAL_SECONDS)
        winner = self._winner()
        restarts = self._operations(winner) - before[winner] if winner else 0
        return Partition(
            seconds=seconds,
            moves=_arrivals(cut),
            away_seconds=round(_away(cut, self._instance(holder), began + seconds), 1),
            doubled_seconds=doubled,
            idle_seconds=idle,
            restarts=restarts,
            successor_seconds=self._successor(winner),
        )

    def refused(self, seconds: float = REFUSED_SECONDS) -> Outage:
        """AWS refuses all nodes for a while."""
        self.settle()
        began = time.monotonic()
        before = self._all_operations()
        for name in self._cluster.nodes:
            self._cluster.cut_aws(name, "refuse")
        time.sleep(seconds)
        for name in self._cluster.nodes:
            self._cluster.restore_aws(name)
        time.sleep(AFTER_REFUSED_SECONDS)
        return Outage(
            seconds=seconds,
            moves=_arrivals(self._moves(began)),
            operations=self._all_operations() - before,
            serves_on=self._serves_on(),
        )

    def blackholed(self, seconds: float = BLACKHOLE_SECONDS) -> Blackhole:
        """AWS answers the holder nothing for a while; then the holder is gone."""
        holder, _ = self.settle()
        before = self._all_operations()
        self._cluster.cut_aws(holder, "blackhole")
        time.sleep(seconds)
        operations, serves_on = self._all_operations() - before, self._serves_on()
        successor = self._successor(holder, while_cut=True)
        return Blackhole(seconds, operations, serves_on, successor)

    def settle(self) -> tuple[str, str]:
        """Waits until all is whole and calm; returns the node that serves, and its peer."""
        self._cluster.wait_online()
        if self._contender.needs_clean_up:
            self._cluster.clean_up(RESOURCE)
        self._cluster.wait_until(
            lambda: (
                len(self._serves_on()) == 1
                and self._cluster.started_on(RESOURCE) == self._serves_on()
                and self._contender.is_calm(self._place)
            ),
            f"{self._contender.name} settled",
            _SETTLE_SECONDS,
        )
        (holder,) = self._serves_on()
        return holder, next(name for name in self._cluster.nodes if name != holder)

    def _rest(self) -> None:
        """Links that have just come up notice a cut later: nobody's times are to suffer."""
        time.sleep(max(1.0, self._whole_since + LINK_REST_SECONDS - time.monotonic()))

    def _serves_on(self) -> tuple[str, ...]:
        """Where the resource is started and, if it has one, its address is."""
        holder = self._world.holder(RESOURCE) if self._contender.has_address else None
        return tuple(
            name
            for name in self._cluster.started_on(RESOURCE)
            if not self._contender.has_address or name == holder
        )

    def _said_by(self, until: float) -> tuple[float, float]:
        """For how many seconds until then two nodes, and none, say that they run the resource."""
        doubled = idle = 0.0
        while (began := time.monotonic()) < until:
            running = self._cluster.started_on(RESOURCE)
            time.sleep(_SAMPLE_SECONDS)
            lasted = time.monotonic() - began
            doubled += lasted if len(running) > 1 else 0.0
            idle += 0.0 if running else lasted
        return round(doubled, 1), round(idle, 1)

    def _winner(self) -> str | None:
        """Who serves after a heal; a contender may need longer, or never come to it."""
        try:
            self._cluster.wait_until(lambda: len(self._serves_on()) == 1, "a winner", 30)
        except ClusterError:
            return None
        return self._serves_on()[0]

    def _successor(self, winner: str | None, *, while_cut: bool = False) -> float | None:
        """The winner loses its power: how long until the other serves; no one cleans up."""
        if winner is None:
            return None
        peer = next(name for name in self._cluster.nodes if name != winner)
        began = time.monotonic()
        self._cluster.power_off(winner)
        try:
            self._cluster.wait_until(
                lambda: self._serves_on() == (peer,), f"{peer} serves", SUCCESSOR_SECONDS
            )
            seconds: float | None = round(time.monotonic() - began, 2)
        except ClusterError:
            seconds = None
        if while_cut:
            self._cluster.restore_aws(winner)
        self._cluster.power_on(winner)
        self._whole_since = time.monotonic()
        return seconds

    def _dummy_started(self, node: str) -> float:
        """When Dummy's start wrote its file, in `time.time()` seconds."""
        path = f"/run/resource-agents/Dummy-{RESOURCE}.state"
        return self._cluster.node(node).path(path).stat().st_mtime

    def _instance(self, node: str) -> str:
        return self._world.nodes[node].instance_id

    def _moves(self, since: float) -> list[Move]:
        allocation_id = self._world.addresses[RESOURCE].allocation_id
        return self._place.aws.journal.moves(since=since, allocation_id=allocation_id)

    def _all_operations(self) -> int:
        return sum(self._operations(name) for name in self._cluster.nodes)

    def _operations(self, node: str) -> int:
        """How many starts and stops of the resource Pacemaker has logged on a node."""
        path = self._cluster.node(node).disk / "var/log/pacemaker/pacemaker.log"
        text = path.read_text(errors="replace") if path.exists() else ""
        found = _OPERATION.findall(text)
        return sum(what == RESOURCE and where == node for _, what, where in found)


def _arrivals(moves: Sequence[Move]) -> int:
    """How often the address came to a node."""
    return sum(bool(move.to_instance) for move in moves)


def _away(moves: Sequence[Move], home: str, until: float) -> float:
    """Seconds that an address, at home at first, was elsewhere or nowhere."""
    total, left = 0.0, None
    for move in moves:
        if left is not None:
            total += move.at - left
        left = None if move.to_instance == home else move.at
    return total + (until - left if left is not None else 0.0)
