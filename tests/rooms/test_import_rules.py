"""Each import rule is broken once, in a copy, and must be seen to fail."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CORE, AGENT = "layers/core/src/eip_arbiter", "node_agent/src/eip_agent"
SOURCES = ("layers/contract/src", "layers/core/src", "node_agent/src")

PLANTED = {
    "The core's rooms know only the rooms below them": [
        (f"{CORE}/decision/rules.py", "from eip_arbiter.ports import Store"),
        (f"{CORE}/widget/board.py", "from eip_arbiter.arbitrate.arbitration import Arbiter"),
        (f"{CORE}/watch/watching.py", "from eip_arbiter.operate.orders import order"),
        (f"{CORE}/operate/orders.py", "from eip_arbiter.aws.dynamodb_store import DynamoDbStore"),
    ],
    "The agent's rooms know only the rooms below them": [
        (f"{AGENT}/remember/board.py", "from eip_agent.conclude import view"),
        (f"{AGENT}/observe/watchers.py", "from eip_agent.report.reporter import Reporter"),
    ],
    "Only `aws` knows boto3, botocore and Powertools": [
        (f"{CORE}/watch/watching.py", "from botocore.exceptions import ClientError"),
        (f"{CORE}/arbitrate/arbitration.py", "import aws_lambda_powertools"),
        (f"{AGENT}/calls/aws.py", "import boto3"),
    ],
    "Only `arbitrate` moves an address": [
        (f"{CORE}/watch/watching.py", "from eip_arbiter.arbitrate.moving import Mover"),
        (f"{CORE}/operate/orders.py", "from eip_arbiter.decision.transition import apply"),
    ],
    "Only the DynamoDB store knows the item's shape": [
        (f"{CORE}/aws/dynamodb_watch.py", "from eip_arbiter.aws import state_item"),
    ],
    "Core, agent and lab do not know each other": [
        (f"{AGENT}/report/reporter.py", "import eip_arbiter.ports"),
        ("layers/contract/src/eip_contract/report.py", "import eip_agent.settings"),
        ("lab/peers.py", "import eip_agent.settings"),
    ],
}
CASES = [(rule, path, line) for rule, cases in PLANTED.items() for path, line in cases]


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("copy")
    for part in (*SOURCES, "lab"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / part, folder / part, ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def broken(folder: Path) -> set[str]:
    """The names of the rules that the linter calls broken."""
    paths = os.pathsep.join([*(str(folder / part) for part in SOURCES), str(folder)])
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
    )
    lines = [line.strip() for line in done.stdout.splitlines()]
    assert any(line.startswith("Contracts:") for line in lines), done.stdout + done.stderr
    return {line.removesuffix("BROKEN").strip() for line in lines if line.endswith("BROKEN")}


def test_the_rooms_as_they_are_break_no_rule(copy: Path) -> None:
    assert broken(copy) == set()


@pytest.mark.parametrize(("rule", "path", "line"), CASES, ids=[f"{c[1]}: {c[2]}" for c in CASES])
def test_a_planted_import_breaks_its_rule(copy: Path, rule: str, path: str, line: str) -> None:
    file = copy / path
    before = file.read_text()
    try:
        file.write_text(f"{before}\n{line}\n")
        assert rule in broken(copy)
    finally:
        file.write_text(before)


def test_a_new_room_has_to_be_given_its_place(copy: Path) -> None:
    room = copy / CORE / "elsewhere"
    room.mkdir()
    try:
        (room / "__init__.py").write_text("")
        assert "The core's rooms know only the rooms below them" in broken(copy)
    finally:
        shutil.rmtree(room)
