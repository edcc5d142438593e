"""A stop that comes in at the very moment of a grant: the stop has the last word."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from agent.conclude.test_view import ME, status
from agent.followup.followed import operations_of, quiet
from eip_agent.answer.operations import Operations
from eip_agent.conclude.verdicts import Verdict
from eip_agent.followup.clean_up import CleanUp
from eip_agent.remember.board import Board
from eip_agent.remember.memory import Words
from eip_agent.remember.sight import Word


class StoppedMeanwhile(Operations):
    """Between the verdict about a start and what follows from it, a stop comes in."""

    def _await_grant(
        self, resource: str, word: Word, deadline: float, alive: Callable[[], bool]
    ) -> Verdict:
        verdict = super()._await_grant(resource, word, deadline, alive)
        self.handle({"op": "stop", "resource": resource}, alive)
        return verdict


@pytest.mark.parametrize("overtaken", [False, True])
def test_a_grant_that_a_stop_overtook_starts_nothing(tmp_path: Path, overtaken: bool) -> None:
    board = Board("n1", ME, Words(str(tmp_path)), quiet)
    board.know(status=status(ME), status_at=time.monotonic() + 1.0)
    clean_up = CleanUp(str(tmp_path / "debts"), lambda _: "", quiet, 0.0)
    operations = operations_of(board, clean_up, StoppedMeanwhile if overtaken else Operations)
    start = {"op": "start", "resource": "eip", "timeout_ms": 2_000}
    answer = operations.handle(start, lambda: True)
    word = board.sight().words["eip"]
    if overtaken:
        assert (answer["outcome"], word.state, word.term) == ("refused", "stopped", None)
        assert answer["reason"] == "another operation took this start's place"
        assert clean_up.resources == ["eip"], "Pacemaker remembers the start as failed"
    else:
        assert (answer["outcome"], word.state) == ("granted", "started")
        assert clean_up.resources == []


def test_a_stop_has_the_state_read_at_once(tmp_path: Path) -> None:
    # It may be an order that stops the copy here, and only who knows of it takes its ban back.
    board = Board("n1", ME, Words(str(tmp_path)), quiet)
    operations = operations_of(board, CleanUp(str(tmp_path / "debts"), lambda _: "", quiet, 0.0))
    assert operations.handle({"op": "stop", "resource": "eip"}, lambda: True) == {
        "outcome": "released"
    }
    assert board.status_wake.is_set()
