"""The page for a newcomer: its commands, run literally in a fresh clone of this tree."""

from __future__ import annotations

import functools
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from docs.pages import ROOT, RUN, RUNS_ON, Block, blocks, fences
from needs import needed

pytestmark = pytest.mark.timeout(300)

PAGE = "getting-started.md"
_BACKGROUND_SECONDS = 200
_RUN_SECONDS = 60


def aws_cli_2() -> Path | None:
    """Version 2 of the AWS CLI, wherever it is on this machine's PATH."""
    for folder in [*os.environ["PATH"].split(os.pathsep), "/usr/bin"]:
        found = Path(folder) / "aws"
        if found.exists():
            asked = subprocess.run(
                [found, "--version"], capture_output=True, text=True, check=False
            )
            if asked.stdout.startswith("aws-cli/2."):
                return found
    return None


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A newcomer's shell: no settings of AWS, none of this test's Python."""
    cli = aws_cli_2()
    needed("version 2 of the AWS CLI", there=cli is not None)
    bins = tmp_path / "bin"
    bins.mkdir()
    (bins / "aws").symlink_to(str(cli))
    mine = ("AWS_", "PYTHONPATH", "VIRTUAL_ENV", "PYTEST")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(mine)}
    return {**kept, "PATH": f"{bins}{os.pathsep}{kept['PATH']}", "HOME": str(tmp_path)}


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """What is in git, and what would be committed now."""
    needed("git", there=shutil.which("git") is not None)
    made = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", ROOT, made], check=True, timeout=60)
    listed = subprocess.run(
        ["git", "-C", ROOT, "ls-files", "-z", "-m", "-o", "--exclude-standard"],
        check=True, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).exists():
            (made / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, made / name)
        else:
            (made / name).unlink(missing_ok=True)
    return made


@functools.cache
def alone() -> list[str]:
    """In a network of its own where that can be: the page's ports may be in use on this machine."""
    command = ["unshare", "--net"]
    if os.geteuid() != 0 or shutil.which("unshare") is None or shutil.which("nsenter") is None:
        return []
    return [] if subprocess.run([*command, "true"], check=False).returncode else command


class Terminal:
    """Two shells in one network: what runs on in one of them, and the commands of the other."""

    def __init__(self, clone: Path, environment: dict[str, str]) -> None:
        self.clone = clone
        self.environment = environment
        self.background: subprocess.Popen[bytes] | None = None
        self.log = clone.parent / "background.log"
        # The installation needs this machine's own network; what serves comes after it.
        done = self._shell([], "make --silent .venv/.lab", _BACKGROUND_SECONDS)
        assert done.returncode == 0, done.stdout + done.stderr

    def start(self, block: Block) -> None:
        """Runs a block that goes on, until it says what the page promises."""
        up = "ip link set lo up; " if alone() else ""
        with self.log.open("wb") as log:
            self.background = subprocess.Popen(
                [*alone(), "bash", "-c", f"{up}{block.text}"],
                cwd=self.clone, env=self.environment, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip
        deadline = time.monotonic() + _BACKGROUND_SECONDS
        while block.mark.removeprefix(RUNS_ON) not in self.log.read_text():
            assert self.background.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.2)

    def run(self, text: str) -> subprocess.CompletedProcess[str]:
        """Runs blocks one after the other in one shell, in that network; any failure ends it."""
        enter: list[str] = []
        if self.background is not None and alone():
            enter = ["nsenter", "-t", str(self.background.pid), "-n", "--"]
        return self._shell(enter, f"set -eo pipefail\n{text}", _RUN_SECONDS)

    def _shell(
        self, enter: list[str], text: str, seconds: float
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*enter, "bash", "-c", text],
            cwd=self.clone, env=self.environment, capture_output=True, text=True, check=False,
            timeout=seconds,
        )  # fmt: skip

    def interrupt(self) -> None:
        """Ctrl-C in the first terminal, and what it left running."""
        if self.background is None:
            return
        os.killpg(self.background.pid, signal.SIGINT)
        try:
            self.background.wait(20)
        finally:
            with_its_group(self.background.pid, signal.SIGKILL)


def with_its_group(leader: int, number: int) -> None:
    try:
        os.killpg(leader, number)
    except ProcessLookupError:
        return


@pytest.fixture
def terminal(clone: Path, environment: dict[str, str]) -> Iterator[Terminal]:
    made = Terminal(clone, environment)
    yield made
    made.interrupt()


def changes(clone: Path) -> str:
    """What git says that is new or changed in a clone."""
    return subprocess.run(
        ["git", "-C", clone, "status", "--porcelain", "--ignored=no"],
        check=True, capture_output=True, text=True, timeout=30,
    ).stdout  # fmt: skip


def test_a_newcomer_who_types_the_page_reaches_a_control_plane_that_works(
    terminal: Terminal,
) -> None:
    typed = [b for b in blocks(PAGE) if b.mark == RUN or b.mark.startswith(RUNS_ON)]
    assert [b.mark.split(",")[0] for b in typed] == ["runs on", RUN, RUN, RUN, RUN]
    before = changes(terminal.clone)
    terminal.start(typed[0])
    done = terminal.run("\n".join(block.text for block in typed[1:]))
    assert done.returncode == 0, done.stdout + done.stderr + terminal.log.read_text()
    status, order, doctor, history = map(json.loads, done.stdout.splitlines())
    assert status["addresses"][0]["holder"] == "n1"
    assert order["outcome"] == "accepted"
    assert doctor["outcome"] == "well", doctor
    assert any("n2 holds" in check["sentence"] for check in doctor["checks"])
    assert "R061" in json.dumps(history), "the history names the rule by which it followed"
    assert changes(terminal.clone) == before, "nothing is left in the clone"
    terminal.interrupt()
    terminal.background = None
    assert "Traceback" not in terminal.log.read_text()


def test_every_block_of_the_page_is_marked() -> None:
    assert fences(PAGE) == len(blocks(PAGE))
