"""Real outputs of the cluster's tools, and what is wrong by the doctor's findings."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from eip_agent.doctor.finding import Finding
from eip_agent.settings import Settings

SAMPLES = Path(__file__).parents[1] / "samples/doctor"
CMAP = (SAMPLES / "cmapctl.txt").read_text()
QUORUM = (SAMPLES / "quorumtool.txt").read_text()
CIB = (SAMPLES / "cib.xml").read_text()
SETTINGS = Settings(cluster_id="web", table="tab", bus="b", node_name="n1")


def edited(text: str, old: str, new: str) -> str:
    """A sample with one thing changed; it must be there, and only once."""
    assert text.count(old) == 1, old
    return text.replace(old, new)


def bad(findings: Iterable[Finding]) -> list[tuple[str, str]]:
    """Level and text of what is not well; each of these must say what to do."""
    found = [f for f in findings if f.level in ("warning", "failure")]
    assert all(f.todo for f in found)
    return [(f.level, f.found) for f in found]


def only(findings: Iterable[Finding]) -> tuple[str, str]:
    found = bad(findings)
    assert len(found) == 1, found
    return found[0]
