"""The classic stack's own user data and bootstrap on real nodes, as far as namespaces go.

What is real: the user data that the stack gave its instances, the package it fetches, the key it
reads, the files it writes, Corosync with that key, Pacemaker, and what `pcs` sets. What is not: apt
(the packages are here already), systemd (the units' commands are started by the test), and EC2.
"""

from __future__ import annotations

import base64
import hashlib
import http.server
import shutil
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import pytest

from lab.cluster import config, enclosure, network
from lab.cluster.real import RealCluster
from lab.embedded.cloud import EmbeddedAws
from lab.embedded.stack import deploy_beside
from lab.embedded.world import StackWorld
from lab.real_site import boot_agent, built_package
from lab.site import ROOT

pytestmark = [pytest.mark.real_cluster, pytest.mark.timeout(180)]

ADDRESSES = {"n1": "10.0.0.10", "n2": "10.0.1.10"}
PACKAGES_PORT = 8081
BOOTSTRAP = "/usr/lib/eip-agent/classic-bootstrap"
COPY = "/var/tmp/classic-bootstrap"  # noqa: S108 - on the node's own disk
SERVICES = "corosync pacemaker pcsd eip-agent eip-classic-page"
BEGINS = "classic-bootstrap: "


@dataclass(frozen=True)
class Classic:
    """Two nodes on which the bootstrap has run, and what it said on each."""

    cluster: RealCluster
    aws: EmbeddedAws
    world: StackWorld
    said: dict[str, str]


@pytest.fixture(scope="module")
def package() -> Iterator[tuple[str, str]]:
    """Serves the agent's package; gives its address and its checksum."""
    made = built_package()
    handler = partial(Quiet, directory=str(made.parent))
    with http.server.ThreadingHTTPServer((network.AWS_ADDRESS, PACKAGES_PORT), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        url = f"http://{network.AWS_ADDRESS}:{PACKAGES_PORT}/{made.name}"
        yield url, hashlib.sha256(made.read_bytes()).hexdigest()
        server.shutdown()
        thread.join()


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves a folder without a line for each request."""

    def log_message(self, *_args: object) -> None:
        pass


@pytest.fixture(scope="module")
def bare() -> Iterator[RealCluster]:
    """Machines without any configuration: Pacemaker's own first CIB, but for a quicker election."""
    cluster = RealCluster(2)
    for name in cluster.nodes:
        disk = cluster.node(name).disk
        (disk / "etc/corosync/corosync.conf").unlink()
        cib = disk / "var/lib/pacemaker/cib/cib.xml"
        cib.write_text(config.first_cib({"dc-deadtime": "2s"}, {}))
        shutil.chown(cib, "hacluster", "haclient")
    yield cluster
    cluster.down()


@pytest.fixture(scope="module")
def classic(bare: RealCluster, package: tuple[str, str]) -> Iterator[Classic]:
    work, cluster = enclosure.STATE / "aws", bare
    url, checksum = package
    parameters = {
        "AgentPackageUrl": url,
        "AgentPackageSha256": checksum,
        "AdminCidr": "192.0.2.0/24",
        "FirstNodeAddress": ADDRESSES["n1"],
        "SecondNodeAddress": ADDRESSES["n2"],
    }
    template = ROOT / "examples/classic/template.yaml"
    with EmbeddedAws(ROOT / "template.yaml", work_dir=work, bind=network.AWS_ADDRESS) as aws:
        stack = deploy_beside(aws.site, template, "classic", parameters)
        instances = {"n1": stack.outputs["FirstInstance"], "n2": stack.outputs["SecondInstance"]}
        world = StackWorld(aws, work / "metadata", "web", instances)
        with ThreadPoolExecutor(2) as pool:
            boots = [pool.submit(first_boot, cluster, aws, world, name) for name in cluster.nodes]
            said = dict(zip(cluster.nodes, (boot.result() for boot in boots), strict=True))
        yield Classic(cluster, aws, world, said)


def first_boot(cluster: RealCluster, aws: EmbeddedAws, world: StackWorld, name: str) -> str:
    """What EC2 and cloud-init do: the instance's address, its metadata, and its user data."""
    node, about = cluster.node(name), world.nodes[name]
    node.boot()
    node.run(["ip", "address", "add", f"{about.private_ip}/16", "dev", "ring0"])
    imds = [sys.executable, "-m", "lab.embedded.imds", "--metadata", str(about.metadata_file)]
    node.spawn(imds, log="metadata.log", env={"PYTHONPATH": str(ROOT)})
    found = aws.client("ec2").describe_instance_attribute(
        InstanceId=about.instance_id, Attribute="userData"
    )
    node.install("/var/tmp/user-data", base64.b64decode(found["UserData"]["Value"]).decode(), 0o755)  # noqa: S108 - on the node's own disk
    environment = {
        "EIP_AGENT_ENDPOINT_URL": aws.endpoint_url,
        "EIP_CLASSIC_RETRY_SECONDS": "0.5",
    }
    done = node.run(["/var/tmp/user-data"], env=environment, check=False, seconds=60)  # noqa: S108
    return done.stdout + done.stderr


def test_the_user_data_installs_and_configures_and_says_what_is_left_without_systemd(
    classic: Classic,
) -> None:
    for name, said in classic.said.items():
        lines = [line for line in said.splitlines() if line.startswith(BEGINS)]
        assert lines == [
            f"{BEGINS}the distribution's packages are here",
            f"{BEGINS}this is {name} of web, at {ADDRESSES[name]}",
            f"{BEGINS}systemd does not run here: start {SERVICES}, then run: {COPY} cluster",
        ], said
        node = classic.cluster.node(name)
        for unit in ("corosync", "pacemaker", "eip-agent", "eip-classic-page"):
            assert node.run(["systemctl", "is-enabled", unit]).stdout.strip() == "enabled"


def test_both_nodes_have_the_same_key_and_only_root_reads_it(classic: Classic) -> None:
    secrets = classic.aws.client("secretsmanager")
    (secret,) = secrets.list_secrets()["SecretList"]
    key = secrets.get_secret_value(SecretId=secret["ARN"])["SecretString"]
    for name in classic.cluster.nodes:
        path = classic.cluster.node(name).path("/etc/corosync/authkey")
        assert path.read_text() == key
        assert path.stat().st_mode & 0o777 == 0o400
        assert path.stat().st_uid == 0
    asked = [c for c in classic.aws.journal.calls() if c.service == "secretsmanager"]
    assert {"n1", "n2"} <= {call.principal for call in asked}, "each with its role's own keys"


def test_the_page_is_a_unit_that_systemd_takes(classic: Classic) -> None:
    unit = "/etc/systemd/system/eip-classic-page.service"
    done = classic.cluster.run("n1", ["systemd-analyze", "verify", unit], check=False)
    assert done.returncode == 0, done.stderr


def start_services(classic: Classic, name: str) -> None:
    """Starts what the units would start, by their own words."""
    cluster, node = classic.cluster, classic.cluster.node(name)
    cluster.start(name)
    boot_agent(
        cluster, name, page_too=False, env={"EIP_AGENT_ENDPOINT_URL": classic.aws.endpoint_url}
    )
    unit = node.path("/etc/systemd/system/eip-classic-page.service").read_text()
    (command,) = [line for line in unit.splitlines() if line.startswith("ExecStart=")]
    node.spawn(command.removeprefix("ExecStart=").split(), log="page.log")


def finish(classic: Classic, name: str) -> list[str]:
    done = classic.cluster.run(name, [BOOTSTRAP, "cluster"], seconds=90)
    return done.stdout.splitlines()


def page(classic: Classic, asking: str, address: str) -> str:
    return classic.cluster.run(asking, ["curl", "-fsS", "-m", "2", f"http://{address}/"]).stdout


def test_the_last_step_builds_the_classic_cluster_and_the_address_comes(classic: Classic) -> None:
    cluster = classic.cluster
    for name in cluster.nodes:
        start_services(classic, name)
    with ThreadPoolExecutor(2) as pool:
        said = dict(
            zip(cluster.nodes, pool.map(partial(finish, classic), cluster.nodes), strict=True)
        )
    assert said["n2"][-1] == f"{BEGINS}n1 sets the cluster up"
    assert said["n1"][-1].startswith(f"{BEGINS}the cluster runs")
    cluster.wait_until(
        lambda: cluster.started_on("eip") in {("n1",), ("n2",)}, "the resource runs once"
    )
    (holder,) = cluster.started_on("eip")
    assert classic.world.holder() == holder
    properties = cluster.pcs("n1", "property", "config")
    for wanted in ("stonith-enabled: false", "no-quorum-policy: ignore"):
        assert wanted in properties
    defaults = cluster.pcs("n1", "resource", "defaults", "config")
    for wanted in ("resource-stickiness=INFINITY", "migration-threshold=1"):
        assert wanted in defaults
    for asking, asked in (("n1", "n2"), ("n2", "n1")):
        text = page(classic, asking, ADDRESSES[asked])
        assert f"This is {asked} of web, at {ADDRESSES[asked]}." in text


def test_the_last_step_may_be_repeated(classic: Classic) -> None:
    before = classic.cluster.run("n1", ["cibadmin", "-Q", "-o", "configuration"]).stdout
    finish(classic, "n1")
    assert classic.cluster.run("n1", ["cibadmin", "-Q", "-o", "configuration"]).stdout == before


def test_the_doctor_finds_nothing_to_do_on_such_a_node(classic: Classic) -> None:
    environment = {"EIP_AGENT_ENDPOINT_URL": classic.aws.endpoint_url}
    for name in classic.cluster.nodes:
        classic.cluster.wait_until(
            lambda name=name: (  # type: ignore[misc] # mypy cannot infer a default's type
                classic.cluster.run(
                    name, ["eip-agent", "doctor"], env=environment, check=False
                ).returncode
                == 0
            ),
            f"the doctor finds {name} well",
        )


def test_a_planned_stop_moves_the_stacks_address_once(classic: Classic) -> None:
    cluster = classic.cluster
    (holder,) = cluster.started_on("eip")
    (other,) = set(cluster.nodes) - {holder}
    before = len(classic.aws.journal.moves())
    cluster.stop(holder)
    cluster.wait_started("eip", other)
    assert classic.world.holder() == other
    moves = classic.aws.journal.moves()[before:]
    assert [(m.operation, m.principal) for m in moves] == [("AssociateAddress", "Arbitrate")]


def test_a_machine_with_neither_address_is_told_so(classic: Classic) -> None:
    node = classic.cluster.node("n2")
    settings = node.path("/etc/eip-classic.conf").read_text()
    node.install("/etc/eip-classic.conf", settings.replace(ADDRESSES["n2"], "10.0.1.99"))
    done = node.run([BOOTSTRAP, "configure"], check=False)
    assert done.returncode == 1
    assert "this machine has neither 10.0.0.10 nor 10.0.1.99" in done.stderr
    node.install("/etc/eip-classic.conf", "cluster_id=web\n")
    done = node.run([BOOTSTRAP, "configure"], check=False)
    assert "does not say first_address" in done.stderr
    conf = node.path("/etc/corosync/corosync.conf").read_text()
    assert ADDRESSES["n2"] in conf, "what was there stays"
    node.install("/etc/eip-classic.conf", settings)
