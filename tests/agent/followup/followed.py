"""What tests of the agent's parts share: fakes of Pacemaker and the journal, and a view."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace
from typing import Any

from agent.conclude.test_view import ME, PEER, sight, status, with_view
from eip_agent.answer.operations import Operations
from eip_agent.followup.clean_up import CleanUp
from eip_agent.remember.board import Board
from eip_agent.remember.sight import Sight, Word
from eip_agent.settings import Settings


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
    changes["advanced_at"] = {ME: now, **changes.get("advanced_at", {})}
    return dataclasses.replace(base, **changes)


def operations_of(
    board: Board, clean_up: CleanUp, kind: type[Operations] = Operations
) -> Operations:
    """The shipped operations; a fake reporter takes reports and sends none."""
    reporter: Any = SimpleNamespace(
        next_order=(1, 1), pulse=lambda: 1.0, flush=lambda _seconds: None
    )
    return kind(
        board,
        Settings(),
        reporter=reporter,
        publisher=SimpleNamespace(),  # type: ignore[arg-type]
        clean_up=clean_up,
        health=SimpleNamespace(failing=[]),  # type: ignore[arg-type]
        say=quiet,
    )
