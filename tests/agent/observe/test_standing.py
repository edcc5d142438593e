"""What stands while a look brings nothing, and what is looked up again."""

from __future__ import annotations

import dataclasses
import socket
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from agent.conclude.test_view import ME, PEER, status, with_view
from eip_agent.conclude.verdicts import is_seen_now
from eip_agent.conclude.view import resource_state
from eip_agent.observe import corosync
from eip_agent.observe.corosync import CommandLinks, NoReadingError, nobody_listens
from eip_agent.observe.watchers import Watchers
from eip_agent.remember.board import Board
from eip_agent.remember.sight import NEVER, PacemakerView, Sight, Word
from eip_agent.settings import Settings

HUNG, DISCONNECTED = PacemakerView(), PacemakerView(state="offline")
RUNS_HERE = with_view(roles={"eip": "started"}, running_on={"eip": frozenset({"n1"})})


def quiet(*_: Any, **__: Any) -> None:
    """Takes the place of the journal."""


class Node:
    """The shipped watchers on a fake clock, before a scripted Pacemaker, Corosync and table."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1_000.0
        self.shows: PacemakerView = RUNS_HERE
        self.links: dict[int, bool] | Exception | None = {2: True}
        self.quorum, self.asked_quorum = "two_node", 0
        monkeypatch.setattr(time, "monotonic", lambda: self.now)
        monkeypatch.setattr("eip_agent.observe.watchers.run", lambda *_: "")
        monkeypatch.setattr("eip_agent.observe.watchers.parse_crm_mon", lambda *_: self.shows)
        monkeypatch.setattr("eip_agent.observe.watchers.parse_quorum_mode", self._quorum_mode)
        words: Any = SimpleNamespace(
            load=lambda _: {}, save=lambda _: None, take_notes=lambda *_: []
        )
        self.board = Board("n1", ME, words, quiet)
        self.table: Any = SimpleNamespace(get_status=None)
        sources: Any = (self.table, None, None, SimpleNamespace(read=self._read))
        self.watchers = Watchers(self.board, Settings(), sources, quiet)

    def look(self, shows: PacemakerView, after: float = 0.0) -> Sight:
        """One look at the links and at Pacemaker, so many seconds after the last one."""
        self.now, self.shows = self.now + after, shows
        self.watchers.watch_links()
        self.watchers.observe()
        return self.board.sight()

    def read(self, found: Any, after: float = 1.0) -> Sight:
        """One read of the table."""
        self.now += after
        self.table.get_status = lambda **_: found
        self.watchers.read_status()
        return self.board.sight()

    def _read(self, _: object) -> Any:
        if isinstance(self.links, Exception):
            raise self.links
        return self.links

    def _quorum_mode(self, _: str) -> str:
        self.asked_quorum += 1
        return self.quorum


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> Node:
    return Node(monkeypatch)


@pytest.mark.parametrize(("nothing", "at_last"), [(HUNG, "unknown"), (DISCONNECTED, "unknown")])
def test_what_was_read_last_stands_for_looks_that_bring_nothing(
    node: Node, nothing: PacemakerView, at_last: str
) -> None:
    node.look(RUNS_HERE)
    for after in (0.0, 2.0, 27.0):
        s = node.look(nothing, after)
        assert (s.pacemaker, resource_state(s, "eip")) == (RUNS_HERE, "started")
        assert s.pacemaker_at == 1_000.0, "a view that stands is no newer for it"
        assert not is_seen_now(s), "and nobody acts on it"
    s = node.look(nothing, 2.0)
    assert (s.pacemaker.state, resource_state(s, "eip")) == (at_last, "unknown")
    assert s.pacemaker.node_ids, "Corosync may still tell of links"
    assert is_seen_now(node.look(RUNS_HERE, 2.0))


@pytest.mark.parametrize(("nothing", "state"), [(HUNG, "unknown"), (DISCONNECTED, "offline")])
def test_nothing_stands_where_corosync_says_that_it_is_gone(
    node: Node, nothing: PacemakerView, state: str
) -> None:
    node.look(RUNS_HERE)
    node.links = None
    assert node.look(nothing, 0.1).pacemaker.state == state


def test_offline_is_said_only_once_corosync_is_gone_as_well(node: Node) -> None:
    for after in (0.0, 29.0, 1.0, 600.0):
        s = node.look(DISCONNECTED, after)
        assert (s.pacemaker.state, resource_state(s, "eip")) == ("unknown", "unknown")
    node.links = None
    assert node.look(DISCONNECTED).pacemaker.state == "offline"


def test_at_boot_two_sources_agree_that_nothing_is_there(node: Node) -> None:
    node.links = None
    assert node.look(DISCONNECTED).pacemaker.state == "offline"


def test_links_that_cannot_be_read_stand_as_well_and_say_nothing_of_corosync(node: Node) -> None:
    node.look(RUNS_HERE)
    node.links = NoReadingError("the tool hangs")
    s = node.look(HUNG, 29.0)
    assert (s.links, s.corosync_gone, s.pacemaker.state) == ({2: True}, False, "online")
    s = node.look(HUNG, 1.0)
    assert (s.links, s.corosync_gone) == (None, False)
    node.links = None
    assert node.look(HUNG).corosync_gone
    node.links = NoReadingError("the tool hangs")
    assert node.look(HUNG, 1.0).corosync_gone, "what Corosync said last stands"


@pytest.mark.parametrize(
    ("command", "outcome"),
    [
        ("echo Local node ID 1; echo 'nodeid: 2 reachable'", {2: True}),
        ("echo 'Could not initialize corosync configuration API error 2' >&2; exit 1", None),
        ("echo 'API error CS_ERR_LIBRARY' >&2; exit 1", None),
        ("echo 'API error CS_ERR_TRY_AGAIN' >&2; exit 1", NoReadingError),
        ("exit 1", NoReadingError),
        ("sleep 9", NoReadingError),
    ],
)
def test_a_tool_that_fails_is_not_a_corosync_that_is_gone(command: str, outcome: Any) -> None:
    links = CommandLinks(["sh", "-c", command, "-"], 0.3)
    if outcome is NoReadingError:
        with pytest.raises(NoReadingError):
            links.read([2])
    else:
        assert links.read([2]) == outcome
    with pytest.raises(NoReadingError):
        CommandLinks(["/not/there"]).read([2])


def test_an_error_of_the_tool_is_no_word_while_somebody_listens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, missing = tmp_path / "cfg", tmp_path / "missing"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        assert nobody_listens([bytes(path), bytes(missing)])  # refused: it does not listen yet
        listening.listen()
        assert not nobody_listens([bytes(missing), bytes(path)])
    monkeypatch.setattr(corosync, "nobody_listens", lambda: False)
    links = CommandLinks(["sh", "-c", "echo 'API error CS_ERR_LIBRARY' >&2; exit 1", "-"], 0.3)
    with pytest.raises(NoReadingError):
        links.read([2])


def test_offline_does_not_stand_once_corosync_is_back(node: Node) -> None:
    node.look(RUNS_HERE)
    node.links = None
    assert node.look(DISCONNECTED, 1.0).pacemaker.state == "offline"
    node.links = {2: True}
    assert node.look(DISCONNECTED, 1.0).pacemaker.state == "unknown"
    assert node.look(HUNG, 1.0).pacemaker.state == "unknown"


def test_the_quorum_mode_is_asked_for_again_when_who_takes_part_changes(node: Node) -> None:
    for _ in range(10):
        assert node.look(RUNS_HERE, 10.0).quorum_mode == "two_node"
    assert node.asked_quorum == 1
    three = dataclasses.replace(RUNS_HERE, members=("n1", "n2", "n3"))
    node.quorum = "unknown"  # the tool fails, which is no word about the quorum
    assert node.look(three, 10.0).quorum_mode == "two_node"
    node.quorum = "majority"
    assert node.look(three, 10.0).quorum_mode == "majority"
    assert node.asked_quorum == 3


def test_the_quorum_mode_is_asked_for_again_now_and_then(node: Node) -> None:
    node.look(RUNS_HERE)
    node.quorum = "device"
    seen = [node.look(RUNS_HERE, 10.0).quorum_mode for _ in range(60)]
    assert (seen[0], seen[-1]) == ("two_node", "device")
    assert node.asked_quorum <= 3


def test_a_part_that_runs_alone_is_a_start_only_while_the_rest_may_follow(node: Node) -> None:
    part = with_view(roles={"eip": "starting"}, incomplete={"eip": "started"})
    states = [resource_state(node.look(part, 5.0), "eip") for _ in range(6)]
    assert states == ["starting"] * 4 + ["started"] * 2
    really = with_view(roles={"eip": "starting"})
    assert resource_state(node.look(really, 60.0), "eip") == "starting"
    assert resource_state(node.look(part, 60.0), "eip") == "starting", "it begins anew"


def table(table_id: str, term: int, holder: str = ME) -> Any:
    return dataclasses.replace(status(holder, term=term), table_id=table_id)


def test_held_by_us_renews_the_grant_that_a_running_copy_remembers(node: Node) -> None:
    node.board.set_word("eip", Word("started", 1_000.0, (1, 5), term=7, table_id="old"))
    node.read(table("new", 1))
    word = node.board.sight().words["eip"]
    assert (word.term, word.table_id, word.at) == (1, "new", 1_000.0)
    node.read(table("new", 4, PEER))
    assert node.board.sight().words["eip"] is word, "somebody else's grant is not ours"


def test_a_read_from_before_the_start_renews_nothing(node: Node) -> None:
    node.board.set_word("eip", Word("started", 1_000.0, (1, 10), term=7, table_id="t"))
    node.read(table("t", 5))
    assert node.board.sight().words["eip"].term == 7


def test_since_when_an_order_stands_is_counted_here(node: Node) -> None:
    ordered = status(PEER, order_target=PEER, order_id="o1", order_until_ms=10**15)
    first = node.read(ordered).now
    assert node.read(ordered, 5.0).orders_since == {"o1": first}
    assert node.read(status(PEER)).orders_since == {}


def test_before_the_first_look_nothing_was_seen() -> None:
    s = Sight("n1", ME, 1.0)
    assert (s.pacemaker_at, resource_state(s, "eip")) == (NEVER, "unknown")
