"""A verifier that would take any time or memory is stopped, and is no verdict."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from needs import needed

from spec.checking import Run
from spec.spinning import MODEL, TOOLS, ModelError, bounded_run, make, search

ROOT = Path(__file__).parents[2]


@pytest.fixture
def tools() -> None:
    for tool in TOOLS:
        needed(tool, there=shutil.which(tool) is not None)


def ends(pid: int) -> bool:
    """Whether a process ends within some seconds."""
    for _ in range(100):
        stat = Path(f"/proc/{pid}/stat")
        if not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "Z":
            return True
        time.sleep(0.05)
    return False


def test_what_takes_too_long_is_killed_with_all_that_it_started(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="was stopped after 1 s, so there is no verdict"):
        bounded_run(tmp_path, "sh", "-c", "sleep 60 & echo $! > pid; wait", seconds=1)
    assert ends(int((tmp_path / "pid").read_text()))


def test_what_was_started_ends_with_whoever_started_it(tmp_path: Path) -> None:
    needed("setpriv", there=shutil.which("setpriv") is not None)
    script = (
        "from pathlib import Path; from spec.spinning import bounded_run; "
        f"bounded_run(Path({str(tmp_path)!r}), 'sh', '-c', 'echo $$ > pid; exec sleep 60')"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT)
    file = tmp_path / "pid"
    while not (file.exists() and file.read_text().strip()):
        time.sleep(0.05)
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    assert ends(int(file.read_text()))


@pytest.mark.usefixtures("tools")
@pytest.mark.parametrize(
    ("run", "megabytes", "depth"),
    [(Run("all at once", 2, 1, 1, 1, 1), 200, 3_000_000), (Run("nothing"), 2_000, 100)],
    ids=["memory", "depth"],
)
def test_a_search_that_goes_out_of_its_bounds_is_no_verdict(
    run: Run, megabytes: int, depth: int, tmp_path: Path
) -> None:
    verifier = make(MODEL, tmp_path, defines=run.defines, small=True, megabytes=megabytes)
    with pytest.raises(ModelError, match="out of its bounds"):
        search(verifier, f"-m{depth}", "-w16", seconds=20)
