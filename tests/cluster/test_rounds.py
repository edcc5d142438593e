"""Random real faults on real clusters of two and of three nodes, judged from outside."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from needs import needed

from lab.cluster import enclosure
from spec.spinning import TOOLS

ROUNDS, SEED = 20, 1
ROOT = Path(enclosure.__file__).parents[2]


@pytest.mark.real_cluster(outside=True)
@pytest.mark.timeout(900)
def test_rounds_of_random_real_faults_violate_no_invariant(tmp_path: Path) -> None:
    for tool in TOOLS:
        needed(tool, there=shutil.which(tool) is not None)
    told = tmp_path / "rounds.json"
    command = [sys.executable, "-m", "lab.rounds", "--rounds", str(ROUNDS), "--seed", str(SEED)]
    done = subprocess.run(
        [*command, "--json", str(told)], cwd=ROOT, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    rounds = json.loads(told.read_text())["rounds"]
    assert [r["number"] for r in sorted(rounds, key=lambda r: r["number"])] == [
        *range(1, ROUNDS + 1)
    ]
    assert {r["size"] for r in rounds} == {2, 3}
    assert sum(r["moves"] for r in rounds), "not one fault of so many moved the address"
