"""What comes to people: notices and alarms, seen by a queue that subscribes to the topic."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError

from acceptance import judge
from acceptance.rows import Row
from acceptance.run import CLUSTER, Run

PLAIN = "acceptance run: 'https://ec2.example/' did not answer, it's being tried again"
QUOTED = 'acceptance run: "https://ec2.example/" did not answer'


def notice(run: Run) -> list[Row]:
    """A notice as the product writes it."""
    _announce(run, PLAIN)
    return [judge.notice(_arrived(run, "acceptance run: 'https"), PLAIN)]


def raw_quote(run: Run) -> list[Row]:
    """A notice with quotes in its sentence: a message, or a dead letter."""
    before = _dead_letters(run)
    _announce(run, QUOTED)
    deadline = time.monotonic() + run.pace.message
    while time.monotonic() < deadline:
        body = _arrived(run, "ec2.example/", seconds=0)
        if body is not None or _dead_letters(run) > before:
            return [judge.raw_quote(body, None if body is not None else _why(run))]
        run.sleep(run.pace.look)
    return [judge.raw_quote(None, None)]


def alarm(run: Run) -> list[Row]:
    """An alarm that is told to go off, and to be calm again."""
    cloudwatch = run.account.client("cloudwatch")
    name = run.stacks.resources(run.names.control)["MoveFailedAlarm"]
    cloudwatch.set_alarm_state(AlarmName=name, StateValue="ALARM", StateReason="acceptance run")
    body = _arrived(run, name)
    measured = "it came" if body else "nothing came"
    return [Row("alarm", measured, judge.good(bool(body)))]


def _announce(run: Run, sentence: str) -> None:
    """Puts an event on the bus as the product does."""
    detail = {"cluster_id": CLUSTER, "resource": "eip", "sentence": sentence}
    entry = {
        "EventBusName": run.stacks.outputs(run.names.control)["BusName"],
        "Source": "eip-arbiter",
        "DetailType": "Move Failed",
        "Detail": json.dumps(detail),
    }
    run.account.client("events").put_events(Entries=[entry])


def queue_url(run: Run) -> str:
    """The run's own queue, which is made and subscribed where it is not there yet."""
    sqs = run.account.client("sqs")
    try:
        return str(sqs.get_queue_url(QueueName=run.names.queue)["QueueUrl"])
    except ClientError as error:
        if "NonExistentQueue" not in error.response["Error"]["Code"]:
            raise
    topic = run.stacks.outputs(run.names.control)["NoticesTopicArn"]
    url = str(sqs.create_queue(QueueName=run.names.queue)["QueueUrl"])
    found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
    arn = found["Attributes"]["QueueArn"]
    may_send = {
        "Effect": "Allow",
        "Principal": {"Service": "sns.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": arn,
        "Condition": {"ArnEquals": {"aws:SourceArn": topic}},
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [may_send]})
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})
    run.account.client("sns").subscribe(
        TopicArn=topic, Protocol="sqs", Endpoint=arn, Attributes={"RawMessageDelivery": "true"}
    )
    return url


def _arrived(run: Run, part: str, seconds: float | None = None) -> str | None:
    """The first message that has this in it; others are thrown away."""
    sqs, url = run.account.client("sqs"), queue_url(run)

    def look() -> str | None:
        found = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", [])
        for message in found:
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return next((str(m["Body"]) for m in found if part in m["Body"]), None)

    return _within(look, run.pace.message if seconds is None else seconds, run.pace.look)


def _within(look: Callable[[], str | None], seconds: float, every: float) -> str | None:
    """What was looked for, None where it did not come: that is an answer here, no error."""
    deadline = time.monotonic() + seconds
    while (found := look()) is None and time.monotonic() < deadline:
        time.sleep(every)
    return found


def _dead_letters(run: Run) -> int:
    name = "ApproximateNumberOfMessages"
    found = run.account.client("sqs").get_queue_attributes(
        QueueUrl=run.stacks.resources(run.names.control)["DeadLetters"], AttributeNames=[name]
    )
    return int(found["Attributes"][name])


def _why(run: Run) -> str:
    url = run.stacks.resources(run.names.control)["DeadLetters"]
    found: Any = run.account.client("sqs").receive_message(
        QueueUrl=url, MaxNumberOfMessages=10, MessageAttributeNames=["All"], VisibilityTimeout=0
    )
    codes = [
        m.get("MessageAttributes", {}).get("ERROR_CODE", {}).get("StringValue", "no code")
        for m in found.get("Messages", [])
    ]
    return codes[-1] if codes else "no code"
