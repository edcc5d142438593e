"""The node's side as an operator meets it, with the installed package on a real cluster."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from lab.cluster.real import RealCluster
from lab.real_site import install, real_cluster

pytestmark = [pytest.mark.real_cluster, pytest.mark.timeout(120)]


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
    cluster.pcs("n1", "resource", "update", "eip", "meta", "multiple-active=stop_start")
    status, bad = doctor(cluster, "n2")
    assert (status, list(bad)) == (2, ["Resource eip"])
    cluster.pcs("n1", "resource", "update", "eip", "meta", "multiple-active=stop_unexpected")


def test_the_doctor_sees_that_aws_is_out_of_reach(cluster: RealCluster) -> None:
    cluster.cut_aws("n2", "blackhole")
    status, bad = doctor(cluster, "n2")
    assert status == 1
    assert {"EventBridge endpoint", "DynamoDB endpoint"} <= set(bad)
    assert doctor(cluster, "n1")[0] == 0
    cluster.restore_aws("n2")
    wait_well(cluster, "n2")
