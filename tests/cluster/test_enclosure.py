"""Nothing of a lab run may stay on the machine, however the run ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lab.cluster import enclosure

HERE = [sys.executable, "-m", "lab.cluster.enclosure"]
ROOT = Path(enclosure.__file__).parents[2]
BUSY = """
import time
from lab.cluster.real import RealCluster
cluster = RealCluster(2)
for name in cluster.nodes:
    cluster.node(name).boot()
    cluster.spawn(name, ["sleep", "600"], log="sleep")
print("ready", flush=True)
time.sleep(600)
"""


def test_missing_programs_are_named_by_their_debian_package(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    missing = enclosure.requirements_missing()
    assert "Debian package corosync" in missing
    assert "Debian package util-linux" in missing


def test_every_program_of_the_cluster_is_in_the_list_for_apt() -> None:
    assert {"pacemaker", "corosync", "pcs", "awscli"} <= set(enclosure.debian_packages())


@pytest.mark.real_cluster(outside=True)
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_lab_that_is_ended_by_a_signal_leaves_nothing(number: signal.Signals) -> None:
    before = _machine()
    top = subprocess.Popen(
        [*HERE, sys.executable, "-c", BUSY],
        stdout=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        cwd=ROOT,
        start_new_session=True,
    )
    assert top.stdout is not None
    assert top.stdout.readline() == b"ready\n"
    family = _descendants(top.pid)
    assert len(family) >= 2 * 3 + 2, "both nodes, their sleepers and the command were running"
    assert _machine() == before, "not even a running lab shows on the machine"
    if number == signal.SIGINT:
        os.killpg(top.pid, number)  # as a terminal does
    else:
        top.send_signal(number)
    top.wait(15)
    top.stdout.close()
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline and any(map(_alive, family)):
        time.sleep(0.02)
    assert not [pid for pid in family if _alive(pid)]
    assert _machine() == before
    assert not enclosure.STATE.exists()


@pytest.mark.real_cluster(outside=True)
@pytest.mark.parametrize("code", [0, 7])
def test_the_exit_code_of_the_command_is_the_exit_code(code: int) -> None:
    done = subprocess.run([*HERE, "sh", "-c", f"exit {code}"], cwd=ROOT, check=False)
    assert done.returncode == code


@pytest.mark.real_cluster(outside=True)
def test_a_command_can_put_itself_in_an_enclosure() -> None:
    script = "from lab.cluster.enclosure import *; ensure_inside(); import os; print(os.getpid())"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, check=True, capture_output=True, text=True
    )
    assert done.stdout == "1\n"


def _machine() -> tuple[list[str], str, list[str]]:
    """What a leftover would change: interfaces, mounts, the names in /run."""
    interfaces = sorted(path.name for path in Path("/sys/class/net").iterdir())
    mounts = Path("/proc/self/mountinfo").read_text()
    return interfaces, mounts, sorted(path.name for path in Path("/run").iterdir())


def _descendants(top: int) -> list[int]:
    family, parents = [top], {}
    for path in Path("/proc").iterdir():
        if path.name.isdigit() and (stat := _stat(int(path.name))):
            parents[int(path.name)] = int(stat[1])
    for pid in family:  # grows while it is read
        family += [child for child, parent in parents.items() if parent == pid]
    return family


def _alive(pid: int) -> bool:
    stat = _stat(pid)
    return stat is not None and stat[0] != "Z"


def _stat(pid: int) -> list[str] | None:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    except OSError:
        return None
