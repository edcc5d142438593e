"""Each import rule is broken once, in a copy, and must be seen to fail."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CONTRACT = "layers/contract/src/eip_contract"
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
    "Core and agent share the contract only, and the lab knows nothing that ships": [
        (f"{AGENT}/report/reporter.py", "import eip_arbiter.ports"),
        (f"{CORE}/ports.py", "import eip_agent.settings"),
        (f"{CONTRACT}/envelope.py", "import eip_agent.settings"),
        (f"{CONTRACT}/__init__.py", "import eip_arbiter.ports"),
        ("lab/peers.py", "import eip_agent.settings"),
        ("lab/peers.py", "import eip_contract.report"),
    ],
    "The specification knows nothing of what it specifies": [
        ("spec/histories.py", "from eip_arbiter.decision import rules"),
        ("spec/rows.py", "import eip_contract.report"),
        ("spec/spinning.py", "import eip_agent.settings"),
        ("spec/validate.py", "from lab import peers"),
    ],
    "The acceptance run knows AWS alone": [
        ("acceptance/judge.py", "from eip_arbiter.settings import EC2_READ_SECONDS"),
        ("acceptance/run.py", "import eip_contract.report"),
        ("acceptance/nodes.py", "import eip_agent.settings"),
        ("acceptance/stacks.py", "from lab.embedded.stack import Stack"),
        ("acceptance/report.py", "from spec import histories"),
    ],
    "The acceptance run's rooms know only the rooms below them": [
        ("acceptance/judge.py", "from acceptance import report"),
        ("acceptance/measures/ways.py", "from acceptance.whole import make"),
    ],
}
CASES = [(rule, path, line) for rule, cases in PLANTED.items() for path, line in cases]


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("copy")
    for part in (*SOURCES, "lab", "spec", "acceptance"):
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
    # After the word, the linter counts the imports that a rule was told to ignore.
    return {rule.strip() for rule, said, _ in (s.partition(" BROKEN") for s in lines) if said}


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


@pytest.mark.parametrize(("package", "whose"), [(CORE, "core"), (AGENT, "agent")])
def test_a_new_room_has_to_be_given_its_place(copy: Path, package: str, whose: str) -> None:
    room = copy / package / "elsewhere"
    room.mkdir()
    try:
        (room / "__init__.py").write_text("")
        assert f"The {whose}'s rooms know only the rooms below them" in broken(copy)
    finally:
        shutil.rmtree(room)


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (f"{CORE}/aws/dynamodb_watch.py", "from eip_arbiter.aws import state_item"),
        (f"{CORE}/decision/rules.py", "from lab import peers"),
        (f"{AGENT}/report/reporter.py", "import lab.peers"),
        (f"{CONTRACT}/report.py", "import lab.peers"),
        (f"{CORE}/decision/rules.py", "from spec import histories"),
        (f"{CORE}/watch/watching.py", "import acceptance.judge"),
    ],
)
def test_a_banned_import_is_seen_by_ruff(path: str, line: str) -> None:
    done = subprocess.run(
        [Path(sys.executable).with_name("ruff"), "check", "--no-cache", "--stdin-filename", path],
        cwd=ROOT,
        input=f"{(ROOT / path).read_text()}\n{line}\n",
        capture_output=True,
        text=True,
        check=False,
    )
    assert "TID251" in done.stdout
