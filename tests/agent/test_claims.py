"""Claims, refusals, releases and monitors: real processes, with AWS and Pacemaker as fakes."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from agent.fakes import ME, PEER, PUBLIC_IP, FakeNode, wait_until
from agent.starts import in_background, started


def losing(node: FakeNode, timeout_ms: int = 20_000) -> subprocess.Popen[str]:
    """A start that claims, behind a cut, what the other node holds and keeps."""
    node.region.grants = False
    node.region.grant(PEER)
    node.write_cluster(peer_online=False, links_up=False)
    node.start()
    loser = in_background(node, timeout_ms)
    wait_until(lambda: node.region.reports[-1].awaiting == ("eip",), "it claims")
    return loser


def test_a_start_claims_waits_for_the_grant_and_a_stop_releases(node: FakeNode) -> None:
    node.start()
    assert node.act("monitor").returncode == 7
    began = time.monotonic()
    assert node.act("start").returncode == 0
    assert time.monotonic() - began < 2
    claim = next(report for report in node.region.reports if report.awaiting)
    assert (claim.cause, claim.resources["eip"].state) == ("claim", "starting")
    assert claim.next_report_within_ms == 200
    node.write_cluster(resource_state="Started")
    assert node.act("monitor").returncode == 0
    assert node.act("start").returncode == 0
    wait_until(lambda: not node.region.reports[-1].awaiting, "the claim is over")
    wait_until(lambda: node.region.reports[-1].public_ips == (PUBLIC_IP,), "the address shows")
    assert node.act("stop").returncode == 0
    assert (node.region.reports[-1].cause, node.region.reports[-1].awaiting) == ("release", ())
    assert node.region.reports[-1].resources["eip"].state == "stopped"
    assert node.act("monitor").returncode == 7
    assert node.act("stop").returncode == 0


def test_a_refused_start_says_who_holds_it_and_is_cleaned_up_when_whole(node: FakeNode) -> None:
    loser = losing(node, timeout_ms=4_000)
    assert [suspect.node_name for suspect in node.region.reports[-1].suspects] == ["n2"]
    _, said = loser.communicate(timeout=10)
    assert loser.returncode == 1
    assert "ocf-exit-reason:the address is not granted: n2 holds 203.0.113.7 by term 2" in said
    node.write_cluster(start_failed=True)
    time.sleep(1)
    assert not node.calls()
    node.write_cluster(peer_online=True, links_up=True)
    wait_until(node.calls, "the failure is cleaned up")
    assert node.calls() == ["--cleanup --resource eip --node n1"]
    assert node.region.reports[-1].suspects == ()
    assert node.region.reports[-1].next_report_within_ms == 500, "alert: it runs nowhere"
    node.write_cluster(peer_runs=True)
    wait_until(lambda: node.region.reports[-1].next_report_within_ms == 3_000, "it runs there")
    assert node.region.reports[-1].resources["eip"].state == "stopped"


def test_a_start_that_a_stop_overtook_is_cleaned_up_too(node: FakeNode) -> None:
    # Pacemaker stops what timed out, as after a node that stood still, and bans the node for it.
    loser = losing(node)
    assert node.act("stop").returncode == 0
    _, said = loser.communicate(timeout=10)
    assert loser.returncode == 1
    assert "another operation took this start's place" in said
    node.write_cluster(start_failed=True, peer_online=True, links_up=True)
    wait_until(node.calls, "the failure is cleaned up")
    assert node.calls() == ["--cleanup --resource eip --node n1"]
    assert node.region.reports[-1].resources["eip"].state == "stopped"


def test_a_waiting_start_gives_up_when_the_holders_link_is_back(node: FakeNode) -> None:
    loser = losing(node)
    time.sleep(0.5)
    began = time.monotonic()
    node.write_cluster(links_up=True)
    while loser.poll() is None and time.monotonic() - began < 10:
        node.region.peer_seq += 1
        time.sleep(0.2)
    assert loser.returncode == 1
    assert time.monotonic() - began < 4


def test_a_start_is_granted_as_soon_as_the_holder_lets_go(node: FakeNode) -> None:
    node.region.grants = False
    node.region.grant(PEER)
    node.start()
    winner = in_background(node)
    time.sleep(1)
    assert winner.poll() is None
    node.region.grant(ME)
    began = time.monotonic()
    assert winner.wait(10) == 0
    assert time.monotonic() - began < 1


def test_a_grant_from_before_the_start_is_not_believed(node: FakeNode) -> None:
    node.region.grants = False
    node.region.grant(ME)
    node.region.answer = "reject"
    node.start()
    loser = in_background(node, timeout_ms=4_000)
    _, said = loser.communicate(timeout=10)
    assert loser.returncode == 1
    assert "did not answer in time" in said


def test_an_address_with_a_later_term_elsewhere_is_lost(node: FakeNode) -> None:
    started(node)
    assert node.act("monitor").returncode == 0
    node.region.grants = False
    node.region.grant(PEER)
    wait_until(lambda: node.act("monitor").returncode == 7, "the monitor sees the loss")
    wait_until(
        lambda: node.region.reports[-1].resources["eip"].state == "stopped", "it claims no more"
    )
    assert node.act("monitor").returncode == 7


def test_a_loss_that_was_read_before_is_none_while_the_table_does_not_answer(
    node: FakeNode,
) -> None:
    # Between that read and now the address may have come back here.
    started(node)
    node.region.grants = False
    node.region.grant(PEER)
    wait_until(lambda: "holder=n2" in node.log(), "the loss is read")
    node.region.answer = "drop"
    assert node.act("monitor").returncode == 0
    node.region.answer = "ok"
    wait_until(lambda: node.act("monitor").returncode == 7, "the loss is read again")


@pytest.mark.parametrize("answer", ["drop", "throttle"])
def test_an_unreachable_control_plane_is_never_a_lost_address(node: FakeNode, answer: str) -> None:
    started(node)
    node.region.answer = answer
    wait_until(lambda: "Reading the state fails" in node.log(), "the outage is noticed")
    assert node.act("monitor").returncode == 0
    began = time.monotonic()
    assert node.act("stop").returncode == 0
    assert time.monotonic() - began < 1.5
    node.region.answer = "ok"
    wait_until(
        lambda: node.region.reports[-1].resources["eip"].state == "stopped", "the release arrives"
    )


def test_an_operators_order_is_followed_and_its_progress_told(node: FakeNode) -> None:
    node.region.grants = False
    node.start()
    far = int(time.time() * 1000) + 60_000
    node.region.order = {"id": "o1", "to": ME, "u": far}
    node.region.grant(ME)
    wait_until(lambda: len(node.calls()) == 2, "Pacemaker is asked")
    assert node.calls() == [
        "--cleanup --resource eip --node n1",
        "--move --resource eip --node n1 --lifetime PT1M --force",
    ]
    wait_until(lambda: node.region.reports[-1].order is not None, "progress is reported")
    assert node.act("start").returncode == 0
    wait_until(lambda: len(node.calls()) == 3, "the constraint is cleared")
    assert node.calls()[2] == "--clear --resource eip"
    wait_until(lambda: node.region.reports[-1].order.state == "done", "it is told")  # type: ignore[union-attr]


def test_an_alert_makes_the_agent_look_at_once(node: FakeNode) -> None:
    node.write_config(calm_seconds=60, status_seconds=60)
    node.start()
    wait_until(lambda: node.region.reports, "it reports")
    alert = Path(__file__).parents[2] / "node_agent/alert/eip-agent-alert"
    node.write_cluster(peer_online=False)
    environment = {"PATH": os.environ["PATH"], "CRM_alert_recipient": str(node.socket)}
    subprocess.run([alert], env=environment, check=True, timeout=5)
    wait_until(lambda: node.region.reports[-1].suspects, "the loss is reported", 2)
    node.stop()
    assert subprocess.run([alert], env=environment, check=False, timeout=5).returncode == 0


def test_a_link_that_goes_down_is_reported_before_pacemaker_notices(node: FakeNode) -> None:
    node.write_config(calm_seconds=60)
    node.start()
    wait_until(lambda: node.region.reports, "it reports")
    node.write_cluster(links_up=False)
    wait_until(lambda: node.region.reports[-1].suspects, "the suspicion is reported", 2)
    last = node.region.reports[-1]
    assert (last.cause, last.pacemaker.members) == ("membership", ("n1", "n2"))
    assert last.next_report_within_ms == 500


def test_a_loss_is_told_though_nothing_can_be_written(node: FakeNode) -> None:
    started(node)
    shutil.rmtree(node.folder / "state")
    (node.folder / "state").touch()
    node.region.grants = False
    node.region.grant(PEER)
    wait_until(lambda: node.act("monitor").returncode == 7, "the monitor says that it is lost")
    said = "Refused starts could not be kept on disk"
    wait_until(lambda: said in node.log(), "what cannot be kept is said")
    assert node.status()["refused_starts"] == ["eip"]
