"""`python -m lab demo`: what a newcomer sees, as a process of its own."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lab.stage import Outcome
from lab.table import render, write_json

ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(180)
def test_the_demo_tells_its_story_and_ends_well(tmp_path: Path) -> None:
    file = tmp_path / "demo.json"
    scenes = ["planned_stop", "power_loss", "aws_outage", "forced_failover"]
    done = subprocess.run(
        [sys.executable, "-m", "lab", "demo", "--json", str(file), "--scenes", *scenes],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    # What is simulated says so, first and last.
    assert "Pacemaker is SIMULATED" in done.stdout
    assert "SIMULATED cluster, embedded AWS (control plane only)" in done.stdout
    assert "\033[" not in done.stdout, "no colours where no terminal is"
    document = json.loads(file.read_text())
    assert document["ok"] is True
    told = {scene["scene"]: scene for scene in document["scenes"]}
    assert told["planned stop"]["rule"] == "R061"
    assert told["power loss"]["rule"] == "R070"
    assert told["AWS outage"]["moves"] == 0
    assert told["forced failover"]["rule"] == "R020"
    assert [told[name]["term"] for name in ("planned stop", "power loss")] == [2, 3]
    forced = [line for line in done.stdout.partition("forced failover:")[2].splitlines() if line]
    # The address moves at once, and a client is answered when the service runs there.
    answered = [seconds(line) for line in forced if re.search("answered by n[12]$", line)]
    assert answered
    assert min(answered) >= told["forced failover"]["started_seconds"] - 0.01
    # That lines are in order is test_timeline's matter: on a busy machine one may come too late.


LINE = re.compile(r"  +([+-][0-9.]+) s  (\w+)")


def seconds(line: str) -> float:
    found = LINE.match(line)
    assert found, line
    return float(found[1])


@pytest.mark.parametrize("option", ["--port", "--aws-port"])
def test_a_busy_port_is_said_in_one_line(option: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = subprocess.run(
            [sys.executable, "-m", "lab", "demo", "--serve", option, port],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 2
    assert done.stderr == (
        f"python -m lab demo: port {port} of 127.0.0.1 is in use already; choose another one\n"
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_demo_that_is_ended_leaves_no_process_behind(
    number: signal.Signals, tmp_path: Path
) -> None:
    # Its folder is in the arguments or the environment of all that it starts.
    process = subprocess.Popen(
        [sys.executable, "-m", "lab", "demo"],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(tmp_path), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    assert any("two nodes are up" in line for line in process.stdout)
    assert processes_of(tmp_path)
    process.send_signal(number)
    process.wait(30)
    deadline = time.monotonic() + 15
    while processes_of(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not processes_of(tmp_path)


ENDED_WHILE_THE_CLIENT_STARTS = """
import sys, threading
from unittest.mock import MagicMock
from lab.__main__ import tell

start = threading.Thread.start

def start_and_be_ended(thread):
    start(thread)
    sys.exit(143)

threading.Thread.start = start_and_be_ended
tell(MagicMock(), ["calm"], outage_seconds=1, quiet=True)
"""


def test_a_story_that_is_ended_while_its_client_starts_still_ends() -> None:
    # A signal is raised between any two lines; this one once left a thread that kept the process.
    done = subprocess.run(
        [sys.executable, "-c", ENDED_WHILE_THE_CLIENT_STARTS], cwd=ROOT, timeout=30, check=False
    )
    assert done.returncode == 143


def processes_of(folder: Path) -> list[str]:
    """The command lines that name a folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                command = (entry / "cmdline").read_bytes().decode(errors="replace")
                if str(folder) in command:
                    found.append(command.replace("\0", " "))
    return found


def test_an_unknown_scene_is_refused_with_the_ones_there_are() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "lab", "demo", "--scenes", "earthquake"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 2
    assert "split_brain" in done.stderr


def test_a_wrong_outcome_is_said_in_the_table_and_in_the_json(tmp_path: Path) -> None:
    wrong = Outcome("power loss", moves=2, problems=["expected: one move, not 2"])
    outcomes = [Outcome("planned stop", moves=1), wrong]
    table = render(outcomes, "SIMULATED")
    assert "WRONG: expected: one move, not 2" in table
    file = tmp_path / "out.json"
    write_json(file, outcomes, "simulated", {})
    assert json.loads(file.read_text())["ok"] is False
