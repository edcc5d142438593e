"""The newest report wins; an outage is said once and queues nothing up."""

from __future__ import annotations

import dataclasses
import threading
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from agent.conclude.test_view import report
from agent.fakes import wait_until
from eip_agent.__main__ import _identity
from eip_agent.calls.channel import ExchangeError
from eip_agent.observe.metadata import Identity
from eip_agent.remember.board import Outcome
from eip_agent.report.publisher import Publisher

if TYPE_CHECKING:
    import pytest
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


def test_another_kind_of_failure_is_said_after_five_minutes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now, lines = [1_000.0], []
    monkeypatch.setattr("eip_agent.remember.board.time", SimpleNamespace(monotonic=lambda: now[0]))
    outcome = Outcome("Publishing", lambda _sentence, **fields: lines.append(fields))
    for _ in range(86_400):
        outcome.failed("connect", "a")
        outcome.failed("timeout", "b")
        now[0] += 1.0
    assert [line["reason"] for line in lines[:3]] == ["a", "b", "a"]
    assert len(lines) == 86_400 / 300
    outcome.succeeded()
    outcome.failed("timeout", "b")
    assert lines[-2:] == [{"after_seconds": "86400.0"}, {"reason": "b"}]


def test_an_outage_of_the_metadata_service_at_the_start_is_said_once(
    capsys: pytest.CaptureFixture[str],
) -> None:
    kinds = ["timeout", "connect"] * 10

    found = Identity("i-1", "eu-central-1", "eu-central-1a", "123456789012", "aws")

    def identity() -> Identity:
        if kinds:
            raise ExchangeError(kinds.pop(), "x")
        return found

    stopping: Any = SimpleNamespace(is_set=lambda: False, wait=lambda _seconds: False)
    metadata: Any = SimpleNamespace(identity=identity)
    pats: list[int] = []
    watchdog: Any = SimpleNamespace(pat=lambda: pats.append(len(kinds)))
    assert _identity(metadata, stopping, watchdog) is found
    assert len(pats) == 20, "the watchdog is fed after each question"
    assert capsys.readouterr().out.count("\n") == 1
