"""What invocations leave behind: their log lines, their metrics, and dead letters."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from lab.embedded.cloud import EmbeddedAws
from lab.embedded.runtime import Invocation

Item = dict[str, Any]


class Invocations:
    """The invocations that ended, and waiting for the one that a test caused."""

    def __init__(self, aws: EmbeddedAws) -> None:
        self._ended: list[tuple[Any, Invocation]] = []
        self._news = threading.Condition()
        aws.subscribe_to_invocations(self._note)

    def _note(self, invocation: Invocation) -> None:
        with self._news:
            self._ended.append((json.loads(invocation.payload), invocation))
            self._news.notify_all()

    def matching(self, wanted: Callable[[Any], bool]) -> list[Invocation]:
        """Those whose payload is wanted, in the order in which they ended."""
        return [invocation for payload, invocation in self._ended if wanted(payload)]

    def wait(
        self, wanted: Callable[[Any], bool], count: int = 1, seconds: float = 20
    ) -> list[Invocation]:
        """Waits until so many have ended; fails when they do not."""
        with self._news:
            done = self._news.wait_for(lambda: len(self.matching(wanted)) >= count, seconds)
        found = self.matching(wanted)
        assert done, f"{len(found)} of {count} invocations ended within {seconds} s"
        return found

    @staticmethod
    def eventually(look: Callable[[], list[Item]], seconds: float = 5) -> list[Item]:
        """The first that is there of what follows an invocation; nothing tells when it is."""
        deadline = time.monotonic() + seconds
        while not (found := look()):
            assert time.monotonic() < deadline, f"nothing within {seconds} s"
            time.sleep(0.01)
        return found

    def of_event(self, event_id: str, count: int = 1) -> list[Invocation]:
        """Waits for the invocations that took in one event."""
        return self.wait(lambda payload: _id(payload) == event_id, count)


def _id(payload: Any) -> Any:
    return payload.get("id") if isinstance(payload, dict) else None


def rules(invocation: Invocation) -> list[str]:
    """The rule ids that an invocation's log lines name, in order."""
    return [line.data["rule"] for line in invocation.logs if line.data and "rule" in line.data]


def messages(invocation: Invocation) -> str:
    """What an invocation's log lines say, for people."""
    return "\n".join(str(line["message"]) for line in lines(invocation))


def lines(invocation: Invocation, level: str = "*") -> list[Item]:
    """An invocation's log lines, metrics apart."""
    said = [line.data for line in invocation.logs if line.data and "message" in line.data]
    return [line for line in said if level in ("*", line["level"])]


def metrics(invocation: Invocation) -> list[tuple[str, str, str, float]]:
    """The embedded metrics of an invocation: name, dimension, its value, the metric's value."""
    found = []
    for line in invocation.logs:
        for directive in (line.data or {}).get("_aws", {}).get("CloudWatchMetrics", []):
            assert line.data is not None
            ((dimension,),) = directive["Dimensions"]
            for metric in directive["Metrics"]:
                value = line.data[metric["Name"]]
                amount = value[0] if isinstance(value, list) else value
                found.append((metric["Name"], dimension, line.data[dimension], amount))
    return found


def refused(answer: Item) -> str:
    """Why an operator's request was refused, said as the sentence and under its first name."""
    assert answer == {
        "outcome": "refused",
        "sentence": answer["reason"],
        "reason": answer["reason"],
    }
    return str(answer["reason"])


def dead_letters(aws: EmbeddedAws) -> list[Item]:
    """Takes every message out of the dead-letter queue."""
    sqs, url = aws.client("sqs", "looks"), aws.stack.resources["DeadLetters"].ref
    return list(_drain(sqs, url))


def _drain(sqs: Any, url: str) -> Iterator[Item]:
    while found := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
        for message in found:
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
            yield json.loads(message["Body"])
