"""Starts of the resource, granted or waiting."""

from __future__ import annotations

import subprocess
from pathlib import Path

from agent.fakes import FakeNode, wait_until


def started(node: FakeNode) -> FakeNode:
    node.start()
    assert node.act("start").returncode == 0
    node.write_cluster(resource_state="Started")
    wait_until(
        lambda: node.region.reports[-1].resources["eip"].state == "started", "it is reported"
    )
    return node


def in_background(node: FakeNode, timeout_ms: int = 20_000) -> subprocess.Popen[str]:
    environment = node.ocf_environment() | {"OCF_RESKEY_CRM_meta_timeout": str(timeout_ms)}
    agent = Path(__file__).parents[2] / "node_agent/ocf/eip"
    return subprocess.Popen([agent, "start"], env=environment, stderr=subprocess.PIPE, text=True)
