"""Commands in the docs that cannot run here: their syntax, options and names are real ones."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from docs.pages import ON_A_NODE, REAL_ACCOUNT, ROOT, Block, blocks, plain_commands
from needs import needed
from samtranslator.yaml_helper import yaml_parse  # type: ignore[import-untyped]

PAGES = sorted(path.name for path in (ROOT / "docs").glob("*.md"))
NOT_RUN = [b for page in PAGES for b in blocks(page) if b.mark in {REAL_ACCOUNT, ON_A_NODE}]
CUSTOM = {("cloudformation", "deploy"), ("s3", "cp"), ("s3", "presign")}
"""Commands of the AWS CLI that are no operation of an API."""
GLOBAL_OPTIONS = {"output", "query", "region", "cli-binary-format"}
TEMPLATES = {
    "eip-arbiter": ROOT / "template.yaml",
    "classic": ROOT / "examples/classic/template.yaml",
}
VERSION = re.search(
    r'__version__ = "(.+)"', (ROOT / "node_agent/src/eip_agent/__init__.py").read_text()
)


SAM = ".venv-sam/bin/sam"


def words(block: Block, command: str) -> list[list[str]]:
    """The arguments of each use of a command in a block, those within `$(...)` as well."""
    found = []
    for line in plain_commands(block.text):
        opened = re.sub(r'"?\$\(', " ; ", line).replace(')"', " ; ")
        lexer = shlex.shlex(opened, posix=True, punctuation_chars=";|&")
        lexer.whitespace_split = True
        current: list[str] = []
        for word in [*lexer, ";"]:
            if set(word) <= set(";|&"):
                if current[:1] == [command]:
                    found.append(current[1:])
                current = []
            else:
                current.append(word)
    return found


def uses(command: str) -> list[tuple[Block, list[str]]]:
    return [(block, found) for block in NOT_RUN for found in words(block, command)]


def options(arguments: list[str]) -> set[str]:
    return {word[2:].partition("=")[0] for word in arguments if word.startswith("--")}


@pytest.mark.parametrize("block", NOT_RUN, ids=str)
def test_the_shell_can_read_it(block: Block) -> None:
    done = subprocess.run(
        ["bash", "-n"], input=block.text, capture_output=True, text=True, check=False, timeout=10
    )
    assert done.returncode == 0, done.stderr


def test_there_are_such_blocks() -> None:
    assert len(NOT_RUN) >= 8
    assert len(uses("aws")) >= 5
    assert len(uses(SAM)) >= 2


@pytest.mark.parametrize(("block", "arguments"), uses("aws"), ids=lambda x: str(x)[:40])
def test_the_aws_cli_knows_the_operation_and_its_options(
    block: Block, arguments: list[str]
) -> None:
    service, operation = arguments[:2]
    given = options(arguments) - GLOBAL_OPTIONS
    if (service, operation) in CUSTOM:
        known = {
            ("cloudformation", "deploy"): {
                "template-file", "stack-name", "capabilities", "parameter-overrides",
            },
            ("s3", "presign"): {"expires-in"},
        }.get((service, operation), set[str]())  # fmt: skip
        assert given <= known, block
        return
    model = botocore.session.get_session().get_service_model(service)
    names = {dashed(name): name for name in model.operation_names}
    assert operation in names, block
    shape: Any = model.operation_model(names[operation]).input_shape
    members = {dashed(name) for name in shape.members}
    assert {o.removeprefix("no-") for o in given} <= members, block


def dashed(name: str) -> str:
    """`DescribeStacks` as the AWS CLI spells it."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", name).lower()


@pytest.mark.parametrize(("block", "arguments"), uses(SAM), ids=lambda x: str(x)[:40])
def test_sam_knows_the_command_and_its_options(block: Block, arguments: list[str]) -> None:
    sam = ROOT / SAM
    needed(".venv-sam (make .venv-sam/.ok)", there=sam.exists())
    command = [word for word in arguments[:2] if re.fullmatch("[a-z]+", word)]
    done = subprocess.run(
        [sam, *command, "--help"], capture_output=True, text=True, check=True, timeout=60
    )
    for option in options(arguments):
        assert f"--{option}" in done.stdout, block


@pytest.mark.parametrize("block", NOT_RUN, ids=str)
def test_the_files_that_it_names_exist(block: Block) -> None:
    assert VERSION is not None
    made_by_build = {f"dist/eip-agent_{VERSION[1]}_all.deb", f"./eip-agent_{VERSION[1]}_all.deb"}
    for word in re.findall(
        r"(?<![\w/:.-])(?:\./|dist/|events/|examples/|lab/)[\w./-]+", block.text
    ):
        assert word in made_by_build or (ROOT / word).exists(), f"{block}: {word}"


def test_the_stacks_outputs_and_parameters_that_are_named_exist() -> None:
    outputs = {o for t in TEMPLATES.values() for o in yaml_parse(t.read_text())["Outputs"]}
    classic = yaml_parse(TEMPLATES["classic"].read_text())["Parameters"]
    seen = 0
    for page in PAGES:
        text = (ROOT / "docs" / page).read_text()
        for name in re.findall(r"OutputKey=='(\w+)'", text):
            assert name in outputs, page
            seen += 1
    assert seen >= 2
    (arguments,) = [a for _, a in uses("aws") if a[:2] == ["cloudformation", "deploy"]]
    names = {word.partition("=")[0] for word in arguments if re.match(r"[A-Z]\w+=", word)}
    assert names
    assert names <= classic.keys()
    needed_by_template = {n for n, declared in classic.items() if "Default" not in declared}
    text = (ROOT / "docs/classic.md").read_text()
    assert all(f"{name}=" in text for name in needed_by_template)


def test_the_makefile_has_the_targets_that_are_named() -> None:
    targets = set(re.findall(r"^([\w./$()-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for path in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for line in re.findall(r"(?:^|`)make ([a-z][\w -]*)", path.read_text(), re.MULTILINE):
            for target in line.split():
                if target.isupper():
                    break
                assert target in targets, f"{path.name}: make {target}"


def test_the_payload_that_is_named_is_one_that_operate_takes() -> None:
    files = [a[a.index("--event-file") + 1] for _, a in uses(SAM) if "--event-file" in a]
    assert files
    for name in files:
        assert "verb" in json.loads((ROOT / name).read_text())


def links(page: Path) -> list[str]:
    return re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text())


@pytest.mark.parametrize("page", [ROOT / "README.md", *(ROOT / "docs").glob("*.md")], ids=str)
def test_no_link_leads_nowhere(page: Path) -> None:
    for link in links(page):
        if not link.startswith(("http://", "https://", "mailto:")):
            assert (page.parent / link).exists(), f"{page.name}: {link}"
