"""The simulated cluster: who sees whom, and when; and the resource agent's actions that follow.

One thread advances the model every few milliseconds; the public methods put faults on it. Times
follow measurements on a real cluster: a link is seen down after 0.4 s, the membership changes after
token + consensus (2.2 times the token) and an election, a lost peer is back 1.3 s after the heal.
"""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal
from xml.etree import ElementTree as ET

from lab.cluster.protocol import AwsCut, ClusterError
from lab.cluster.status import ClusterView, parse_crm_mon
from lab.simulated.node import SimulatedNode
from lab.simulated.plan import NOT_CONNECTED_XML, Member, Step, crm_mon_xml, next_step

LINK_DOWN_SECONDS = 0.4
LINK_UP_SECONDS = 0.5
REJOIN_SECONDS = 1.3
ELECTION_SECONDS = 0.8
MONITOR_SECONDS = 10.0
DC_DEADTIME_SECONDS = 2.0
TICK_SECONDS = 0.02
OPERATION_SECONDS = 20.0


class SimulatedCluster:
    """Implements `lab.cluster.protocol.Cluster` for one resource.

    Args:
        folder: where the nodes' folders are made.
        resource_agent: the command that starts the resource agent, without the action.
        at_boot: spawns on a node what systemd would start there.
        cut: carries out a cut from AWS; None as the second argument restores.
        token_ms: Corosync's token timeout.
        seed: of the elections' lengths.
    """

    kind: Literal["simulated"] = "simulated"

    def __init__(
        self,
        folder: Path,
        *,
        resource_agent: Sequence[str],
        at_boot: Callable[[SimulatedCluster, str], None],
        cut: Callable[[str, AwsCut | None], None],
        size: int = 2,
        resource: str = "eip",
        token_ms: int = 1000,
        seed: int = 1,
    ) -> None:
        names = [f"n{number}" for number in range(1, size + 1)]
        self._nodes = {name: SimulatedNode(name, folder / name) for name in names}
        self._resource = resource
        self._resource_agent = list(resource_agent)
        self._at_boot, self._cut = at_boot, cut
        self._loss_seconds = 2.2 * token_ms / 1000
        self._random = random.Random(seed)  # noqa: S311 - a model's election, not a secret
        self._ring: dict[str, int] = dict.fromkeys(names, 0)
        self._lock = threading.RLock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._live, name="simulated-pacemaker", daemon=True)

    @property
    def nodes(self) -> Sequence[str]:
        """Names of the nodes, `n1` first."""
        return tuple(self._nodes)

    def node(self, name: str) -> SimulatedNode:
        """One node, for what is beyond the common protocol."""
        return self._nodes[name]

    def up(self) -> float:
        """Gives all nodes power and waits until all are members; returns the seconds it took."""
        began = time.monotonic()
        self._thread.start()
        for name in self._nodes:
            self.power_on(name)
        self.wait_until(self._whole, "all nodes are members")
        return time.monotonic() - began

    def down(self) -> None:
        """Ends the model and all processes."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()
        with self._lock:
            for node in self._nodes.values():
                node.cut_power()

    def start(self, node: str) -> None:
        """Starts Corosync and Pacemaker on a node that is up."""
        with self._lock:
            it = self._nodes[node]
            it.stack, it.leaving, it.members = True, False, {node}
            it.seen_since, it.lost_since, it.left = {}, {}, set()
            it.stack_since = time.monotonic()
            it.last_on = it.wanted_on = None

    def stop(self, node: str) -> None:
        """Stops the resource there, then Pacemaker and Corosync: a clean leave."""
        with self._lock:
            self._nodes[node].leaving = True
        self.wait_until(lambda: not self._nodes[node].stack, f"{node} has stopped")

    def power_off(self, node: str) -> None:
        """Takes the power from a node: all its processes at once."""
        with self._lock:
            self._nodes[node].cut_power()

    def power_on(self, node: str) -> None:
        """Boots a node that was without power."""
        with self._lock:
            self._nodes[node].powered = True
        self._at_boot(self, node)
        self.start(node)

    def partition(self, *nodes: str) -> None:
        """Cuts the ring between these nodes and the rest."""
        with self._lock:
            for name in nodes:
                self._ring[name] = 1

    def heal(self) -> None:
        """Makes the ring whole again."""
        with self._lock:
            self._ring = dict.fromkeys(self._ring, 0)

    def cut_aws(self, node: str, how: AwsCut = "unreachable") -> None:
        """Cuts a node from AWS at the embedded AWS's own door."""
        self._cut(node, how)

    def restore_aws(self, node: str) -> None:
        """Gives a node its way to AWS back."""
        self._cut(node, None)

    def kill_corosync(self, node: str) -> None:
        """Not modelled.

        Raises:
            ClusterError: always; only the real cluster shows what Pacemaker makes of it.
        """
        raise ClusterError(f"the simulated cluster cannot kill Corosync on {node}: see `make lab`")

    kill_pacemaker = kill_corosync

    def restart_cluster_stack(self, node: str) -> None:
        """Stops Pacemaker and Corosync and starts both again."""
        self.stop(node)
        self.start(node)

    def freeze(self, node: str) -> None:
        """Stops all processes of a node where they stand."""
        self._nodes[node].signal(signal.SIGSTOP, self._nodes[node].processes)

    def thaw(self, node: str) -> None:
        """Lets the processes of a frozen node go on."""
        self._nodes[node].signal(signal.SIGCONT, self._nodes[node].processes)

    def repair(self) -> None:
        """Ends all faults and starts what is down."""
        self.heal()
        for name, node in self._nodes.items():
            self.restore_aws(name)
            if not node.powered:
                self.power_on(name)
            self.thaw(name)
            if not node.stack:
                self.start(name)
        self.wait_until(self._whole, "all nodes are members")

    def view(self, node: str) -> ClusterView | None:
        """What the stand-in of `crm_mon` shows on this node."""
        try:
            return parse_crm_mon((self._nodes[node].folder / "crm_mon.xml").read_text())
        except ET.ParseError:
            return None

    def move_resource(self, resource: str, node: str) -> None:
        """Asks the model to move the resource."""
        self._request(self._nodes[node], ["--move", "--resource", resource, "--node", node])

    def clean_up(self, resource: str, node: str | None = None) -> None:
        """Forgets failures."""
        where = [] if node is None else ["--node", node]
        for it in self._nodes.values():
            self._request(it, ["--cleanup", "--resource", resource, *where])

    def wait_until(self, condition: Callable[[], bool], what: str, seconds: float = 30.0) -> float:
        """Waits for a condition and returns the seconds that it took.

        Raises:
            ClusterError: it did not come true in time.
        """
        began = time.monotonic()
        while not condition():
            if time.monotonic() - began > seconds:
                views = "; ".join(f"{name}: {self.view(name)}" for name in self._nodes)
                raise ClusterError(f"after {seconds:.0f} s still not: {what} ({views})")
            time.sleep(0.02)
        return time.monotonic() - began

    def _whole(self) -> bool:
        return all(node.members == set(self._nodes) for node in self._nodes.values())

    def _live(self) -> None:
        while not self._ended.wait(TICK_SECONDS):
            with self._lock:
                now = time.monotonic()
                for node in self._nodes.values():
                    for request in node.requests():
                        self._request(node, request)
                    if node.stack:
                        self._look_around(node, now)
                for side in self._sides():
                    self._schedule(side, now)
                for node in self._nodes.values():
                    self._show(node)

    def _look_around(self, node: SimulatedNode, now: float) -> None:
        """Updates links and members of one node by how long each peer has been seen or lost."""
        for peer in self._nodes.values():
            if peer is node:
                continue
            if peer.stack and self._ring[peer.name] == self._ring[node.name]:
                node.lost_since.pop(peer.name, None)
                since = node.seen_since.setdefault(peer.name, now)
                if now - since > REJOIN_SECONDS and peer.name not in node.members:
                    self._join(node, peer)
            else:
                node.seen_since.pop(peer.name, None)
                since = node.lost_since.setdefault(
                    peer.name, now + self._random.uniform(0, ELECTION_SECONDS)
                )
                gone = peer.name in node.left or now - since > self._loss_seconds
                if gone and peer.name in node.members:
                    node.members.discard(peer.name)

    def _join(self, node: SimulatedNode, peer: SimulatedNode) -> None:
        node.members.add(peer.name)
        node.left.discard(peer.name)
        # Two CIBs become one: what either knew of failures stays known.
        node.failures.update(peer.failures)
        node.last_on = node.last_on or peer.last_on

    def _sides(self) -> list[list[SimulatedNode]]:
        """The groups of nodes that agree on their membership."""
        sides: dict[frozenset[str], list[SimulatedNode]] = {}
        for node in self._nodes.values():
            if node.stack:
                sides.setdefault(frozenset(node.members), []).append(node)
        return [side for members, side in sides.items() if {n.name for n in side} == members]

    def _schedule(self, side: list[SimulatedNode], now: float) -> None:
        if len(side) == 1 and now - side[0].stack_since < DC_DEADTIME_SECONDS:
            return  # Pacemaker waits that long for a peer before it acts alone.
        members = [
            Member(n.name, n.role, n.role_since, n.name in n.failures, n.leaving) for n in side
        ]
        last_on = next((n.last_on for n in side if n.last_on), None)
        wanted_on = next((n.wanted_on for n in side if n.wanted_on), None)
        step = next_step(members, last_on, wanted_on)
        if step is not None:
            self._begin(side, step)
        for node in side:
            if node.role == "Started" and now >= node.next_monitor and node.operation is None:
                node.next_monitor = now + MONITOR_SECONDS
                self._operate(side, node, "monitor")
            if node.leaving and node.role == "Stopped" and node.operation is None:
                self._leave(node)

    def _begin(self, side: list[SimulatedNode], step: Step) -> None:
        node = self._nodes[step.node]
        if node.operation is not None:
            return
        node.role = "Starting" if step.operation == "start" else "Stopping"
        node.role_since = time.monotonic()
        self._operate(side, node, step.operation)

    def run_resource_agent(self, node: str, action: str) -> int:
        """Runs one action of the resource agent on a node to its end; returns its exit code."""
        it = self._nodes[node]
        environment = {
            "PATH": os.environ["PATH"],
            "OCF_ROOT": "/usr/lib/ocf",
            "OCF_RESOURCE_INSTANCE": self._resource,
            "OCF_RESKEY_CRM_meta_timeout": str(int(OPERATION_SECONDS * 1000)),
            "OCF_RESKEY_socket": str(it.folder / "run" / "agent.sock"),
            "HA_RSCTMP": str(it.folder / "run"),
        }
        return it.run_agent([*self._resource_agent, action], environment, OPERATION_SECONDS)

    def _operate(self, side: list[SimulatedNode], node: SimulatedNode, action: str) -> None:
        def run() -> None:
            code = self.run_resource_agent(node.name, action)
            with self._lock:
                node.operation = None
                if node.powered:
                    self._ended_operation(side, node, action, code)

        node.operation = threading.Thread(target=run, name=f"{node.name}-{action}", daemon=True)
        node.operation.start()

    def _ended_operation(
        self, side: list[SimulatedNode], node: SimulatedNode, action: str, code: int
    ) -> None:
        if action == "start":
            node.role, node.starts = "Started", node.starts + (code == 0)
            node.next_monitor = time.monotonic() + MONITOR_SECONDS
        elif action == "stop":
            node.role = "Stopped"
        node.role_since = time.monotonic() if action != "monitor" else node.role_since
        for member in side:
            if code and action != "stop":
                member.failures[node.name] = f"{self._resource}_{action}_0"
            elif action == "start":
                member.last_on = node.name

    def _leave(self, node: SimulatedNode) -> None:
        node.stack, node.leaving = False, False
        for peer in self._nodes.values():
            if node.name in peer.members and peer is not node:
                peer.left.add(node.name)

    def _request(self, node: SimulatedNode, arguments: list[str]) -> None:
        """What `crm_resource` was asked for: it holds for the whole side of the node."""
        target = arguments[arguments.index("--node") + 1] if "--node" in arguments else None
        with self._lock:
            for name in node.members:
                member = self._nodes[name]
                if "--cleanup" in arguments and target is not None:
                    member.failures.pop(target, None)
                elif "--cleanup" in arguments:
                    member.failures.clear()
                elif "--move" in arguments:
                    member.wanted_on = target
                elif "--clear" in arguments:
                    member.wanted_on = None

    def _show(self, node: SimulatedNode) -> None:
        if not node.stack:
            node.write("crm_mon.xml", NOT_CONNECTED_XML)
            node.write("cfgtool", "")
            return
        now = time.monotonic()
        roles = {name: self._nodes[name].role for name in node.members}
        node.write(
            "crm_mon.xml",
            crm_mon_xml(
                names=self.nodes,
                online=node.members,
                left=node.left,
                roles=roles,
                failed=node.failures,
                resource=self._resource,
            ),
        )
        lines = ["Local node ID 1, transport knet"]
        for number, name in enumerate(self._nodes, 1):
            seen, lost = node.seen_since.get(name), node.lost_since.get(name)
            up = seen is not None and now - seen > LINK_UP_SECONDS
            holds = lost is not None and now - lost < LINK_DOWN_SECONDS and name in node.members
            if name != node.name and (up or holds or (name in node.members and lost is None)):
                lines.append(f"nodeid: {number} reachable")
        node.write("cfgtool", "\n".join(lines) + "\n")
