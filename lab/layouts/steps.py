"""A cluster's ordinary year, step by step, whoever moves the address.

A step never asserts: it measures, notes what a person had to put right, and the next one begins
from a cluster that is whole.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lab.cluster.protocol import ClusterError
from lab.contest.contenders import RESOURCE, EipArbiter
from lab.site import CLUSTER_ID, START_TIMEOUT_SECONDS

if TYPE_CHECKING:
    from lab.contest.contenders import Contender
    from lab.embedded.ways import Layout
    from lab.real_site import Place

SLACK_SECONDS = 90.0
_SAMPLE_SECONDS = 0.5
_REBOOT_SECONDS = 5.0


@dataclass
class Step:
    """What came of a step; times in seconds from its fault, None for what did not happen.

    `address_seconds` is when EC2 had the address where it stayed, control plane only;
    `packet_seconds` adds the layout's mapping, before which no packet flows by it. `down_seconds`:
    how long no node had both resource and address. `helped`: what a person had to do.
    """

    layout: str
    contender: str
    name: str
    address_seconds: float | None = None
    packet_seconds: float | None = None
    down_seconds: float = 0.0
    moves: int = 0
    helped: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


class Year:
    """The steps of one contender, whose resource is on the cluster already."""

    def __init__(self, place: Place, contender: Contender, layout: Layout) -> None:
        self._place, self._contender, self._layout = place, contender, layout
        self._cluster, self._world = place.cluster, place.world
        self.patience_seconds = (
            place.world.own.patience_seconds + START_TIMEOUT_SECONDS + SLACK_SECONDS
        )

    def all(self) -> Iterator[Step]:
        """Every step that this contender knows, one after the other."""
        yield self.planned_stop()
        yield self.power_loss()
        yield self.switchover_and_back()
        if isinstance(self._contender, EipArbiter):
            yield self.forced_failover()
        yield self.reboots()

    def planned_stop(self) -> Step:
        """Pacemaker and Corosync are stopped on the holder, and started again."""
        with self._step("planned stop") as (step, holder, peer):
            stopping = threading.Thread(target=self._cluster.stop, args=(holder,), daemon=True)
            stopping.start()
            self._await(step, lambda: self._serves_on() == (peer,), f"{peer} serves")
            stopping.join(self.patience_seconds)
            self._cluster.start(holder)
        return step

    def power_loss(self) -> Step:
        """The holder loses its power, and gets it again."""
        with self._step("power loss") as (step, holder, peer):
            self._cluster.power_off(holder)
            self._await(step, lambda: self._serves_on() == (peer,), f"{peer} serves")
            self._cluster.power_on(holder)
        return step

    def switchover_and_back(self) -> Step:
        """Pacemaker moves the resource to the peer, and at once back."""
        with self._step("switchover and back") as (step, holder, peer):
            self._move(step, peer)
            self._move(step, holder)
        return step

    def forced_failover(self) -> Step:
        """An operator orders the address to the peer."""
        with self._step("forced failover") as (step, _, peer):
            order = {"verb": "failover", "cluster": CLUSTER_ID, "target": peer}
            answer = self._place.aws.invoke("Operate", order).result
            if answer.get("outcome") != "moved":
                step.problems.append(str(answer.get("sentence", answer)))
            self._await(step, lambda: self._serves_on() == (peer,), f"{peer} serves")
        return step

    def reboots(self) -> Step:
        """Patch day: the holder is set to standby, rebooted and set back, and then its peer."""
        with self._step("reboot both") as (step, holder, peer):
            for name, other in ((holder, peer), (peer, holder)):
                self._cluster.pcs(other, "node", "standby", name)
                self._await(step, lambda n=name: self._left(n), f"{name} stops it")  # type: ignore[misc]
                self._cluster.power_off(name)
                time.sleep(_REBOOT_SECONDS)
                self._cluster.power_on(name)
                self._cluster.wait_online()
                self._cluster.pcs(other, "node", "unstandby", name)
        return step

    @contextlib.contextmanager
    def _step(self, name: str) -> Iterator[tuple[Step, str, str]]:
        """Begins where all is whole, and ends where all is whole again, with whatever help."""
        holder, peer = self._whole()
        step = Step(self._layout.name, self._contender.name, name)
        began, ended = time.monotonic(), threading.Event()
        sampling = threading.Thread(target=self._sample, args=(step, ended), daemon=True)
        sampling.start()
        try:
            yield step, holder, peer
            self._make_whole(step)
        finally:
            ended.set()
            sampling.join()
        moves = self._place.aws.journal.moves(
            since=began, allocation_id=self._world.addresses[RESOURCE].allocation_id
        )
        arrivals = [move for move in moves if move.to_interface != move.from_interface]
        step.moves = sum(bool(move.to_instance) for move in arrivals)
        first = next((move.at - began for move in arrivals if move.to_instance), None)
        if first is not None:
            step.address_seconds = round(first, 2)
            step.packet_seconds = round(first + self._layout.mapping_seconds, 2)
        step.down_seconds = round(step.down_seconds, 1)

    def _whole(self) -> tuple[str, str]:
        self._cluster.wait_until(self._is_whole, "the cluster is whole", self.patience_seconds)
        (holder,) = self._serves_on()
        return holder, next(name for name in self._cluster.nodes if name != holder)

    def _make_whole(self, step: Step) -> None:
        """Waits for it; what does not come by itself is put right as a person would."""
        try:
            self._cluster.wait_until(self._is_whole, "whole", self.patience_seconds)
        except ClusterError:
            step.helped.append(f"crm_resource --cleanup: {self._failures() or 'nothing failed'}")
            self._cluster.clean_up(RESOURCE)
            try:
                self._whole()
            except ClusterError as error:
                step.problems.append(str(error))

    def _is_whole(self) -> bool:
        """One node serves, no node is banned by a failure, and each has a way to AWS."""
        serving = self._serves_on()
        return (
            len(serving) == 1
            and self._cluster.started_on(RESOURCE) == serving
            and not self._world.own.mute()
            and not self._failures()
            and self._contender.is_calm(self._place)
        )

    def _failures(self) -> str:
        found = set()
        for name in self._cluster.nodes:
            view = self._cluster.view(name)
            if view is None or set(view.online) != set(self._cluster.nodes):
                return "not all nodes are online"
            found |= {failure.node for failure in view.failures}
        return " and ".join(sorted(found))

    def _serves_on(self) -> tuple[str, ...]:
        holder = self._world.holder(RESOURCE)
        try:
            return tuple(name for name in self._cluster.started_on(RESOURCE) if name == holder)
        except ClusterError:  # it lost its power while it was asked
            return ()

    def _left(self, name: str) -> bool:
        return name not in self._cluster.started_on(RESOURCE)

    def _move(self, step: Step, node: str) -> None:
        """As `crm_resource --move` does it; the ban goes as soon as it worked, or never will."""
        command = ["crm_resource", "-r", RESOURCE]
        move = [*command, "--move", "-N", node, "--lifetime", "PT10M", "--force"]
        self._cluster.run(node, move)
        self._await(step, lambda: self._serves_on() == (node,), f"{node} serves")
        self._cluster.run(node, [*command, "--clear"])

    def _await(self, step: Step, condition: Callable[[], bool], what: str) -> None:
        try:
            self._cluster.wait_until(condition, what, self.patience_seconds)
        except ClusterError:
            step.problems.append(f"not within {self.patience_seconds:.0f} s: {what}")

    def _sample(self, step: Step, ended: threading.Event) -> None:
        last = time.monotonic()
        while not ended.wait(_SAMPLE_SECONDS):
            now = time.monotonic()
            if not self._serves_on():
                step.down_seconds += now - last
            last = now
