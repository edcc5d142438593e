"""EventBridge: accepts events, matches them against the rules, hands them to their targets.

Buses, rules and targets are kept by moto, so that the API describes them; everything about delivery
is here. Delivery is asynchronous and at least once, and can be tampered with.
"""

from __future__ import annotations

import functools
import json
import logging
import random
import re
import time
import uuid
from typing import TYPE_CHECKING, Any

from moto.events.models import events_backends

from lab.embedded import patterns, simulated
from lab.embedded.fidelity import corrects
from lab.embedded.schedules import Schedules, minutes_of
from lab.embedded.tampering import Tampering
from lab.embedded.wire import Reply, Request, WireError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lab.embedded.functions import Functions, SendToQueue
    from lab.embedded.later import Later

    Event = dict[str, Any]

_LOG = logging.getLogger(__name__)
MAX_ENTRIES = 10
MAX_BYTES = 256 * 1024
_TARGET_FIELDS = {"Id", "Arn", "DeadLetterConfig", "RetryPolicy", "Input", "InputTransformer"}


class EventBridge:
    """The delivery engine of one account and region."""

    def __init__(
        self,
        account_id: str,
        region: str,
        functions: Functions,
        later: Later,
        *,
        send_to_queue: SendToQueue,
        publish: Callable[[str, str], None],
        minute_seconds: float,
    ) -> None:
        self._account_id = account_id
        self._region = region
        self._functions = functions
        self._later = later
        self._send_to_queue = send_to_queue
        self._publish = publish
        self._schedules = Schedules(later, minute_seconds, self._due)
        self._tamperings: list[Tampering] = []
        self._subscribers: list[Callable[[str, Event], None]] = []

    def subscribe(self, callback: Callable[[str, Event], None]) -> None:
        """Call `callback(bus, event)` for every event that a bus accepted."""
        self._subscribers.append(callback)

    def tamper(
        self,
        *,
        drop: float = 0.0,
        duplicate: float = 0.0,
        delay_seconds: tuple[float, float] = (0.0, 0.0),
        match: Callable[[Event], bool] = lambda _event: True,
        seed: int = 0,
    ) -> Tampering:
        """Lose, double or delay deliveries of the events that `match`, repeatably for a seed."""
        tampering = Tampering(drop, duplicate, delay_seconds, match, random.Random(seed))  # noqa: S311
        self._tamperings.append(tampering)
        return tampering

    def emit(self, source: str, detail_type: str, detail: Any, resources: list[str]) -> str:
        """Put an event of an AWS service on the default bus; returns its id."""
        event = self._event(
            {"Source": source, "DetailType": detail_type, "Resources": resources}, detail
        )
        self._accept("default", event)
        return str(event["id"])

    def api(self, request: Request) -> Reply | None:
        """Answer what moto does not do, or does wrong; None leaves the call to moto.

        Raises:
            WireError: EventBridge would refuse the request, or this engine cannot carry it.
        """
        body = json.loads(request.body or b"{}")
        match request.operation:
            case "PutEvents":
                return _reply(self._put_events(body))
            case "TestEventPattern":
                pattern, event = json.loads(body["EventPattern"]), json.loads(body["Event"])
                _check_pattern(pattern)
                return _reply({"Result": patterns.matches(pattern, event)})
            case "PutRule":
                self._check_rule(body)
            case "PutTargets":
                for target in body["Targets"]:
                    self._check_target(target)
        return None

    @corrects("schedules-fire")
    def _check_rule(self, body: Mapping[str, Any]) -> None:
        if expression := body.get("ScheduleExpression"):
            if minutes_of(expression) is None or body.get("EventPattern"):
                raise _unsupported(f"a rule with the schedule {expression}")
            self._schedules.start(body["Name"], expression)
        else:
            _check_pattern(json.loads(body["EventPattern"]))

    def _check_target(self, target: Mapping[str, Any]) -> None:
        service = target["Arn"].split(":")[2]
        if service not in {"lambda", "sns", "sqs"}:
            raise _unsupported(f"a target in {service}")
        if unknown := set(target) - _TARGET_FIELDS:
            raise _unsupported(f"a target with {sorted(unknown)}")

    @corrects("limits-of-put-events")
    def _put_events(self, body: Mapping[str, Any]) -> dict[str, Any]:
        entries = body.get("Entries", [])
        if not 1 <= len(entries) <= MAX_ENTRIES:
            raise WireError("ValidationException", f"1 to {MAX_ENTRIES} entries are allowed")
        if sum(map(entry_bytes, entries)) > MAX_BYTES:
            raise WireError("ValidationException", "Total size of the entries is over the limit.")
        results = [self._put_entry(entry) for entry in entries]
        failed = sum("ErrorCode" in result for result in results)
        return {"FailedEntryCount": failed, "Entries": results}

    @corrects("refused-entries")
    def _put_entry(self, entry: Mapping[str, Any]) -> dict[str, str]:
        for name in ("Source", "DetailType", "Detail"):
            if not entry.get(name):
                return _failed(
                    "InvalidArgument",
                    f"Parameter {name} is not valid. Reason: {name} is a required argument.",
                )
        if entry["Source"].startswith("aws."):
            return _failed("NotAuthorizedForSource", "Not authorized for the source.")
        try:
            detail = json.loads(entry["Detail"])
        except ValueError:
            detail = None
        if not isinstance(detail, dict):
            return _failed("MalformedDetail", "Detail is malformed.")
        bus = entry.get("EventBusName", "default").rpartition("/")[2]
        if bus not in self._backend().event_buses:
            return _failed("ResourceNotFoundException", f"Event bus {bus} does not exist.")
        event = self._event(entry, detail)
        self._accept(bus, event)
        return {"EventId": str(event["id"])}

    def _event(self, entry: Mapping[str, Any], detail: Any) -> Event:
        at = float(entry.get("Time") or time.time())
        return {
            "version": "0",
            "id": str(uuid.uuid4()),
            "detail-type": entry["DetailType"],
            "source": entry["Source"],
            "account": self._account_id,
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at)),
            "region": self._region,
            "resources": list(entry.get("Resources", [])),
            "detail": detail,
        }

    def _backend(self) -> Any:
        return events_backends[self._account_id][self._region]

    def _accept(self, bus: str, event: Event) -> None:
        for subscriber in list(self._subscribers):
            subscriber(bus, event)
        with simulated.lock_of("events"):
            found = [
                (rule.arn, dict(target))
                for rule in self._backend().event_buses[bus].rules.values()
                if rule.state == "ENABLED"
                and rule.scheduled_expression is None
                and patterns.matches(_pattern(rule.event_pattern.dump()), event)
                for target in rule.targets
            ]
        for rule_arn, target in found:
            for seconds in self._delays(event):
                self._later.run(seconds, functools.partial(self._deliver, rule_arn, target, event))

    def _due(self, name: str, expression: str) -> bool:
        """Deliver what a schedule owes; False where the rule has another schedule, or is gone."""
        with simulated.lock_of("events"):
            rule = self._backend().event_buses["default"].rules.get(name)
            if rule is None or rule.scheduled_expression != expression:
                return False
            targets = [dict(target) for target in rule.targets if rule.state == "ENABLED"]
        entry = {"Source": "aws.events", "DetailType": "Scheduled Event", "Resources": [rule.arn]}
        event = self._event(entry, {})
        for target in targets:
            self._deliver(rule.arn, target, event)
        return True

    @corrects("at-least-once")
    def _delays(self, event: Event) -> list[float]:
        """Tell when each copy is delivered; each tampering acts on what the ones before it left."""
        self._tamperings = [t for t in self._tamperings if t.active]
        delays = [0.0]
        for tampering in self._tamperings:
            delays = [one + more for one in delays for more in tampering.delays(event)]
        return delays

    @corrects("permission-of-a-target")
    def _deliver(self, rule_arn: str, target: Mapping[str, Any], event: Event) -> None:
        arn = target["Arn"]
        try:
            payload = _payload(target, event)
        except ValueError:
            # What EventBridge does with it is not documented. Of the two choices, a crooked text
            # and none, this is the unkinder one: the target gets nothing.
            self._give_up(rule_arn, target, event, "INVALID_JSON")
            return
        match arn.split(":")[2]:
            case "sqs":
                self._send_to_queue(arn, payload, {})
                return
            case "sns":
                self._publish(arn, payload)
                return
        problem = self._functions.refusal(arn, "events.amazonaws.com", rule_arn)
        if problem is None:
            self._functions.invoke_async(arn, payload.encode())
            return
        self._give_up(rule_arn, target, event, problem)

    @corrects("dead-letters-of-a-rule")
    def _give_up(
        self, rule_arn: str, target: Mapping[str, Any], event: Event, problem: str
    ) -> None:
        """Sends what no retry would deliver to the target's dead-letter queue, if it has one."""
        arn = target["Arn"]
        _LOG.warning("event %s is not delivered to %s: %s", event["id"], arn, problem)
        if queue_arn := target.get("DeadLetterConfig", {}).get("Arn"):
            attributes = {"RULE_ARN": rule_arn, "TARGET_ARN": arn, "ERROR_CODE": problem}
            self._send_to_queue(queue_arn, json.dumps(event), attributes)


@corrects("templates-escape-nothing")
def _payload(target: Mapping[str, Any], event: Event) -> str:
    """What the target gets: the event, or what the target's own input makes of it.

    Raises:
        ValueError: The values have made a text of the template that is not valid JSON.
    """
    transformer = target.get("InputTransformer")
    if transformer is None:
        return str(target.get("Input") or json.dumps(event))
    values: dict[str, Any] = {}
    for name, path in transformer.get("InputPathsMap", {}).items():
        found: Any = event
        for key in path.removeprefix("$.").split("."):
            found = found.get(key, "") if isinstance(found, dict) else ""
        values[name] = found
    template = str(transformer["InputTemplate"])

    def shown(place: re.Match[str]) -> str:
        """Within quotes a text stands as it is: EventBridge escapes nothing."""
        value = values.get(place[1], place[0])
        quoted = template[: place.start()].replace('\\"', "").count('"') % 2
        return value if quoted and isinstance(value, str) else json.dumps(value)

    text = re.sub(r"<([A-Za-z0-9_.-]+)>", shown, template)
    json.loads(text)
    return text


def entry_bytes(entry: Mapping[str, Any]) -> int:
    """Return the size of an entry as EventBridge counts it.

    https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-putevent-size.html
    """
    texts = [entry.get("Source", ""), entry.get("DetailType", ""), entry.get("Detail", "")]
    texts += entry.get("Resources", [])
    return sum(len(text.encode()) for text in texts) + (14 if "Time" in entry else 0)


@functools.lru_cache
def _pattern(text: str) -> dict[str, Any]:
    pattern: dict[str, Any] = json.loads(text)
    return pattern


def _check_pattern(pattern: Any) -> None:
    try:
        patterns.check(pattern)
    except patterns.PatternError as error:
        raise WireError("InvalidEventPatternException", str(error)) from error


def _unsupported(what: str) -> WireError:
    return WireError("NotImplemented", f"{what} is not supported by the embedded AWS", 501)


def _failed(code: str, message: str) -> dict[str, str]:
    return {"ErrorCode": code, "ErrorMessage": message}


def _reply(body: Any) -> Reply:
    return Reply(200, {"Content-Type": "application/x-amz-json-1.1"}, json.dumps(body).encode())
