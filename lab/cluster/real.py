"""A real Corosync and Pacemaker cluster inside the enclosure, with faults to put on it.

Every fault here is what it says: processes are killed, links are pulled, packets are dropped.
"""

from __future__ import annotations

import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Literal
from xml.etree import ElementTree as ET

from lab.cluster import config, enclosure, network
from lab.cluster.node import Node
from lab.cluster.protocol import ClusterError
from lab.cluster.status import parse_crm_mon

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from lab.cluster.processes import NodeProcess
    from lab.cluster.protocol import AwsCut
    from lab.cluster.status import ClusterView

_POLL_SECONDS = 0.05


class RealCluster:
    """Nodes `n1`, `n2` (and `n3`), one per enclosure: there is nothing to clean up afterwards.

    Args:
        size: 2 or 3 nodes.
        token_ms: Corosync's token timeout; Debian's default is 3000.
        properties: on top of the classic cluster properties.
        defaults: on top of the classic resource defaults.
        pacemaker_environment: what /etc/default/pacemaker would hold; resource agents and alert
            agents get it too.
        at_boot: called for each node that has got power, before its cluster stack starts:
            spawns there what systemd would start. Like the environment it may be set later, as
            the embedded AWS can only be started once the networks are there.
    """

    kind: Literal["real"] = "real"

    def __init__(
        self,
        size: int = 2,
        *,
        token_ms: int = 1000,
        properties: Mapping[str, str] | None = None,
        defaults: Mapping[str, str] | None = None,
        pacemaker_environment: Mapping[str, str] | None = None,
        at_boot: Callable[[RealCluster, str], None] | None = None,
    ) -> None:
        if not enclosure.inside():
            raise ClusterError("a real cluster runs only in the enclosure")
        self._nodes = {f"n{number}": Node(f"n{number}", number) for number in range(1, size + 1)}
        self.pacemaker_environment = dict(pacemaker_environment or {})
        self.at_boot = at_boot
        self._cuts: dict[str, AwsCut] = {}
        self._apart: set[str] = set()
        self._without_way: set[str] = set()
        # Faults may overlap: no node may come or go between two looks at who has power.
        self._plugs = threading.RLock()
        shutil.rmtree(enclosure.STATE / "nodes", ignore_errors=True)
        self.token_ms = token_ms
        numbers = {name: node.number for name, node in self._nodes.items()}
        conf = config.corosync_conf(numbers, token_ms)
        cib = config.first_cib(
            {**config.CLASSIC_PROPERTIES, **(properties or {})},
            {**config.CLASSIC_DEFAULTS, **(defaults or {})},
        )
        for node in self._nodes.values():
            node.make_disk(conf, cib)
        network.make_bridges()

    @property
    def nodes(self) -> Sequence[str]:
        """Names of the nodes, `n1` first."""
        return tuple(self._nodes)

    def node(self, name: str) -> Node:
        """Give one node, for what is beyond the common protocol."""
        return self._nodes[name]

    def address(self, node: str) -> str:
        """Give a node's address on the network of AWS, where its page is."""
        return network.aws_address(self._nodes[node].number)

    def up(self) -> float:
        """Give all nodes power and wait until all are online; returns the seconds it took."""
        began = time.monotonic()
        with ThreadPoolExecutor(len(self._nodes)) as pool:
            list(pool.map(self.power_on, self._nodes))
        self.wait_online()
        return time.monotonic() - began

    def down(self) -> None:
        """Take the power from all nodes and remove the networks, for another cluster to come."""
        for name, node in self._nodes.items():
            self.restore_aws(name)
            self.change_way(name, works=True)
            if node.powered:
                node.power_off()
        network.remove_bridges()

    def start(self, node: str) -> None:
        """Start Corosync, then Pacemaker, on a node that has power."""
        self._nodes[node].start_stack(self.pacemaker_environment)

    def stop(self, node: str) -> None:
        """Stop Pacemaker, then Corosync, as their systemd units do, and wait for both."""
        self._nodes[node].stop_stack()

    def power_off(self, node: str) -> None:
        """Take the power from a node: its links and all its processes at once."""
        with self._plugs:
            self._nodes[node].power_off()

    def power_on(self, node: str) -> None:
        """Boot a node that was without power, and start what it starts at boot."""
        with self._plugs:
            self._nodes[node].boot()
            self._place_on_rings()
            if node in self._cuts and self._cuts[node] == "unreachable":
                network.cut_aws(node, self._nodes[node].number, "unreachable")
        if self.at_boot is not None:
            self.at_boot(self, node)
        self.start(node)

    def partition(self, *nodes: str) -> None:
        """Cut the ring between these nodes and the rest; among themselves they still talk.

        A node that has no power now, or loses it, is on its side of the cut when it boots.
        """
        with self._plugs:
            self._apart.update(nodes)
            self._place_on_rings()

    def heal(self) -> None:
        """Make the ring whole again."""
        with self._plugs:
            self._apart.clear()
            self._place_on_rings()

    def _place_on_rings(self) -> None:
        powered = {name for name, node in self._nodes.items() if node.powered}
        network.move_to_ring(sorted(powered - self._apart), "ring")
        network.move_to_ring(sorted(powered & self._apart), "ring-cut")

    def cut_aws(self, node: str, how: AwsCut = "unreachable") -> None:
        """Cut a node from AWS; its metadata service stays, as on EC2."""
        with self._plugs:
            self.restore_aws(node)
            if how != "unreachable" or self._nodes[node].powered:
                network.cut_aws(node, self._nodes[node].number, how)
            self._cuts[node] = how

    def restore_aws(self, node: str) -> None:
        """Give a node its way to AWS back."""
        with self._plugs:
            how = self._cuts.pop(node, None)
            if how is not None and (how != "unreachable" or self._nodes[node].powered):
                network.restore_aws(node, self._nodes[node].number, how)

    def change_way(self, node: str, *, works: bool) -> None:
        """Take or give back what EC2 does: the public address by which all of a node's packets go.

        It is no fault, and so `repair` leaves it as it is.
        """
        with self._plugs:
            if works == (node not in self._without_way):
                return
            if works:
                self._without_way.discard(node)
                network.find_way(self._nodes[node].number)
            else:
                self._without_way.add(node)
                network.lose_way(self._nodes[node].number)

    def kill_corosync(self, node: str) -> None:
        """Kill Corosync with SIGKILL, and nothing else."""
        self._nodes[node].kill("corosync")

    def kill_pacemaker(self, node: str) -> None:
        """Kill all of Pacemaker's processes with SIGKILL; resources run on."""
        self._nodes[node].kill("pacemaker")

    def restart_cluster_stack(self, node: str) -> None:
        """End what is left of Pacemaker and Corosync on a node, and start both again."""
        self.kill_pacemaker(node)
        self.kill_corosync(node)
        self.start(node)

    def freeze(self, node: str) -> None:
        """Stop all processes of a node where they stand; its kernel still answers."""
        self._nodes[node].freeze()

    def thaw(self, node: str) -> None:
        """Let the processes of a frozen node go on."""
        self._nodes[node].thaw()

    def repair(self) -> None:
        """End all faults, start what is down, and wait until all nodes are online again."""
        for name, node in self._nodes.items():
            self.restore_aws(name)
            if not node.powered:
                self.power_on(name)
            node.thaw()
        self.heal()
        for name, node in self._nodes.items():
            if not (node.pids("corosync") and node.pids("pacemaker-contr")):  # 15 letters
                self.restart_cluster_stack(name)
        self.wait_online()

    def run(
        self,
        node: str,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        user: int | None = None,
        check: bool = True,
        seconds: float = 60.0,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in a node to its end; see `Node.run`."""
        return self._nodes[node].run(argv, env=env, user=user, check=check, seconds=seconds)

    def spawn(
        self,
        node: str,
        argv: Sequence[str],
        *,
        log: str,
        env: Mapping[str, str] | None = None,
        user: int | None = None,
        folder: Path | None = None,
    ) -> NodeProcess:
        """Start a long-running process in a node; see `Node.spawn`."""
        return self._nodes[node].spawn(argv, log=log, env=env, user=user, folder=folder)

    def install(self, path: str, content: Path | str, mode: int | None = None) -> None:
        """Put a file, a folder or a text on every node's disk; see `Node.install`."""
        for node in self._nodes.values():
            node.install(path, content, mode)

    def pcs(self, node: str, *arguments: str) -> str:
        """Run `pcs` on a node and return what it printed."""
        return self.run(node, ["pcs", *arguments]).stdout

    def move_resource(self, resource: str, node: str) -> None:
        """Ask Pacemaker to move a resource there, as an operator would, and take the ban back.

        Without `--force` an infinite stickiness keeps the resource where it is. `--force` bans
        the old node, which could then not take over: so the ban goes as soon as it has worked.
        """
        command = ["crm_resource", "-r", resource]
        self.run(node, [*command, "--move", "-N", node, "--lifetime", "PT5M", "--force"])
        self.wait_started(resource, node)
        self.run(node, [*command, "--clear"])

    def clean_up(self, resource: str, node: str | None = None) -> None:
        """Forget a resource's failures, on one node or on all."""
        only = ["-N", node] if node is not None else []
        self.run(self._anyone(), ["crm_resource", "-C", "-r", resource, *only])

    def _anyone(self) -> str:
        for name in self._nodes:
            if self.view(name) is not None:
                return name
        raise ClusterError("Pacemaker answers on no node")

    def view(self, node: str) -> ClusterView | None:
        """What `crm_mon` on this node says now; `None` when Pacemaker does not answer."""
        if not self._nodes[node].powered:
            return None
        xml = self.run(node, ["crm_mon", "-1", "--inactive", "--output-as=xml"], check=False).stdout
        try:
            return parse_crm_mon(xml)
        except ET.ParseError:  # Pacemaker ended while it was printing
            return None

    def started_on(self, resource: str) -> tuple[str, ...]:
        """Name the nodes that say of themselves that they run the resource: two in a split."""
        views = {name: self.view(name) for name in self._nodes}
        return tuple(n for n, v in views.items() if v is not None and n in v.started_on(resource))

    def wait_online(self, *nodes: str, seconds: float = 60.0) -> float:
        """Wait until each of these nodes (all by default) sees all of them online, with a DC."""
        wanted = set(nodes or self._nodes)

        def whole() -> bool:
            views = [self.view(name) for name in wanted]
            return all(v is not None and v.dc and wanted <= set(v.online) for v in views)

        return self.wait_until(whole, f"{' '.join(sorted(wanted))} online", seconds)

    def wait_started(self, resource: str, *nodes: str, seconds: float = 60.0) -> float:
        """Wait until exactly these nodes say of themselves that they run the resource."""
        what = f"{resource} started on exactly {' '.join(nodes) or 'no node'}"
        return self.wait_until(lambda: self.started_on(resource) == nodes, what, seconds)

    def wait_until(self, condition: Callable[[], bool], what: str, seconds: float = 30.0) -> float:
        """Wait for a condition and return the seconds that it took.

        Raises:
            ClusterError: it did not come true in time; the message says `what` and the views.
        """
        began = time.monotonic()
        while not condition():
            if time.monotonic() - began > seconds:
                views = "\n".join(f"  {name}: {self.view(name)}" for name in self._nodes)
                raise ClusterError(f"not within {seconds} s: {what}\n{views}")
            time.sleep(_POLL_SECONDS)
        return time.monotonic() - began

    def save_logs(self, folder: Path) -> None:
        """Copy what all nodes have logged out of the enclosure, to look at after a failure."""
        for name, node in self._nodes.items():
            shutil.copytree(node.home / "log", folder / name, dirs_exist_ok=True)
            for program in ("corosync", "pacemaker"):
                source = node.disk / "var/log" / program
                shutil.copytree(source, folder / name / program, dirs_exist_ok=True)
