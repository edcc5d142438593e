"""Announcements on the custom bus: the only module that puts events.

Ten announcements are one PutEvents. What EventBridge did not take is counted and logged in full, so
that nothing is lost silently; it is not tried again, since the history has every move anyway.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from eip_arbiter.arbitrate.announcing import LASTING, SOURCE, Announcement
from eip_arbiter.ports import Telemetry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mypy_boto3_events import EventBridgeClient

REPEAT_MS = 300_000
"""How long an execution environment of a function does not tell a lasting condition again. It
goes by cluster, resource and kind, whether the condition lasts or comes and goes, and the next
notice says how many were left out. Each
remembers for itself alone: with several environments, of one function or of two, or with one that
was started anew, the same notice may come once from each within this time."""
MOST_REMEMBERED = 1_000
MOST_ENTRIES = 10
"""https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEvents.html"""


@dataclass(frozen=True, slots=True)
class _Told:
    """When a condition was told last, and how often not since."""

    at_ms: int
    left_out: int = 0


class EventBridgeAnnouncer:
    """Implements `announcing.Announcer`; the client's time-outs and retries bound `send`."""

    def __init__(self, client: EventBridgeClient, bus_name: str, telemetry: Telemetry) -> None:
        self._client = client
        self._bus_name = bus_name
        self._telemetry = telemetry
        self._waiting: list[Announcement] = []
        self._told: dict[tuple[str, ...], _Told] = {}

    def announce(self, announcement: Announcement) -> bool:
        """Takes one in, unless it says what this environment said a moment ago."""
        if announcement.kind in LASTING:
            at_ms, about = announcement.detail["at_ms"], announcement.about
            told = self._told.pop(about, _Told(0))
            if at_ms - told.at_ms < REPEAT_MS:
                self._told[about] = replace(told, left_out=told.left_out + 1)
                return False
            if len(self._told) >= MOST_REMEMBERED:
                del self._told[next(iter(self._told))]
            self._told[about] = _Told(at_ms)
            if told.left_out:
                announcement = announcement.with_left_out(told.left_out)
        self._waiting.append(announcement)
        return True

    def send(self) -> None:
        """One PutEvents for ten announcements; none where nothing waits."""
        waiting, self._waiting = self._waiting, []
        for start in range(0, len(waiting), MOST_ENTRIES):
            self._put(waiting[start : start + MOST_ENTRIES])

    def _put(self, batch: Sequence[Announcement]) -> None:
        try:
            answer = self._client.put_events(
                Entries=[
                    {
                        "EventBusName": self._bus_name,
                        "Source": SOURCE,
                        "DetailType": announcement.kind,
                        "Detail": json.dumps(announcement.detail),
                    }
                    for announcement in batch
                ]
            )
        except (ClientError, BotoCoreError) as error:
            for announcement in batch:
                self._lost(announcement, str(error))
            return
        for announcement, entry in zip(batch, answer["Entries"], strict=True):
            if "ErrorCode" in entry:
                self._lost(announcement, f"{entry['ErrorCode']}: {entry.get('ErrorMessage', '')}")

    def _lost(self, announcement: Announcement, why: str) -> None:
        self._told.pop(announcement.about, None)
        self._telemetry.count("EventsLost", announcement.detail["cluster_id"])
        self._telemetry.failed(
            f"{announcement.kind!r} was not sent to {self._bus_name}: {why}",
            cluster=announcement.detail["cluster_id"],
            event_detail=announcement.detail,
        )
