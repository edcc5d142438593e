"""The report: a table for people, the same as JSON for machines. Pure, but for the two files."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from acceptance import judge
from acceptance.rows import QUESTIONS, Row
from acceptance.run import Names


def as_json(names: Names, began: str, rows: Mapping[str, Row], left: Sequence[str]) -> Any:
    """The report as one JSON object; times in seconds."""
    return {
        "account": names.account,
        "region": names.region,
        "began": began,
        "rows": [
            {"asks": QUESTIONS[row.id].asks, "expected": QUESTIONS[row.id].expects, **asdict(row)}
            for row in _ordered(rows)
        ],
        "settings": [asdict(setting) for setting in judge.settings(rows)],
        "left": list(left),
    }


def as_markdown(names: Names, began: str, rows: Mapping[str, Row], left: Sequence[str]) -> str:
    """The report as a page."""
    lines = [
        "# Acceptance run",
        "",
        f"Account {names.account}, {names.region}, begun at {began}.",
        "",
        "| row | question | expected | measured | verdict |",
        "|---|---|---|---|---|",
    ]
    for row in _ordered(rows):
        asked = QUESTIONS[row.id]
        cells = (f"`{row.id}`", asked.asks, asked.expects, row.measured, f"**{row.verdict}**")
        lines.append(f"| {' | '.join(_cell(text) for text in cells)} |")
    lines += ["", "## Settings", "", "| setting | default | to set | why |", "|---|---|---|---|"]
    for setting in judge.settings(rows):
        lines.append(f"| `{setting.name}` | {setting.default} | {setting.value} | {setting.why} |")
    lines += ["", "## Left in the account", ""]
    lines += [f"- {problem}" for problem in left] or ["Nothing."]
    return "\n".join(lines) + "\n"


def write(
    folder: Path, names: Names, began: str, rows: Mapping[str, Row], left: Sequence[str]
) -> tuple[Path, Path]:
    """Writes both files; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    page, data = folder / "acceptance.md", folder / "acceptance.json"
    page.write_text(as_markdown(names, began, rows, left))
    data.write_text(json.dumps(as_json(names, began, rows, left), indent=1) + "\n")
    return page, data


def _ordered(rows: Mapping[str, Row]) -> list[Row]:
    return [rows[row_id] for row_id in QUESTIONS if row_id in rows]


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())
