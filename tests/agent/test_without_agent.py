"""The resource agent alone: what it believes, and what it leaves behind for an agent to read."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest
from agent.fakes import PUBLIC_IP, FakeNode

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def node(node: FakeNode) -> FakeNode:
    """A node with the folder for notes, which an agent would have made."""
    (node.folder / "run").mkdir()
    return node


def granted(node: FakeNode, seconds_ago: float) -> Path:
    """The mark of a resource that was granted its address here so long ago."""
    mark = node.folder / "rsctmp/eip-arbiter-eip.state"
    mark.parent.mkdir(exist_ok=True)
    mark.write_text(PUBLIC_IP + "\n")
    at = time.time() - seconds_ago
    os.utime(mark, (at, at))
    return mark


def test_one_look_that_does_not_find_the_address_is_no_evidence(node: FakeNode) -> None:
    mark = granted(node, 60.0)
    node.region.public_ips = [PUBLIC_IP]
    node.region.told_first = [[]]
    assert node.act("monitor").returncode == 0
    assert (mark.exists(), node.region.told_first) == (True, [])
    assert list((node.folder / "run").iterdir()) == []


def test_a_new_association_is_given_its_time_to_show(node: FakeNode) -> None:
    granted(node, 44.0)
    assert node.act("monitor").returncode == 0
    mark = granted(node, 46.0)
    assert node.act("monitor").returncode == 7
    assert not mark.exists()
    notes = {path.name for path in (node.folder / "run").iterdir()}
    assert notes == {"released.eip", "failed.eip"}


def test_a_note_does_not_follow_a_link_that_was_planted(node: FakeNode) -> None:
    elsewhere = node.folder / "elsewhere"
    (node.folder / "run/released.eip").symlink_to(elsewhere)
    stopped = node.act("stop")
    assert (stopped.returncode, elsewhere.exists()) == (0, False)
    assert "cannot leave a note" in stopped.stderr
