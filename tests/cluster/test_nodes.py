"""The node's side as an operator meets it, with the installed package on a real cluster."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator

import pytest

from lab.cluster.real import RealCluster
from lab.real_site import install, real_cluster

pytestmark = [pytest.mark.real_cluster, pytest.mark.timeout(120)]


HEALTH_PORT = 8099
CONFIG = "/etc/eip-agent/eip-agent.conf"
SERVICE = f"""import socketserver
socketserver.TCPServer.allow_reuse_address = True
socketserver.TCPServer(("127.0.0.1", {HEALTH_PORT}), lambda *_: None).serve_forever()"""


@pytest.fixture(scope="module")
def cluster() -> Iterator[RealCluster]:
    with real_cluster(token_ms=1000) as place:
        install(place)
        place.cluster.wait_until(lambda: bool(place.cluster.started_on("eip")), "eip is started")
        for name in place.cluster.nodes:
            place.cluster.run(name, ["systemctl", "enable", "eip-agent.service"])
        yield place.cluster


def doctor(cluster: RealCluster, node: str) -> tuple[int, dict[str, str]]:
    """Exit status, and what is found by each check that is not well."""
    done = cluster.run(node, ["eip-agent", "doctor", "--json"], check=False)
    findings = json.loads(done.stdout)["findings"]
    bad = {f["check"]: f["found"] for f in findings if f["level"] in ("warning", "failure")}
    return done.returncode, bad


def wait_well(cluster: RealCluster, node: str) -> None:
    cluster.wait_until(lambda: doctor(cluster, node) == (0, {}), f"{node} is well")


def test_the_doctor_finds_nothing_to_do_on_a_cluster_set_up_as_documented(
    cluster: RealCluster,
) -> None:
    for node in cluster.nodes:
        wait_well(cluster, node)


def test_the_doctor_sees_a_setting_that_a_heal_would_suffer_from(cluster: RealCluster) -> None:
    cluster.pcs("n1", "resource", "update", "eip", "meta", "multiple-active=stop_unexpected")
    status, bad = doctor(cluster, "n2")
    assert (status, list(bad)) == (2, ["Resource eip"])
    cluster.pcs("n1", "resource", "update", "eip", "meta", "multiple-active=block")


def test_the_doctor_sees_that_aws_is_out_of_reach(cluster: RealCluster) -> None:
    cluster.cut_aws("n2", "blackhole")
    status, bad = doctor(cluster, "n2")
    assert status == 1
    assert {"EventBridge endpoint", "DynamoDB endpoint"} <= set(bad)
    assert doctor(cluster, "n1")[0] == 0
    cluster.restore_aws("n2")
    wait_well(cluster, "n2")


def restart_agent(cluster: RealCluster, node: str, extra_settings: str = "") -> None:
    """Ends the agent as systemd does, and starts it with these settings on top."""
    text = cluster.node(node).path(CONFIG).read_text()
    cluster.node(node).install(CONFIG, text + extra_settings)
    stop_agent(cluster, node)
    begin_agent(cluster, node)


def stop_agent(cluster: RealCluster, node: str) -> None:
    for pid in cluster.node(node).pids("eip-agent"):
        os.kill(pid, signal.SIGTERM)
    cluster.wait_until(lambda: not cluster.node(node).pids("eip-agent"), "the agent has ended")


def begin_agent(cluster: RealCluster, node: str) -> None:
    user = int(cluster.run(node, ["id", "-u", "eip-agent"]).stdout)
    command = ["/usr/bin/eip-agent", "run", "--config", CONFIG]
    cluster.spawn(node, command, log="eip-agent.log", user=user)


def health(cluster: RealCluster, node: str) -> str:
    done = cluster.run(
        node, ["attrd_updater", "--name", "#health-eip-agent", "--query"], check=False
    )
    return done.stdout.partition('value="')[2].partition('"')[0]


def test_a_sick_service_makes_its_node_red_and_pacemaker_moves_the_resource_once(
    cluster: RealCluster,
) -> None:
    (sick,) = cluster.started_on("eip")
    (other,) = set(cluster.nodes) - {sick}
    service = cluster.spawn(sick, ["python3", "-c", SERVICE], log="service.log")
    checks = f"health_tcp = 127.0.0.1:{HEALTH_PORT}\nhealth_seconds = 0.2\n"
    restart_agent(cluster, sick, checks)
    cluster.wait_until(lambda: health(cluster, sick) == "green", f"{sick} is green")
    assert "no notice" in doctor(cluster, sick)[1]["Node health"]
    cluster.pcs(sick, "property", "set", "node-health-strategy=migrate-on-red")
    assert cluster.started_on("eip") == (sick,), "a restarted agent moved nothing"
    service.kill()
    cluster.wait_started("eip", other)
    assert health(cluster, sick) == "red"
    restart_agent(cluster, sick)
    assert health(cluster, sick) == "red", "a restart calls nobody well"
    cluster.spawn(sick, ["python3", "-c", SERVICE], log="service.log")
    cluster.wait_until(lambda: health(cluster, sick) == "green", f"{sick} is green again")
    assert cluster.started_on("eip") == (other,)
    for node in cluster.nodes:
        wait_well(cluster, node)


def start_failed(cluster: RealCluster, node: str) -> bool:
    view = cluster.view(node)
    return view is not None and any(f.node == node for f in view.failures)


def test_a_node_whose_agent_was_away_at_a_start_may_take_over_once_it_is_back(
    cluster: RealCluster,
) -> None:
    (active,) = cluster.started_on("eip")
    (other,) = set(cluster.nodes) - {active}
    stop_agent(cluster, other)
    cluster.pcs(active, "node", "standby", active)
    cluster.wait_until(lambda: start_failed(cluster, other), "its start fails", 75)
    assert cluster.started_on("eip") == ()
    begin_agent(cluster, other)
    cluster.wait_started("eip", other)
    cluster.pcs(active, "node", "unstandby", active)
    for node in cluster.nodes:
        wait_well(cluster, node)
