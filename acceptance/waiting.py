"""Every wait of the run: it has an end, and says what it waited for."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

Found = TypeVar("Found")


class AcceptanceError(Exception):
    """Something could not be done; the message is for the person who runs it."""


class TooLateError(AcceptanceError):
    """What was waited for did not come in time."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How long things may take at AWS, in seconds, and how often the moves are repeated."""

    poll: float = 5.0
    look: float = 0.5
    stack: float = 900.0
    boot: float = 900.0
    ready: float = 900.0
    command: float = 900.0
    lead: float = 5.0
    came: float = 45.0
    went: float = 300.0
    message: float = 180.0
    metric: float = 420.0
    names: float = 90.0
    failover: float = 180.0
    moves: int = 20

    def until(
        self,
        look: Callable[[], Found | None],
        what: str,
        seconds: float,
        every: float | None = None,
    ) -> Found:
        """Returns the first thing that `look` finds.

        Raises:
            TooLateError: There was none in time.
        """
        deadline = time.monotonic() + seconds
        while True:
            found = look()
            if found:
                return found
            if time.monotonic() >= deadline:
                raise TooLateError(f"after {seconds:.0f} s still not: {what}")
            time.sleep(self.poll if every is None else every)
