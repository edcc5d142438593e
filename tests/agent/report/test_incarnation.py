"""Which number this agent's reports have, where clocks or the table are ahead of it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
from agent.conclude.test_view import ME, status
from agent.fakes import FakeNode, wait_until
from agent.report.test_reporter import Node
from eip_agent.answer.shown import status_page
from eip_agent.doctor.local import check_agent
from eip_contract.fields import MAX_COUNTER

if TYPE_CHECKING:
    from pathlib import Path

DAY = 86_400


def ahead(incarnation: int, seq: int) -> Any:
    found = status(ME)
    found.last_reports[ME] = (incarnation, seq)  # type: ignore[index]
    return found


def test_an_agent_that_the_table_is_ahead_of_goes_on_above_it(tmp_path: Path) -> None:
    node = Node(tmp_path)
    assert node.report().incarnation == 1
    first = node.report(status=ahead(8, 4), status_at=1.0)
    assert (first.incarnation, first.seq) == (9, 0)
    assert node.reporter.passed_over == "8.4"
    assert node.reporter.next_order == (9, 1)
    node.report(status=ahead(9, 0), status_at=2.0)
    assert node.reporter.next_order == (9, 1), "its own report is not ahead of it"


def test_a_start_is_numbered_above_the_table_from_its_first_claim_on(tmp_path: Path) -> None:
    node = Node(tmp_path)
    node.board.know(status=ahead(8, 4))
    assert node.reporter.next_order == (9, 0)


def test_nothing_is_above_the_last_number(tmp_path: Path) -> None:
    node = Node(tmp_path)
    assert node.report(status=ahead(MAX_COUNTER, 4)).incarnation == 1


def test_the_agent_and_its_doctor_say_that_the_table_was_ahead(node: FakeNode) -> None:
    node.start()
    mine = node.region.reports[-1].incarnation
    node.region.ahead_of_agent = (mine + 50, 7)
    wait_until(lambda: node.region.reports[-1].incarnation == mine + 51, "it goes on above that")
    node.region.ahead_of_agent = None
    answer = node.status()
    passed = f"{mine + 50}.7"
    assert answer["passed_over"] == passed
    assert passed in status_page(answer, 0)
    (told,) = [f for f in check_agent(answer) if passed in f.found]
    assert told.level == "warning"
    assert "a later report of this node" in node.log()


@pytest.mark.parametrize("days", [-30, 30])
def test_a_machine_clock_that_is_days_off_does_not_choose_the_incarnation(
    node: FakeNode, days: int
) -> None:
    node.region.ahead_seconds, node.region.aws_dates = days * DAY, False
    node.start()
    assert abs(node.region.reports[-1].incarnation - time.time() - days * DAY) < 60


def test_without_a_date_of_the_metadata_service_awss_counts(node: FakeNode) -> None:
    node.region.ahead_seconds = 30 * DAY
    node.region.metadata_dates = False
    node.start()
    assert abs(node.region.reports[-1].incarnation - time.time() - 30 * DAY) < 60
