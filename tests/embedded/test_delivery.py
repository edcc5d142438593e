"""From PutEvents to the function and, where that fails, to the queue for what failed."""

from __future__ import annotations

import dataclasses
import json
import uuid
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError
from embedded.helpers import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lab.embedded.cloud import EmbeddedAws
    from lab.embedded.runtime import Invocation


def put(aws: EmbeddedAws, source: str, detail: Any, **more: Any) -> dict[str, Any]:
    entry = {
        "Source": source,
        "DetailType": "Node Report",
        "Detail": detail if isinstance(detail, str) else json.dumps(detail),
        "EventBusName": aws.outputs["BusName"],
        **more,
    }
    answer: dict[str, Any] = aws.client("events", "n1").put_events(Entries=[entry])
    return answer


def items(aws: EmbeddedAws, source: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = aws.client("dynamodb").query(
        TableName=aws.outputs["TableName"],
        KeyConditionExpression="pk = :pk",
        ExpressionAttributeValues={":pk": {"S": source}},
    )["Items"]
    return found


def failed(aws: EmbeddedAws) -> dict[str, Any] | None:
    sqs = aws.client("sqs")
    url = aws.outputs["FailedUrl"]
    got = sqs.receive_message(QueueUrl=url, MessageAttributeNames=["All"]).get("Messages", [])
    for message in got:
        sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        found: dict[str, Any] = message
        return found
    return None


@pytest.fixture
def source() -> str:
    return f"example.node/{uuid.uuid4()}"


@pytest.fixture
def seen(aws: EmbeddedAws, source: str) -> list[Invocation]:
    """Return the invocations for events of this test's own source, as they end."""
    found: list[Invocation] = []

    def note(invocation: Invocation) -> None:
        if json.loads(invocation.payload).get("source", "").startswith(source):
            found.append(invocation)

    aws.subscribe_to_invocations(note)
    return found


@pytest.fixture
def policy(aws: EmbeddedAws) -> Iterator[Any]:
    """Change Listener's asynchronous policy for one test."""
    function = aws.functions.get("Listener")
    before = function.async_policy

    def change(**values: Any) -> None:
        function.async_policy = dataclasses.replace(before, **values)

    yield change
    function.async_policy = before


def test_an_event_that_matches_reaches_the_function_and_the_table(
    aws: EmbeddedAws, source: str
) -> None:
    answer = put(aws, source, {"n": 1})
    assert answer["FailedEntryCount"] == 0
    [item] = eventually(lambda: items(aws, source))
    assert item["sk"]["S"] == answer["Entries"][0]["EventId"]
    assert json.loads(item["detail"]["S"]) == {"n": 1}


def test_an_event_that_matches_no_rule_goes_nowhere(
    aws: EmbeddedAws, source: str, seen: list[Invocation]
) -> None:
    put(aws, f"other.{source}", {"n": 1})
    put(aws, source, {"n": 1}, DetailType="Other")
    put(aws, source, {"n": 1}, EventBusName="default")
    put(aws, source, {"n": 2})
    [item] = eventually(lambda: items(aws, source))
    assert json.loads(item["detail"]["S"]) == {"n": 2}
    assert len(eventually(lambda: seen)) == 1


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"Detail": "not json"}, "MalformedDetail"),
        ({"Detail": "[1]"}, "MalformedDetail"),
        ({"DetailType": ""}, "InvalidArgument"),
        ({"EventBusName": "nobodys"}, "ResourceNotFoundException"),
        ({"Source": "aws.ec2"}, "NotAuthorizedForSource"),
    ],
)
def test_an_entry_that_eventbridge_refuses(
    aws: EmbeddedAws, source: str, change: dict[str, str], code: str
) -> None:
    since = aws.journal.now()
    answer = put(aws, source, {}, **change)
    assert answer["FailedEntryCount"] == 1
    assert answer["Entries"][0]["ErrorCode"] == code
    assert aws.journal.calls(since=since, outcome="partial:1")


def test_a_request_over_256_kilobytes_is_refused(aws: EmbeddedAws, source: str) -> None:
    with pytest.raises(ClientError, match="ValidationException"):
        put(aws, source, {"text": "x" * 256 * 1024})


def test_a_failing_function_is_retried_and_then_reported(
    aws: EmbeddedAws, source: str, seen: list[Invocation]
) -> None:
    put(aws, source, {"do": "raise"})
    message = eventually(lambda: failed(aws))
    record = json.loads(message["Body"])
    assert record["requestContext"]["condition"] == "RetriesExhausted"
    assert record["requestContext"]["approximateInvokeCount"] == 2
    assert record["requestPayload"]["source"] == source
    assert record["responsePayload"]["errorType"] == "ValueError"
    assert [i.error and i.error["errorType"] for i in seen] == ["ValueError", "ValueError"]


def test_an_event_that_is_too_old_is_not_retried(
    aws: EmbeddedAws, source: str, seen: list[Invocation], policy: Any
) -> None:
    policy(max_event_age_seconds=0.01, max_retry_attempts=2)
    put(aws, source, {"do": "raise"})
    record = json.loads(eventually(lambda: failed(aws))["Body"])
    assert record["requestContext"]["condition"] == "EventAgeExceeded"
    assert len(eventually(lambda: seen)) == 1


def test_a_rule_that_may_not_invoke_its_target_uses_its_own_queue(
    aws: EmbeddedAws, source: str, seen: list[Invocation], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aws.functions.get("Listener"), "permissions", [])
    put(aws, source, {"n": 1})
    message = eventually(lambda: failed(aws))
    assert json.loads(message["Body"])["source"] == source
    assert message["MessageAttributes"]["ERROR_CODE"]["StringValue"] == "NO_PERMISSIONS"
    assert not seen


def test_a_rule_that_is_switched_off_delivers_nothing(
    aws: EmbeddedAws, source: str, seen: list[Invocation]
) -> None:
    events, bus = aws.client("events"), aws.outputs["BusName"]
    [rule] = events.list_rules(EventBusName=bus)["Rules"]
    events.disable_rule(Name=rule["Name"], EventBusName=bus)
    put(aws, source, {"n": 1})
    events.enable_rule(Name=rule["Name"], EventBusName=bus)
    put(aws, source, {"n": 2})
    [item] = eventually(lambda: items(aws, source))
    assert json.loads(item["detail"]["S"]) == {"n": 2}
    assert len(eventually(lambda: seen)) == 1


def test_tampering_loses_doubles_and_delays_only_what_it_is_told_to(
    aws: EmbeddedAws, source: str, seen: list[Invocation]
) -> None:
    def mine(event: dict[str, Any]) -> bool:
        return bool(event["source"] == source)

    lost = aws.events.tamper(drop=1.0, match=mine)
    put(aws, source, {"n": 1})
    lost.clear()
    doubled = aws.events.tamper(duplicate=1.0, delay_seconds=(0.2, 0.3), match=mine)
    put(aws, source, {"n": 2})
    assert not seen
    put(aws, f"{source}/other", {"n": 3})
    eventually(lambda: len(seen) == 3)
    doubled.clear()
    assert lost.hits["drop"] == 1
    assert doubled.hits == {"drop": 0, "duplicate": 1, "delay": 2}
    [item] = items(aws, source)
    assert json.loads(item["detail"]["S"]) == {"n": 2}


def test_a_pattern_or_target_that_is_not_supported_is_refused(aws: EmbeddedAws) -> None:
    events = aws.client("events")
    with pytest.raises(ClientError, match="InvalidEventPatternException"):
        events.put_rule(Name="r", EventPattern='{"source": [{"cidr": "10.0.0.0/8"}]}')
    with pytest.raises(ClientError, match=r"the schedule cron\(0 \* \* \* \? \*\) is not supp"):
        events.put_rule(Name="r", ScheduleExpression="cron(0 * * * ? *)")
    with pytest.raises(ClientError, match="a target in kinesis is not supported"):
        events.put_targets(
            Rule="r", Targets=[{"Id": "1", "Arn": "arn:aws:kinesis:eu-central-1:1:stream/s"}]
        )


TRANSFORMER = {
    "InputPathsMap": {"a": "$.detail.a", "b": "$.detail.b.c", "none": "$.detail.b.none"},
    "InputTemplate": '"a <a>, c <b>, none <none>."',
}


@pytest.fixture
def people(aws: EmbeddedAws, source: str) -> Iterator[str]:
    """A topic that a rule of the default bus tells of this test's source; gives a subscriber."""
    events, sns, sqs = (aws.client(service) for service in ("events", "sns", "sqs"))
    name = f"people-{uuid.uuid4()}"
    topic = sns.create_topic(Name=name)["TopicArn"]
    url: str = sqs.create_queue(QueueName=name)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn["QueueArn"])
    events.put_rule(Name=name, EventPattern=json.dumps({"source": [source]}))
    failed_arn = sqs.get_queue_attributes(
        QueueUrl=aws.outputs["FailedUrl"], AttributeNames=["QueueArn"]
    )["Attributes"]["QueueArn"]
    target = {"Id": "1", "Arn": topic, "DeadLetterConfig": {"Arn": failed_arn}}
    events.put_targets(Rule=name, Targets=[target | {"InputTransformer": TRANSFORMER}])
    yield url
    events.remove_targets(Rule=name, Ids=["1"])


def test_a_topic_gets_what_the_targets_template_makes_of_the_event(
    aws: EmbeddedAws, source: str, people: str
) -> None:
    put(aws, source, {"a": "say x", "b": {"c": [1]}}, EventBusName="default")
    sqs = aws.client("sqs")
    (message,) = eventually(lambda: sqs.receive_message(QueueUrl=people).get("Messages"))
    assert json.loads(message["Body"])["Message"] == '"a say x, c [1], none ."'


@pytest.mark.parametrize("text", ['say "x"', "a\\d", "two\nlines"])
def test_what_a_template_makes_of_a_text_is_not_escaped_so_people_get_nothing(
    aws: EmbeddedAws, source: str, people: str, text: str
) -> None:
    put(aws, source, {"a": text, "b": {"c": 1}}, EventBusName="default")
    message = eventually(lambda: failed(aws))
    assert message["MessageAttributes"]["ERROR_CODE"]["StringValue"] == "INVALID_JSON"
    assert json.loads(message["Body"])["detail"]["a"] == text
    assert not aws.client("sqs").receive_message(QueueUrl=people).get("Messages")


def test_a_pattern_can_be_tried_out(aws: EmbeddedAws) -> None:
    event = {
        "id": "1", "account": "1", "source": "a", "time": "2026-01-01T00:00:00Z",
        "region": "eu-central-1", "resources": [], "detail-type": "d",
    }  # fmt: skip
    for pattern, expected in (('{"source": ["a"]}', True), ('{"source": ["b"]}', False)):
        answer = aws.client("events").test_event_pattern(
            EventPattern=pattern, Event=json.dumps(event)
        )
        assert answer["Result"] is expected
