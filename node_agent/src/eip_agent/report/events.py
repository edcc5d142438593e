"""Hands node reports to EventBridge."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from eip_contract.report import DETAIL_TYPE, NodeReport

from eip_agent.calls.aws import THROTTLED, Endpoint, Keys
from eip_agent.calls.channel import ExchangeError

if TYPE_CHECKING:
    from eip_agent.settings import Settings


class Events:
    """Publishes node reports."""

    def __init__(self, settings: Settings, keyring: Keys, source: str) -> None:
        self._endpoint = Endpoint("events", "1.1", settings, keyring)
        self.drop_ipv4 = self._endpoint.drop_ipv4
        self._bus, self._source = settings.bus, source

    def put_report(self, report: NodeReport) -> None:
        """Hands one report to EventBridge.

        Raises:
            ExchangeError: EventBridge did not take it.
        """
        entry = {
            "EventBusName": self._bus,
            "Source": self._source,
            "DetailType": DETAIL_TYPE,
            "Detail": json.dumps(report.to_detail(), separators=(",", ":")),
        }
        answer = self._endpoint.call("AWSEvents.PutEvents", {"Entries": [entry]})
        if answer.get("FailedEntryCount"):
            failed = (answer.get("Entries") or [{}])[0]
            code, message = failed.get("ErrorCode", "?"), failed.get("ErrorMessage", "")
            kind = "throttled" if str(code).startswith(THROTTLED) else "refused"
            raise ExchangeError(kind, f"EventBridge did not take the entry: {code} {message}")
