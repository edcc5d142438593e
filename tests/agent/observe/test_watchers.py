"""What one read of the metadata service adds to what this node knows."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest
from agent.conclude.test_view import PEER, status, with_view
from eip_agent.calls.channel import ExchangeError
from eip_agent.conclude.presence import ABSENCE_SECONDS
from eip_agent.conclude.view import lost_peers
from eip_agent.observe.watchers import Watchers
from eip_agent.remember.board import Board
from eip_agent.remember.sight import NEVER, Word
from eip_agent.settings import Settings

HERE, ELSEWHERE = ("203.0.113.7",), ()


def quiet(*_: Any, **__: Any) -> None:
    """Takes the place of the journal."""


def test_a_member_that_pacemaker_no_longer_lists_is_still_suspected(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    views = [with_view(), with_view(members=("n1",)), with_view(members=("n1",))]
    monkeypatch.setattr("eip_agent.observe.watchers.run", lambda *_: "")
    monkeypatch.setattr("eip_agent.observe.watchers.parse_crm_mon", lambda *_: views.pop(0))
    words: Any = SimpleNamespace(load=lambda _now: {}, take_notes=lambda *_: [])
    board = Board("n1", "i-1", words, quiet)
    watchers = Watchers(board, Settings(), (None, None, None, None), quiet)  # type: ignore[arg-type]
    for _ in range(3):
        watchers.observe()
    board.know(links={2: False})
    assert lost_peers(board.sight()) == {"n2"}


class Reader:
    """A fake metadata service on a fake clock, in front of the shipped watchers and board."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        self.answer: tuple[str, ...] | None = None
        monkeypatch.setattr(time, "monotonic", lambda: self.now)
        words: Any = SimpleNamespace(
            load=lambda _now: {"eip": Word("started", 50.0, term=3, public_ip=HERE[0])},
            save=lambda _words: None,
        )
        self.board = Board("n1", "i-1", words, quiet)
        settings: Any = SimpleNamespace(alert_seconds=1.0, calm_seconds=10.0)
        keyring: Any = SimpleNamespace(refresh=lambda: None)
        metadata: Any = SimpleNamespace(public_ips=self._public_ips)
        sources: Any = (None, metadata, keyring, None)
        self.changes: list[float] = []
        self.watchers = Watchers(
            self.board, settings, sources, quiet, lambda: self.changes.append(self.now)
        )

    def read(self, answer: tuple[str, ...] | None, after: float) -> tuple[float, float] | None:
        """One read, so many seconds after the last one; returns the row of absences."""
        self.now, self.answer = self.now + after, answer
        self.watchers.ask_metadata()
        return self.board.sight().absent.get("eip")

    def _public_ips(self) -> tuple[str, ...]:
        if self.answer is None:
            raise ExchangeError("timeout", "metadata")
        return self.answer


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch) -> Reader:
    return Reader(monkeypatch)


def test_kept_connections_are_told_of_each_change_of_the_public_addresses(reader: Reader) -> None:
    for answer in (HERE, HERE, None, (), (), HERE):
        reader.read(answer, after=1.0)
    assert reader.changes == [101.0, 104.0, 106.0]


def test_reads_in_a_row_tell_since_when_an_address_is_absent(reader: Reader) -> None:
    assert reader.read(ELSEWHERE, 1.0) == (101.0, 101.0)
    assert reader.read(None, 1.0) == (101.0, 101.0)
    assert reader.read(ELSEWHERE, 1.0) == (101.0, 103.0)
    assert reader.read(HERE, 1.0) is None


def test_what_was_read_before_a_freeze_is_forgotten(reader: Reader) -> None:
    reader.read(ELSEWHERE, 1.0)
    reader.read(ELSEWHERE, 1.0)
    assert reader.read(None, ABSENCE_SECONDS) is None
    assert reader.read(ELSEWHERE, 1.0) == (108.0, 108.0)


def test_a_new_word_of_the_resource_agent_begins_anew(reader: Reader) -> None:
    reader.read(ELSEWHERE, 1.0)
    reader.board.set_word("eip", Word("started", reader.now, term=4, public_ip=HERE[0]))
    assert reader.board.sight().absent == {}


def test_a_start_sees_its_address_come_only_after_it_saw_it_absent(reader: Reader) -> None:
    def arrival() -> tuple[float, float] | None:
        return reader.board.sight().arrivals.get("eip")

    reader.board.know(status=status(PEER))
    reader.read(HERE, 1.0)
    reader.board.set_word("eip", Word("starting", reader.now))
    reader.read(HERE, 1.0)
    assert arrival() is None, "it was here all along"
    reader.read(ELSEWHERE, 1.0)
    reader.read(None, 1.0)
    assert arrival() == (103.0, NEVER)
    reader.read(HERE, 1.0)
    reader.read(HERE, 1.0)
    assert arrival() == (103.0, 105.0)
    reader.read(ELSEWHERE, 1.0)
    assert arrival() == (107.0, NEVER), "it went again"
    reader.read(HERE, 1.0)
    reader.board.set_word("eip", Word("starting", reader.now))
    reader.read(HERE, 1.0)
    assert arrival() is None, "that was another start"
