"""The site of the proof: a real Pacemaker cluster in the enclosure, set up the classic way.

`stonith-enabled=false`, `no-quorum-policy=ignore`, `resource-stickiness=INFINITY`,
`migration-threshold=1`; the nodes have the agent's Debian package, and the agent runs unprivileged,
as its systemd unit lets it.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.cluster import enclosure, page
from lab.cluster.network import AWS_ADDRESS
from lab.cluster.real import RealCluster
from lab.embedded.cloud import EmbeddedAws
from lab.embedded.ways import LAYOUTS, Layout
from lab.embedded.world import World
from lab.site import (
    CLUSTER_ID,
    ROOT,
    START_TIMEOUT_SECONDS,
    Site,
    agent_settings,
)

RESOURCE_AGENT_PATH = "/usr/lib/ocf/resource.d/eip-arbiter/eip"
_OCF = {"OCF_ROOT": "/usr/lib/ocf", "OCF_RESOURCE_INSTANCE": "eip"}
ALERT_AGENT = "/usr/lib/eip-agent/eip-agent-alert"
LINK_REST_SECONDS = 15.0
"""A knet link that came up less than this ago notices a cut a second later than an older one."""
CLASSIC_DEFAULTS = {"migration-threshold": "1"}
MARK = "/run/resource-agents/eip-arbiter-eip.state"
_PACKAGE = "/var/tmp/eip-agent.deb"  # noqa: S108 - on a node's own disk
_FOLDERS = (
    "install -d -o eip-agent -g haclient -m 755 /run/eip-agent"
    " && install -d -o eip-agent -g haclient -m 750 /var/lib/eip-agent"
)


@dataclass(frozen=True)
class Place:
    """A cluster, the AWS beside it, and what each node starts at boot (more may be added)."""

    cluster: RealCluster
    aws: EmbeddedAws
    world: World
    at_boot: list[Callable[[RealCluster, str], None]]


@contextlib.contextmanager
def real_cluster(
    size: int = 2,
    *,
    token_ms: int = 1000,
    resources: Sequence[str] = ("eip",),
    layout: Layout = LAYOUTS["classic"],
) -> Iterator[Place]:
    """A cluster with nothing in it but nodes with a metadata service, and AWS beside it.

    `resources`: what there is an Elastic IP for. `layout`: how the nodes reach AWS.
    """
    worlds: list[World] = []

    def metadata_service(cluster: RealCluster, name: str) -> None:
        metadata = worlds[0].nodes[name].metadata_file
        imds = [sys.executable, "-m", "lab.embedded.imds", "--metadata", str(metadata)]
        cluster.spawn(name, imds, log="metadata.log", env={"PYTHONPATH": str(ROOT)})

    at_boot: list[Callable[[RealCluster, str], None]] = [metadata_service]

    def boot(cluster: RealCluster, name: str) -> None:
        for start in at_boot:
            start(cluster, name)

    cluster = RealCluster(size, token_ms=token_ms, defaults=CLASSIC_DEFAULTS, at_boot=boot)
    work = enclosure.STATE / "aws"
    with EmbeddedAws(ROOT / "template.yaml", work_dir=work, bind=AWS_ADDRESS) as aws:
        nodes = list(cluster.nodes)
        worlds.append(
            World(
                aws,
                work / "metadata",
                cluster_id=CLUSTER_ID,
                node_names=nodes,
                resources=resources,
                layout=layout,
            )
        )
        worlds[0].follow_ways(lambda node, works: cluster.change_way(node, works=works))
        with contextlib.ExitStack() as stack:
            stack.callback(cluster.down)
            cluster.up()
            yield Place(cluster, aws, worlds[0], at_boot)


@contextlib.contextmanager
def real_site(
    size: int = 2, *, token_ms: int = 1000, layout: Layout = LAYOUTS["classic"]
) -> Iterator[Site]:
    """The same with the agent on every node, the resource, and a web page that it is for."""
    with real_cluster(size, token_ms=token_ms, layout=layout) as place:
        yield install(place)


def install(place: Place) -> Site:
    """Installs the agents and creates the resource."""
    cluster = place.cluster
    install_agents(place)
    first = cluster.nodes[0]
    cluster.pcs(first, "alert", "create", "id=eip-agent", f"path={ALERT_AGENT}")
    cluster.pcs(
        first,
        *("resource", "create", "eip", "ocf:eip-arbiter:eip"),
        *("op", "start", f"timeout={START_TIMEOUT_SECONDS}s", "monitor", "interval=10s"),
        *("meta", "multiple-active=block"),
    )
    return site_of(place)


def install_agents(place: Place, **more: str) -> None:
    """Installs the agent's package on running nodes and starts it; Pacemaker is not asked.

    `more` are settings of the agent.
    """
    cluster = place.cluster
    cluster.install(_PACKAGE, built_package())
    for name in cluster.nodes:
        cluster.run(name, ["dpkg", "--no-triggers", "--install", _PACKAGE])
        settings = agent_settings(place.aws, name, **more)
        cluster.node(name).install("/etc/eip-agent/eip-agent.conf", settings)
        boot_agent(cluster, name)
    place.at_boot.append(boot_agent)


def site_of(place: Place) -> Site:
    """A place whose nodes have the agent, as a story sees it."""
    cluster = place.cluster
    return Site(
        aws=place.aws,
        world=place.world,
        cluster=cluster,
        mark=lambda node: _file_of(cluster, node, MARK),
        agent_log=lambda node: cluster.node(node).home / "log" / "eip-agent.log",
        monitor=lambda node: (
            cluster.run(node, [RESOURCE_AGENT_PATH, "monitor"], env=_OCF, check=False).returncode
        ),
        page=lambda node: page.fetch(cluster.address(node), seconds=0.2),
        rest_seconds=LINK_REST_SECONDS,
    )


def boot_agent(
    cluster: RealCluster, name: str, *, env: Mapping[str, str] | None = None, page_too: bool = True
) -> None:
    """Starts on a node what systemd would: the agent as its own user, and the web page."""
    start_agent(cluster, name, env=env)
    if page_too:
        page.serve(cluster, name)


def start_agent(cluster: RealCluster, name: str, env: Mapping[str, str] | None = None) -> None:
    """Starts the agent as its systemd unit does."""
    cluster.run(name, ["sh", "-c", _FOLDERS])
    cluster.spawn(
        name,
        ["/usr/bin/eip-agent", "run", "--config", "/etc/eip-agent/eip-agent.conf"],
        log="eip-agent.log",
        user=int(cluster.run(name, ["id", "-u", "eip-agent"]).stdout),
        env=env,
    )


def built_package() -> Path:
    """The Debian package of this checkout."""
    build = [sys.executable, str(ROOT / "node_agent/packaging/build.py"), "--only", "deb"]
    folder = str(enclosure.STATE / "packages")
    done = subprocess.run([*build, folder], check=True, capture_output=True, text=True)
    return Path(done.stdout.strip())


def _file_of(cluster: RealCluster, node: str, path: str) -> Path:
    """A file of a running node; one that cannot exist where the node has no power."""
    it = cluster.node(node)
    return it.path(path) if it.powered else Path("/nowhere")
