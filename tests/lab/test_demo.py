"""`python -m lab demo`: what a newcomer sees, as a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
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
