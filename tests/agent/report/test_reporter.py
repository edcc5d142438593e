"""What a report has room for, and what the last one promises."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from agent.conclude.test_view import ME, PEER, status, with_view
from eip_agent.followup.orders import Orders
from eip_agent.observe.metadata import Identity
from eip_agent.remember.board import Board
from eip_agent.remember.memory import Words
from eip_agent.remember.sight import Word
from eip_agent.report.reporter import Reporter
from eip_agent.settings import Settings
from eip_contract.report import MAX_NODES, MAX_PUBLIC_IPS, NodeReport, parse_report

if TYPE_CHECKING:
    from pathlib import Path


class Sent:
    """Takes the place of the publisher."""

    def __init__(self) -> None:
        self.reports: list[NodeReport] = []

    def offer(self, report: NodeReport) -> None:
        self.reports.append(report)

    def wait_sent(self, _seq: int, _seconds: float) -> bool:
        return True


class Node:
    """A board and the shipped reporter in front of it."""

    def __init__(self, folder: Path) -> None:
        self.sent = Sent()
        self.settings = Settings(cluster_id="classic", node_name="n1", calm_seconds=7.0)
        self.board = Board("n1", ME, Words(str(folder)), self._say)
        self.reporter = Reporter(
            self.board,
            self.settings,
            identity=Identity(ME, "eu-central-1", "eu-central-1a", "123456789012", "aws"),
            incarnation=1,
            publisher=self.sent,  # type: ignore[arg-type]
            orders=Orders(lambda _: "", self._say),
            say=self._say,
        )

    def report(self, **facts: Any) -> NodeReport:
        """The report of what is known now, as the control plane reads it."""
        self.board.know(**facts)
        self.reporter.pulse()
        return parse_report(self.sent.reports[-1].to_detail())

    @staticmethod
    def _say(*_: object, **__: object) -> None:
        """Nobody reads it here."""


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


def test_of_many_addresses_the_clusters_own_are_told_first(node: Node) -> None:
    many = tuple(f"198.51.100.{number}" for number in range(10, 40))
    told = node.report(public_ips=(*many, "203.0.113.7"), status=status(ME)).public_ips
    assert told is not None
    assert len(told) == MAX_PUBLIC_IPS
    assert told[0] == "203.0.113.7"
    assert set(told[1:]) <= set(many)


def test_of_many_members_this_node_is_told_first(node: Node) -> None:
    names = (*(f"a{number}" for number in range(MAX_NODES)), "n1")
    view = with_view(members=names, node_ids={name: i for i, name in enumerate(names, 1)})
    members = node.report(pacemaker=view).pacemaker.members
    assert len(members) == MAX_NODES
    assert members[0] == "n1"


def test_the_last_report_promises_nothing_sooner_than_a_calm_one(node: Node) -> None:
    claims = node.report(words={"eip": Word("starting", 1.0)})
    assert claims.next_report_within_ms < 1_000
    node.reporter.shut_down()
    last = node.sent.reports[-1]
    assert (last.cause, last.next_report_within_ms) == ("shutdown", 7_000)


def test_a_claim_is_urgent_again_when_it_meets_another_holder_or_a_loss(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1_000.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    node = Node(tmp_path)
    words = {"eip": Word("started", 1_000.0)}
    claims: dict[str, Any] = {"words": words, "pacemaker": with_view()}
    promises = []
    for after, facts in (
        (0.0, {}),
        (30.0, {}),
        (300.0, {}),
        (1.0, {"status": status(PEER)}),
        (40.0, {}),
        (1.0, {"links": {2: False}, "ever_seen": frozenset({"n2"})}),
    ):
        now[0] += after
        claims |= facts
        promises.append(node.report(**claims).next_report_within_ms)
    assert promises == [250, 1_000, 7_000, 250, 1_000, 250]
