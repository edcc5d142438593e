"""A place where a story happens: the embedded AWS, the environment in it, and a cluster of agents.

`simulated_site` needs no root; `lab.real_site` is the proof. Both run the same template, functions,
agent, resource agent and metadata service.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from lab.cluster import page
from lab.cluster.protocol import AwsCut, Cluster
from lab.embedded.cloud import EmbeddedAws
from lab.embedded.faults import Fault, Mode
from lab.embedded.ways import LAYOUTS, Layout
from lab.embedded.world import World
from lab.simulated.cluster import SimulatedCluster

ROOT = Path(__file__).parents[1]
CLUSTER_ID = "web"
START_TIMEOUT_SECONDS = 60
AGENT_PATH = os.pathsep.join(
    [str(ROOT / "node_agent" / "src"), str(ROOT / "layers" / "contract" / "src")]
)
PAGE = Path(page.__file__).resolve()
RESOURCE_AGENT = ROOT / "node_agent" / "ocf" / "eip"


@dataclass(frozen=True)
class Site:
    """What a story works with.

    `mark(node)` is the resource agent's mark of a running resource, `monitor(node)` runs its
    monitor action there and gives the exit code, `page(node)` asks the node's web page who answers.
    `rest_seconds`: how long links must have been up before a fault is timed.
    """

    aws: EmbeddedAws
    world: World
    cluster: Cluster
    mark: Callable[[str], Path]
    agent_log: Callable[[str], Path]
    monitor: Callable[[str], int]
    page: Callable[[str], str | None]
    rest_seconds: float

    def running_since(self, node: str) -> float | None:
        """When the resource was started there (`time.time()`), None where it does not run."""
        try:
            return self.mark(node).stat().st_mtime
        except OSError:
            return None

    def who_answers(self) -> str | None:
        """Who answers a client that calls the Elastic IP now; None while nobody does.

        The page is there on every node, as an nginx that is installed. It stands for a service that
        Pacemaker starts together with the resource, so where that does not run, nobody answers.
        """
        holder = self.world.holder()
        if holder is None or self.running_since(holder) is None:
            return None
        return self.page(holder)

    def running_on(self) -> list[str]:
        """The nodes on which the resource agent says that the resource runs."""
        return [node for node in self.cluster.nodes if self.running_since(node) is not None]


def agent_settings(aws: EmbeddedAws, node: str, **more: str) -> str:
    """An agent's configuration file, as an operator would write it from the stack's outputs."""
    settings = {
        "cluster_id": CLUSTER_ID,
        "bus": aws.outputs["BusName"],
        "table": aws.outputs["TableName"],
        "endpoint_url": aws.endpoint_url,
        "node_name": node,
        **more,
    }
    return "[agent]\n" + "".join(f"{key} = {value}\n" for key, value in settings.items())


def cut_by_faults(aws: EmbeddedAws) -> Callable[[str, AwsCut | None], None]:
    """How a simulated node loses AWS: the embedded AWS itself does not answer it."""
    faults: dict[str, Fault] = {}

    def cut(node: str, how: AwsCut | None) -> None:
        if node in faults:
            faults.pop(node).clear()
        if how is not None:
            mode: Mode = "blackhole" if how == "blackhole" else "refuse"
            faults[node] = aws.faults.set(mode, principal=node)

    return cut


def mute_by_faults(aws: EmbeddedAws) -> Callable[[str, bool], None]:
    """How a simulated node's way goes and comes with its addresses: as in `cut_by_faults`."""
    faults: dict[str, Fault] = {}

    def change(node: str, works: bool) -> None:
        if works and node in faults:
            faults.pop(node).clear()
        elif not works and node not in faults:
            faults[node] = aws.faults.set("blackhole", principal=node)

    return change


@contextlib.contextmanager
def simulated_site(
    folder: Path,
    *,
    token_ms: int = 1000,
    aws_port: int = 0,
    layout: Layout = LAYOUTS["classic"],
) -> Iterator[Site]:
    """A site on loopback, without root: the cluster is simulated, the rest is real."""
    nodes = ["n1", "n2"]
    with EmbeddedAws(ROOT / "template.yaml", work_dir=folder / "aws", port=aws_port) as aws:
        world = World(
            aws, folder / "metadata", cluster_id=CLUSTER_ID, node_names=nodes, layout=layout
        )
        world.follow_ways(mute_by_faults(aws))
        pages = {node: _free_port() for node in nodes}
        cluster = simulated_cluster(folder, aws, world, pages, token_ms=token_ms)
        with contextlib.ExitStack() as stack:
            stack.callback(cluster.down)
            cluster.up()
            yield Site(
                aws=aws,
                world=world,
                cluster=cluster,
                mark=lambda node: cluster.node(node).folder / "run" / "eip-arbiter-eip.state",
                agent_log=lambda node: cluster.node(node).folder / "eip-agent.log",
                monitor=lambda node: cluster.run_resource_agent(node, "monitor"),
                page=lambda node: page.fetch("127.0.0.1", pages[node]),
                rest_seconds=0.0,
            )


def simulated_cluster(
    folder: Path,
    aws: EmbeddedAws,
    world: World,
    pages: Mapping[str, int],
    *,
    token_ms: int = 1000,
    cluster_id: str = CLUSTER_ID,
) -> SimulatedCluster:
    """A cluster whose nodes run the real agent, its metadata service and a page, when they boot.

    Args:
        folder: Where the nodes' folders are made.
        aws: The AWS that their agents speak to.
        world: The instances that the nodes are.
        pages: The port of each node's page.
        token_ms: Corosync's token timeout.
        cluster_id: The value of the tag `eip-arbiter:cluster`.
    """
    ports = {node: _free_port() for node in pages}

    def boot(cluster: SimulatedCluster, name: str) -> None:
        node, metadata_port = cluster.node(name), ports[name]
        bins = node.folder / "bin"
        config = node.folder / "eip-agent.conf"
        config.write_text(
            agent_settings(
                aws,
                name,
                cluster_id=cluster_id,
                socket=str(node.folder / "run" / "agent.sock"),
                state_dir=str(node.folder / "state"),
                metadata_endpoint=f"http://127.0.0.1:{metadata_port}",
                crm_mon=str(bins / "crm_mon"),
                crm_resource=str(bins / "crm_resource"),
                corosync_cfgtool=str(bins / "corosync-cfgtool"),
                corosync_quorumtool=str(bins / "corosync-quorumtool"),
                attrd_updater="true",  # the simulated cluster has no node attributes
            )
        )
        (node.folder / "state").mkdir(exist_ok=True)
        environment = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8"}
        metadata = world.nodes[name].metadata_file
        imds = [sys.executable, "-m", "lab.embedded.imds", "--metadata", str(metadata)]
        node.spawn(
            [*imds, "--bind", "127.0.0.1", "--port", str(metadata_port)],
            log="metadata.log",
            env={**environment, "PYTHONPATH": str(ROOT)},
        )
        node.spawn(
            [sys.executable, "-m", "eip_agent", "run", "--config", str(config)],
            log="eip-agent.log",
            env={**environment, "PYTHONPATH": AGENT_PATH},
        )
        node.spawn(
            [sys.executable, str(PAGE), name, "127.0.0.1", str(pages[name])],
            log="page.log",
            env=environment,
        )

    return SimulatedCluster(
        folder / "nodes",
        resource_agent=[sys.executable, "-IS", str(RESOURCE_AGENT)],
        at_boot=boot,
        cut=cut_by_faults(aws),
        token_ms=token_ms,
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
