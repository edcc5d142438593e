"""The resource agent as a real process, the agent as a real process, AWS and Pacemaker as fakes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from tests.agent.fakes import PUBLIC_IP, FakeNode, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def node(tmp_path: Path) -> Iterator[FakeNode]:
    fake = FakeNode(tmp_path)
    try:
        yield fake
    finally:
        fake.close()


def test_a_start_claims_waits_for_the_grant_and_a_stop_releases(node: FakeNode) -> None:
    node.start()
    assert node.act("monitor").returncode == 7
    began = time.monotonic()
    started = node.act("start")
    assert started.returncode == 0, started.stderr
    assert time.monotonic() - began < 2
    claim = next(report for report in node.region.reports if report.awaiting)
    assert (claim.cause, claim.resources["eip"].state) == ("claim", "starting")
    assert claim.next_report_within_ms == 200
    node.write_cluster(resource_state="Started")
    assert node.act("monitor").returncode == 0
    assert node.act("start").returncode == 0
    wait_until(lambda: not node.region.reports[-1].awaiting, "the claim is over")
    wait_until(lambda: node.region.reports[-1].public_ips == (PUBLIC_IP,), "the address shows")
    stopped = node.act("stop")
    assert stopped.returncode == 0
    assert (node.region.reports[-1].cause, node.region.reports[-1].awaiting) == ("release", ())
    assert node.region.reports[-1].resources["eip"].state == "stopped"
    assert node.act("monitor").returncode == 7
    assert node.act("stop").returncode == 0
