"""The newest report wins; an outage is said once and queues nothing up."""

from __future__ import annotations

import dataclasses
import threading
from functools import partial
from typing import TYPE_CHECKING

from agent.fakes import wait_until
from agent.test_view import report
from eip_agent.board import Outcome
from eip_agent.channel import ExchangeError
from eip_agent.publisher import Publisher

if TYPE_CHECKING:
    from eip_contract.report import NodeReport


def test_a_report_that_is_overtaken_is_never_sent() -> None:
    gate, sent = threading.Event(), []

    def put(given: NodeReport) -> None:
        sent.append(given.seq)
        gate.wait(5)

    publisher = Publisher(put, Outcome("Publishing", lambda *_a, **_k: None))
    publisher.start()
    publisher.offer(dataclasses.replace(report(), seq=1))
    wait_until(lambda: sent == [1], "the first is under way")
    for seq in (2, 3, 4):
        publisher.offer(dataclasses.replace(report(), seq=seq))
    assert not publisher.wait_sent(4, 0.05)
    gate.set()
    assert publisher.wait_sent(4, 5)
    assert sent == [1, 4]


def test_an_outage_is_said_once_though_its_kinds_alternate_and_so_is_its_end() -> None:
    lines: list[str] = []
    errors = [
        ExchangeError("dns", "a"),
        ExchangeError("dns", "b"),
        ExchangeError("timeout", "c"),
        ExchangeError("dns", "d"),
        None,
        None,
    ]

    def put(_given: NodeReport) -> None:
        error = errors.pop(0)
        if error is not None:
            raise error

    def tried(left: int) -> bool:
        return len(errors) < left

    outcome = Outcome("Publishing", lambda sentence, **_fields: lines.append(sentence))
    publisher = Publisher(put, outcome)
    publisher.start()
    while errors:
        left = len(errors)
        publisher.offer(report())
        wait_until(partial(tried, left), "it was tried")
    assert publisher.wait_sent(5, 5)
    wait_until(lambda: publisher.sent_count == 2, "both were sent")
    fails = "Publishing fails"
    assert lines == [fails, "Publishing succeeds again"]
    assert outcome.trouble == ""
