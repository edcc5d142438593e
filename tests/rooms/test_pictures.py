"""docs/rooms.md is true: its pictures show the folders, its walks name code that exists."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/rooms.md").read_text()
_PICTURE = re.compile(r"^## [^\n]*: `([^`]+)`\n\n```\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FLOOR = re.compile(r"^(\w+)(?:/|\.py)", re.MULTILINE)
PICTURES = _PICTURE.findall(PAGE)
STEPS = re.findall(r"^\| \d \| `([^`]+)` \| `(\w+)`", PAGE, re.MULTILINE)


def shown(picture: str) -> dict[str, set[str]]:
    """What a picture shows: each room with the modules behind its colon, each module with none."""
    rooms: dict[str, set[str]] = {}
    for line in picture.splitlines():
        name, _, rest = line.lstrip(" |").partition(" ")
        if re.fullmatch(r"\w+(/|\.py)", name) and not line.startswith(" "):
            last = rooms.setdefault(name, set())
            last |= set(rest.partition(": ")[2].split())
        elif line.strip(" |"):
            last |= set(line.strip(" |").split())
    return rooms


def there(folder: Path) -> dict[str, set[str]]:
    """The same of the real folder."""
    rooms = {f"{path.name}/": _modules(path) for path in folder.iterdir() if _modules(path)}
    return rooms | {path.name: set() for path in folder.glob("*.py") if path.stem != "__init__"}


def _modules(folder: Path) -> set[str]:
    return {path.stem for path in folder.glob("*.py")} - {"__init__"}


@pytest.mark.parametrize(("root", "picture"), PICTURES)
def test_a_picture_shows_the_folders_as_they_are(root: str, picture: str) -> None:
    assert shown(picture) == there(ROOT / root)


@pytest.mark.parametrize(("root", "picture"), PICTURES)
def test_a_picture_has_the_order_that_is_enforced(root: str, picture: str) -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    package = Path(root).name
    layers = next(c["layers"] for c in contracts["contracts"] if c.get("containers") == [package])
    enforced = [set(re.findall(r"\w+", layer)) for layer in layers]
    floors = [
        re.findall(r"^(\w+)(?:/|\.py)", part, re.MULTILINE) for part in picture.split("\n    |\n")
    ]
    assert [set(floor) for floor in floors] == enforced


def test_there_are_two_pictures_and_three_walks_of_five_to_eight_steps() -> None:
    assert len(PICTURES) == 2
    walks = PAGE.split("## The way of ")[1:]
    assert [5 <= len(re.findall(r"^\| \d", walk, re.MULTILINE)) <= 8 for walk in walks] == [
        True
    ] * 3


@pytest.mark.parametrize(("file", "name"), STEPS)
def test_each_step_of_a_walk_is_there(file: str, name: str) -> None:
    assert re.search(rf"^\s*(def|class) {name}\b", (ROOT / file).read_text(), re.MULTILINE)


def shipped() -> list[Path]:
    folders = (
        ROOT / part for part in ("layers/contract", "layers/core", "node_agent", "functions")
    )
    return [path for folder in folders for path in folder.rglob("*.py")]


def test_no_module_is_over_320_lines_and_no_function_over_70() -> None:
    long: dict[str, int] = {}
    for path in shipped():
        text = path.read_text()
        name = path.relative_to(ROOT)
        long[f"{name}"] = len(text.splitlines()) - 320
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                long[f"{name}:{node.lineno} {node.name}"] = lines - 70
    assert {name: over for name, over in long.items() if over > 0} == {}
