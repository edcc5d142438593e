"""The doctor as a command: its page, its exit status, and a run beside a real agent."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from agent.doctor.doctor_samples import SAMPLES
from agent.fakes import PEER, FakeNode
from eip_agent.doctor.command import page
from eip_agent.doctor.finding import exit_status, failure, note, ok, warning


def test_the_exit_status_is_that_of_the_worst_finding() -> None:
    good, worth = ok("a", "b"), note("a", "b")
    warned, failed = warning("a", "b", "c"), failure("a", "b", "c")
    assert exit_status([]) == exit_status([good, worth]) == 0
    assert exit_status([good, warned]) == 2
    assert exit_status([warned, failed, good]) == 1


def test_the_page_says_what_to_do_and_lets_nothing_reach_the_terminal() -> None:
    shown = page([ok("a", "fine"), failure("bcd", "x\x1b[2J", "mend it")], colours=False)
    assert shown == (
        "ok       a    fine\nfailure  bcd  x?[2J\n              -> mend it\n\n"
        "1 of these break a failover\n"
    )
    coloured = page([ok("a", "fine")], colours=True)
    assert coloured.startswith("\x1b[32mok     \x1b[0m  a  fine\n")
    assert "a failover would work" in coloured


def examined(node: FakeNode, *options: str, **more: object) -> subprocess.CompletedProcess[str]:
    """Runs the doctor with this folder's programs in front of the machine's own."""
    for name, sample in (
        ("cibadmin", "cib.xml"),
        ("corosync-cmapctl", "cmapctl.txt"),
        ("corosync", "corosync_version.txt"),
    ):
        program(node.folder / name, f"cat {SAMPLES / sample}")
    program(node.folder / "systemctl", "echo enabled")
    program(
        node.folder / "mon",
        f'case "$1" in --version) cat {SAMPLES}/crm_mon_version.txt;;'
        f" *) cat {node.folder}/crm_mon.out;; esac",
    )
    node.write_config(
        crm_mon=node.folder / "mon",
        corosync_quorumtool=f"cat {SAMPLES}/quorumtool.txt --",
        **more,
    )
    path = f"{node.folder}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        [sys.executable, "-m", "eip_agent", "doctor", "--config", node.config, *options],
        env=node.environment() | {"PATH": path},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def program(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def levels(done: subprocess.CompletedProcess[str]) -> dict[str, str]:
    """Level by check, the worst where a check has several findings."""
    order = ("ok", "note", "warning", "failure")
    found: dict[str, str] = {}
    for finding in json.loads(done.stdout)["findings"]:
        before = found.get(finding["check"], "ok")
        found[finding["check"]] = max(before, finding["level"], key=order.index)
    return found


def test_the_doctor_with_an_agent_that_runs(node: FakeNode) -> None:
    node.region.holder = PEER
    node.start()
    done = examined(node, "--json")
    found = levels(done)
    # The socket of a test's agent belongs to the group of whoever runs the tests.
    found.pop("Socket", None)
    assert {check: level for check, level in found.items() if level not in ("ok", "note")} == {}
    assert done.returncode == (2 if json.loads(done.stdout)["verdict"] == "warning" else 0)
    for check in ("Clock", "Table", "Control plane", "Address", "Way to AWS", "Publishing"):
        assert check in found, check


def test_the_doctor_without_an_agent_says_so_on_a_page(node: FakeNode) -> None:
    done = examined(node)
    assert done.returncode == 1
    assert "failure  Agent" in done.stdout
    assert "-> systemctl enable --now eip-agent" in done.stdout
    assert "\x1b" not in done.stdout, "no colours but on a terminal"


def test_the_doctor_says_where_the_way_to_aws_ends(node: FakeNode) -> None:
    done = examined(node, "--json", endpoint_url="http://127.0.0.1:1")
    assert levels(done)["EventBridge endpoint"] == "failure"
    assert levels(done)["DynamoDB endpoint"] == "failure"
    node.region.metadata_up = False
    assert levels(examined(node, "--json"))["Metadata service"] == "failure"


def test_the_doctor_reads_wrong_settings_as_a_finding(node: FakeNode) -> None:
    done = examined(node, "--json", calm_seconds="x")
    assert done.returncode == 1
    assert levels(done)["Settings"] == "failure"
    assert levels(done)["Corosync token"] == "ok"


def test_a_running_agent_carries_no_doctor_along() -> None:
    code = "import sys, eip_agent.__main__; print('eip_agent.doctor' in sys.modules)"
    environment = {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, check=True, text=True
    )
    assert done.stdout == "False\n"
