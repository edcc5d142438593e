"""What the tests of the agent's doings in Pacemaker share."""

from __future__ import annotations

import dataclasses
from typing import Any

from agent.test_view import PEER, sight, status, with_view
from eip_agent.view import Sight, Word


class Pacemaker:
    """Notes what crm_resource is asked for; fails while `trouble` says so."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.trouble = ""

    def run(self, arguments: list[str]) -> str:
        self.asked.append(" ".join(arguments))
        return self.trouble


def quiet(_sentence: str, **_fields: object) -> None:
    """Takes the place of the journal."""


def at(now: float, **changes: Any) -> Sight:
    refused = with_view(failed_here=frozenset({"eip"}))
    base = sight(status=status(PEER), status_at=now, words={"eip": Word("stopped", 0.0)})
    changes = {"pacemaker": refused, "pacemaker_at": now, "now": now, **changes}
    return dataclasses.replace(base, **changes)
