"""The agent is restarted, or away: nothing is disturbed, and nothing forgotten."""

from __future__ import annotations

import os
import signal
import time

import pytest
from agent.fakes import ME, PEER, PUBLIC_IP, FakeNode, wait_until
from agent.starts import in_background, started


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_restart_of_the_agent_disturbs_nothing(node: FakeNode, number: int) -> None:
    started(node)
    incarnation = node.region.reports[-1].incarnation
    node.stop(number)
    if number == signal.SIGTERM:
        last = node.region.reports[-1]
        assert (last.cause, last.next_report_within_ms) == ("shutdown", 3_000)
    assert node.region.reports[-1].resources["eip"].state == "started"
    assert node.act("monitor").returncode == 0
    node.start()
    wait_until(lambda: node.region.reports[-1].incarnation == incarnation + 1, "it reports")
    fresh = [report for report in node.region.reports if report.incarnation > incarnation]
    assert {report.resources["eip"].state for report in fresh} == {"started"}
    assert not any(report.awaiting for report in fresh)
    assert node.act("monitor").returncode == 0


def test_a_stop_while_the_agent_is_away_is_reported_when_it_is_back(node: FakeNode) -> None:
    started(node)
    node.stop(signal.SIGKILL)
    assert node.act("stop").returncode == 0
    node.write_cluster(resource_state="Stopped")
    node.start()
    wait_until(
        lambda: node.region.reports[-1].resources["eip"].state == "stopped", "the release arrives"
    )
    assert node.act("monitor").returncode == 7


def test_a_stop_that_the_agents_settings_do_not_know_of_is_reported_once_they_do(
    node: FakeNode,
) -> None:
    started(node)
    node.stop()
    node.write_config(resources="vip")
    node.start()
    assert node.act("stop").returncode == 0
    node.write_cluster(resource_state="Stopped")
    node.stop()
    node.write_config()
    node.start()
    states = [r.resources["eip"].state for r in node.region.reports if "eip" in r.resources]
    assert states[-1] == "stopped", "and not what was remembered from before"


def test_a_start_survives_a_restart_of_the_agent(node: FakeNode) -> None:
    node.region.grants = False
    node.region.grant(PEER)
    node.start()
    winner = in_background(node)
    time.sleep(0.5)
    node.stop(signal.SIGKILL)
    time.sleep(0.5)
    node.start()
    wait_until(lambda: node.region.reports[-1].awaiting, "it claims again")
    node.region.grant(ME)
    assert winner.wait(10) == 0


def test_without_an_agent_the_metadata_service_is_the_only_evidence(node: FakeNode) -> None:
    started(node)
    node.stop(signal.SIGKILL)
    mark = node.folder / "rsctmp/eip-arbiter-eip.state"
    old = time.time() - 60
    os.utime(mark, (old, old))
    assert node.act("monitor").returncode == 0
    node.region.metadata_up = False
    node.region.public_ips = []
    assert node.act("monitor").returncode == 0
    node.region.metadata_up = True
    lost = node.act("monitor")
    assert (lost.returncode, PUBLIC_IP in lost.stderr) == (7, True)


def test_without_an_agent_a_start_fails_in_time_and_says_why(node: FakeNode) -> None:
    began = time.monotonic()
    failed = node.act("start", OCF_RESKEY_CRM_meta_timeout="4000")
    assert 1.5 < time.monotonic() - began < 4
    assert failed.returncode == 1
    assert "is eip-agent.service running?" in failed.stderr


def test_a_start_that_failed_without_an_agent_is_forgotten_once_it_is_back(node: FakeNode) -> None:
    assert node.act("start", OCF_RESKEY_CRM_meta_timeout="3000").returncode == 1
    node.write_cluster(start_failed=True)
    assert node.act("stop").returncode == 0
    node.start()
    wait_until(node.calls, "the failure is cleaned up")
    assert node.calls() == ["--cleanup --resource eip --node n1"]


def test_a_loss_that_was_told_without_an_agent_is_forgotten_once_it_is_back(
    node: FakeNode,
) -> None:
    started(node)
    node.stop(signal.SIGKILL)
    mark = node.folder / "rsctmp/eip-arbiter-eip.state"
    old = time.time() - 60
    os.utime(mark, (old, old))
    node.region.public_ips = []
    assert node.act("monitor").returncode == 7
    node.region.grant(PEER)
    node.write_cluster(start_failed=True)
    node.start()
    wait_until(node.calls, "the failure is cleaned up")
    assert node.calls() == ["--cleanup --resource eip --node n1"]
