"""The agent at boot, which Corosync and Pacemaker are ordered after, and when the machine stops."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

from agent.fakes import ROOT, FakeNode, wait_until

if TYPE_CHECKING:
    from pathlib import Path

UNIT = ROOT / "node_agent/systemd/eip-agent.service"


class Systemd:
    """The socket over which a service tells systemd how it is."""

    def __init__(self, folder: Path) -> None:
        self.path = str(folder / "notify")
        self.told: list[str] = []
        self._channel = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._channel.bind(self.path)
        self._channel.setblocking(False)

    def heard(self, text: str) -> int:
        """How often something was told so far."""
        try:
            while True:
                self.told += self._channel.recv(4096).decode().split("\n")
        except BlockingIOError:
            return self.told.count(text)


def start(node: FakeNode, systemd: Systemd) -> subprocess.Popen[bytes]:
    environment = node.environment() | {"NOTIFY_SOCKET": systemd.path, "WATCHDOG_USEC": "20000000"}
    with (node.folder / "agent.log").open("ab") as log:
        node.process = subprocess.Popen(
            [sys.executable, "-m", "eip_agent", "run", "--config", str(node.config)],
            env=environment,
            stdout=log,
            stderr=log,
        )
    return node.process


def test_it_is_ready_before_the_metadata_service_answers_and_goes_on_once_it_does(
    node: FakeNode, tmp_path: Path
) -> None:
    systemd = Systemd(tmp_path)
    node.region.metadata_up = False
    start(node, systemd)
    wait_until(lambda: systemd.heard("READY=1"), "it is ready")
    wait_until(lambda: systemd.heard("WATCHDOG=1") >= 2, "the watchdog is fed while it waits")
    assert not node.socket.exists()
    node.region.metadata_up = True
    wait_until(lambda: node.region.reports, "it reports")
    fed = systemd.heard("WATCHDOG=1")
    wait_until(lambda: systemd.heard("WATCHDOG=1") > fed, "and the watchdog is fed then as well")
    assert systemd.heard("READY=1") == 1


def test_it_can_be_stopped_while_it_waits_for_the_metadata_service(
    node: FakeNode, tmp_path: Path
) -> None:
    systemd = Systemd(tmp_path)
    node.region.metadata_up = False
    process = start(node, systemd)
    wait_until(lambda: systemd.heard("READY=1"), "it is ready")
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0


def test_wrong_settings_end_it_before_it_is_ready(node: FakeNode, tmp_path: Path) -> None:
    systemd = Systemd(tmp_path)
    node.write_config(bus="")
    process = start(node, systemd)
    assert process.wait(10) == os.EX_CONFIG
    assert not systemd.heard("READY=1")


def test_the_unit_is_stopped_after_pacemaker_and_only_ordered_never_bound() -> None:
    lines = UNIT.read_text().splitlines()
    (before,) = [line for line in lines if line.startswith("Before=")]
    assert set(before.partition("=")[2].split()) == {"corosync.service", "pacemaker.service"}
    bound = ("Requires=", "BindsTo=", "PartOf=", "Requisite=", "RequiredBy=")
    assert not [line for line in lines if line.startswith(bound)]
    assert "Type=notify" in lines
