"""Listens to a lab while rounds are played, and gives what was there since a round began."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from lab.embedded.journal import Move as Entry
from lab.embedded.runtime import Invocation
from lab.rounds.facts import Heard, Line, Move, Operation
from lab.rounds.injections import Lab
from lab.rounds.pacemaker_log import PacemakerLogs
from lab.site import CLUSTER_ID

RESOURCE = "eip"
_MOST_LINES = 100
_LOG = "var/log/pacemaker/pacemaker.log"


class Recorder:
    """What a lab's AWS and nodes say, kept from the moment that this is made."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._names = {node.instance_id: node.name for node in lab.world.nodes.values()}
        self._lock = threading.Lock()
        self._heard: list[Heard] = []
        self._last: dict[str, str] = {}
        self._errors: list[tuple[float, str]] = []
        cluster = lab.cluster
        self._logs = PacemakerLogs({n: cluster.node(n).disk / _LOG for n in cluster.nodes})
        lab.aws.events.subscribe(self._on_event)
        lab.aws.subscribe_to_invocations(self._on_invocation)

    def forget(self) -> None:
        """Drops all that was recorded so far: a round begins."""
        self._logs.news(RESOURCE)
        with self._lock:
            self._heard.clear()
            self._errors.clear()

    def operations(self) -> tuple[Operation, ...]:
        """What Pacemaker did with the resource since the last look."""
        return tuple(self._logs.news(RESOURCE))

    def heard(self) -> tuple[Heard, ...]:
        """The news in the reports that the bus took."""
        with self._lock:
            return tuple(self._heard)

    def function_errors(self) -> tuple[tuple[float, str], ...]:
        """When invocations failed, and how."""
        with self._lock:
            return tuple(self._errors)

    def moves(self, since: float) -> tuple[Move, ...]:
        """What EC2's journal says of the address."""
        return tuple(self._move(entry) for entry in self._lab.aws.journal.moves(since=since))

    def calls(self, since: float) -> frozenset[tuple[str, str]]:
        """Who called what."""
        calls = self._lab.aws.journal.calls(since=since)
        return frozenset((call.principal, f"{call.service}:{call.operation}") for call in calls)

    def lines(self, since: float) -> tuple[Line, ...]:
        """The arbiter's history, oldest first."""
        payload = {"verb": "history", "cluster": CLUSTER_ID, "limit": _MOST_LINES}
        answer = self._lab.aws.invoke("Operate", payload).result
        lines = [_line(line) for line in answer["lines"]]
        return tuple(line for line in reversed(lines) if line.at >= since)

    def export(self) -> str:
        """The whole history with its evidence: the JSON of a query of the table."""
        items: list[Any] = []
        query = {
            "TableName": self._lab.aws.stack.resources["Table"].ref,
            "KeyConditionExpression": "pk = :pk AND begins_with(sk, :history)",
            "ExpressionAttributeValues": {
                ":pk": {"S": f"cluster#{CLUSTER_ID}"},
                ":history": {"S": "history#"},
            },
        }
        for page in (
            self._lab.aws.client("dynamodb", "lab").get_paginator("query").paginate(**query)
        ):
            items += page["Items"]
        return json.dumps({"Items": items})

    def dead_letters(self) -> int:
        """How many messages lie in the queue of what nobody could handle."""
        url = self._lab.aws.stack.resources["DeadLetters"].ref
        answer = self._lab.aws.client("sqs", "lab").get_queue_attributes(
            QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages"]
        )
        return int(answer["Attributes"]["ApproximateNumberOfMessages"])

    def _move(self, entry: Entry) -> Move:
        return Move(
            at=entry.at,
            operation=entry.operation,
            principal=entry.principal,
            source=self._names.get(entry.from_instance, entry.from_instance),
            target=self._names.get(entry.to_instance, entry.to_instance),
        )

    def _on_event(self, _bus: str, event: dict[str, Any]) -> None:
        detail = event.get("detail")
        if event.get("detail-type") != "Node Report" or not isinstance(detail, dict):
            return
        node = str(detail["node_name"])
        text = _news(detail)
        with self._lock:
            if self._last.get(node) != text:
                self._last[node] = text
                self._heard.append(Heard(time.monotonic(), node, text))

    def _on_invocation(self, invocation: Invocation) -> None:
        if invocation.error is not None:
            with self._lock:
                self._errors.append(
                    (time.monotonic(), f"{invocation.function}: {invocation.error}")
                )


def _news(detail: dict[str, Any]) -> str:
    """What of a report is worth a line of the timeline."""
    words = [f"Pacemaker {detail['pacemaker']['state']}"]
    words += [f"{name} {r['state']}" for name, r in sorted(detail["resources"].items())]
    words += _list("suspects", [suspect["node_name"] for suspect in detail["suspects"]])
    words += _list("awaits", detail["awaiting"])
    return ", ".join(words)


def _list(title: str, names: Sequence[str]) -> list[str]:
    return [f"{title} {' '.join(sorted(names))}"] if names else []


def _line(line: dict[str, Any]) -> Line:
    wall = datetime.fromisoformat(line["at"]).timestamp()
    at = time.monotonic() - (time.time() - wall)
    return Line(at, line["kind"], int(line["term"]), line["rule"], line["sentence"])
