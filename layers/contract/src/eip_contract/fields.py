"""Checks of single values that came over the wire: each notes a problem instead of raising.

Only here are bounds and patterns of text written down for Python; `events/` says the same as JSON
Schema, and the tests hold the two together.
"""

from __future__ import annotations

import re
from typing import Any

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z", re.ASCII)
INSTANCE_ID = re.compile(r"i-(?:[0-9a-f]{8}|[0-9a-f]{17})\Z", re.ASCII)
IPV4 = re.compile(r"(?:(?:25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])(?:\.(?!\Z)|\Z)){4}", re.ASCII)
TEXT = re.compile(r"[\x20-\x7e]{1,120}\Z", re.ASCII)
"""Printable ASCII: a report's text reaches logs, pages and terminals, so nothing else may."""

MAX_COUNTER = 2**53 - 1
"""The largest whole number that every JSON reader keeps exact."""


SHOWN_CHARACTERS = 48


class Problems:
    """Collects what is wrong with a document, so that all of it is said at once."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def add(self, where: str, what: str) -> None:
        """Notes one problem."""
        self.found.append(f"{where}: {what}")

    def text(self, where: str, value: Any, pattern: re.Pattern[str]) -> str:
        """A string that matches the pattern, or an empty one and a problem."""
        if isinstance(value, str) and pattern.match(value):
            return value
        self.add(where, f"{shown(value)} does not match {pattern.pattern}")
        return ""

    def choice(self, where: str, value: Any, allowed: tuple[str, ...]) -> str:
        """One of the allowed words, or the first of them and a problem."""
        if isinstance(value, str) and value in allowed:
            return value
        self.add(where, f"{shown(value)} is not one of {', '.join(allowed)}")
        return allowed[0]

    def whole(self, where: str, value: Any, low: int, high: int) -> int:
        """A whole number in the range, or its lower end and a problem."""
        # A bool is an int in Python, but not in JSON.
        if isinstance(value, int) and not isinstance(value, bool) and low <= value <= high:
            return value
        self.add(where, f"{shown(value)} is not a whole number from {low} to {high}")
        return low

    def flag(self, where: str, value: Any) -> bool:
        """A JSON boolean, or false and a problem."""
        if isinstance(value, bool):
            return value
        self.add(where, f"{shown(value)} is not true or false")
        return False

    def mapping(self, where: str, value: Any, most: int) -> dict[str, Any]:
        """An object with at most so many entries, or an empty one and a problem."""
        if not isinstance(value, dict):
            self.add(where, f"{shown(value)} is not an object")
        elif len(value) > most:
            self.add(where, f"has {len(value)} entries, more than {most}")
        else:
            return value
        return {}

    def sequence(self, where: str, value: Any, most: int) -> list[Any]:
        """A list with at most so many entries, or an empty one and a problem."""
        if not isinstance(value, list):
            self.add(where, f"{shown(value)} is not a list")
        elif len(value) > most:
            self.add(where, f"has {len(value)} entries, more than {most}")
        else:
            return value
        return []

    def texts(self, where: str, value: Any, pattern: re.Pattern[str], most: int) -> tuple[str, ...]:
        """A list of strings that match the pattern; each bad entry is a problem."""
        entries = self.sequence(where, value, most)
        return tuple(self.text(f"{where}[{i}]", entry, pattern) for i, entry in enumerate(entries))


def shown(value: Any) -> str:
    """A short, printable form of a value that nobody vouches for."""
    text = ascii(value)
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}..."
