"""What the doctor says of one thing, and how all that it says is weighed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

LEVELS = ("ok", "note", "warning", "failure")
"""From harmless to what breaks a failover; a note is for people and needs no action."""

_EXIT_STATUS = {"ok": 0, "note": 0, "warning": 2, "failure": 1}


@dataclass(frozen=True)
class Finding:
    """One check's outcome: what was found, and what to do about it where it is not well."""

    level: str
    check: str
    found: str
    todo: str = ""


def ok(check: str, found: str) -> Finding:
    """All is well."""
    return Finding("ok", check, found)


def note(check: str, found: str, todo: str = "") -> Finding:
    """Worth knowing."""
    return Finding("note", check, found, todo)


def warning(check: str, found: str, todo: str) -> Finding:
    """A failover works, but slower, or with a disturbance, or it is not proven to work."""
    return Finding("warning", check, found, todo)


def failure(check: str, found: str, todo: str) -> Finding:
    """A failover will not work."""
    return Finding("failure", check, found, todo)


def worst(findings: Iterable[Finding]) -> str:
    """The weightiest level among findings."""
    return max((finding.level for finding in findings), key=LEVELS.index, default="ok")


def exit_status(findings: Iterable[Finding]) -> int:
    """0: nothing to do, 1: something breaks a failover, 2: warnings only."""
    return _EXIT_STATUS[worst(findings)]
