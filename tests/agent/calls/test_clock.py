"""Orders end by AWS's time, whatever this node's clock says."""

from __future__ import annotations

import time

import pytest
from agent.fakes import ME, PEER, FakeNode, wait_until

AHEAD_SECONDS, STANDS_SECONDS = 121.0, 60.0


@pytest.fixture
def node(node: FakeNode) -> FakeNode:
    """A node whose clock is two minutes ahead of AWS's."""
    node.region.ahead_seconds = -AHEAD_SECONDS
    return node


def order(target: str) -> dict[str, object]:
    """An order that stands for another minute by AWS's time, and is over by this node's."""
    until_ms = int((time.time() - AHEAD_SECONDS + STANDS_SECONDS) * 1000)
    return {"id": "o1", "to": target, "u": until_ms}


def test_a_switchover_to_a_node_whose_clock_is_ahead_is_followed(node: FakeNode) -> None:
    node.region.grants = False
    node.region.grant(PEER)
    node.region.order = order(ME)
    node.start()
    wait_until(lambda: len(node.calls()) == 2, "Pacemaker is asked")
    assert node.calls()[1].startswith("--move --resource eip --node n1")


def test_a_holder_whose_clock_is_ahead_lets_pacemaker_follow_an_order(node: FakeNode) -> None:
    node.start()
    assert node.act("start").returncode == 0
    node.region.grants = False
    node.region.order = order(PEER)
    node.region.grant(PEER)
    reads = len(node.region.reads)
    wait_until(lambda: len(node.region.reads) > reads + 1, "the state is read")
    assert node.act("monitor").returncode == 0
    node.region.ahead_seconds = 0.0
    wait_until(lambda: node.act("monitor").returncode == 7, "it is lost once the order is over")
