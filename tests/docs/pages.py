"""The marked blocks of a page: an HTML comment says what becomes of the fenced block after it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
_BLOCK = re.compile(
    r"^<!-- (?P<mark>[^>]*?) -->\n```(?P<language>\w*)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
_FENCE = re.compile(r"^```", re.MULTILINE)
RUN = "run"
RUNS_ON = "runs on, until it says: "
REAL_ACCOUNT = "real account"
ON_A_NODE = "on a node"


@dataclass(frozen=True)
class Block:
    """One fenced block of commands, and the mark before it."""

    page: str
    line: int
    mark: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks(page: str) -> list[Block]:
    """The marked blocks of a page below `docs/`, in order."""
    text = (ROOT / "docs" / page).read_text()
    return [
        Block(page, text.count("\n", 0, found.start()) + 2, found["mark"], found["text"])
        for found in _BLOCK.finditer(text)
    ]


def fences(page: str) -> int:
    """How many fenced blocks a page has, marked or not."""
    return len(_FENCE.findall((ROOT / "docs" / page).read_text())) // 2


def plain_commands(text: str) -> list[str]:
    """The commands of a block, each on one line, without comments."""
    joined = text.replace("\\\n", " ")
    return [line.strip() for line in joined.splitlines() if line.strip() and line[0] != "#"]
