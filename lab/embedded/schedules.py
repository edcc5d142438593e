"""Rules with a schedule: when the next one is due.

Only rates are known here, `rate(1 minute)` and the like. What a rule does when it is due is the
caller's business.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from lab.embedded.later import Later

_RATE = re.compile(r"rate\((?P<number>[1-9][0-9]*) (?P<unit>minute|hour|day)s?\)")
_MINUTES = {"minute": 1, "hour": 60, "day": 1440}


def minutes_of(expression: str) -> int | None:
    """Return how many minutes lie between two events; None for anything but a rate."""
    found = _RATE.fullmatch(expression)
    return int(found["number"]) * _MINUTES[found["unit"]] if found else None


class Schedules:
    """Calls `due(rule, expression)` again and again, until it answers False.

    Args:
        later: Runs what is due.
        minute_seconds: How long a minute of a schedule takes; 0 stands still.
        due: Carries a rule out; False where the rule has another schedule by now, or is gone.
    """

    def __init__(
        self, later: Later, minute_seconds: float, due: Callable[[str, str], bool]
    ) -> None:
        self._later = later
        self._minute_seconds = minute_seconds
        self._due = due

    def start(self, rule: str, expression: str) -> None:
        """Begin; the first event comes after one period, as EventBridge's does."""
        seconds = (minutes_of(expression) or 0) * self._minute_seconds
        if seconds <= 0:
            return

        def tick() -> None:
            if self._due(rule, expression):
                self._later.run(seconds, tick)

        self._later.run(seconds, tick)
