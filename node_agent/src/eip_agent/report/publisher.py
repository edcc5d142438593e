"""Publishes reports from a thread of its own: the newest wins, nothing queues up, nothing waits."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Callable

from eip_agent.calls.channel import ExchangeError

if TYPE_CHECKING:
    from eip_contract.report import NodeReport

    from eip_agent.remember.board import Outcome


class Publisher(threading.Thread):
    """Sends what `offer` hands over; a report that is overtaken before it is sent is dropped."""

    def __init__(self, put: Callable[[NodeReport], None], outcome: Outcome) -> None:
        super().__init__(name="publisher", daemon=True)
        self._put, self._outcome = put, outcome
        self._changed = threading.Condition()
        self._next: NodeReport | None = None
        self._sent_seq = -1
        self.sent_count = 0

    def offer(self, report: NodeReport) -> None:
        """Hands over the newest report and returns at once."""
        with self._changed:
            self._next = report
            self._changed.notify_all()

    def wait_sent(self, seq: int, seconds: float) -> bool:
        """Waits until a report with this `seq` or a later one is sent, at most so long."""
        with self._changed:
            return self._changed.wait_for(lambda: self._sent_seq >= seq, seconds)

    def run(self) -> None:
        """The thread."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._next is not None)
                report, self._next = self._next, None
            if report is None:
                continue
            try:
                self._put(report)
            except ExchangeError as error:
                self._outcome.failed(error.kind, str(error))
                continue
            self._outcome.succeeded()
            with self._changed:
                self._sent_seq, self.sent_count = report.seq, self.sent_count + 1
                self._changed.notify_all()
