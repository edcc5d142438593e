"""A rule with a schedule delivers again and again, until it is changed, disabled or deleted."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from embedded.helpers import eventually

from lab.embedded.cloud import EmbeddedAws
from lab.embedded.schedules import minutes_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MINUTE_SECONDS = 0.05


@pytest.fixture(scope="module")
def hasty(example: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedAws]:
    """An embedded AWS whose minutes are short."""
    work_dir = tmp_path_factory.mktemp("hasty")
    parameters = {"Retries": "1", "ListenerTimeout": "1"}
    with EmbeddedAws(
        example, work_dir=work_dir, parameters=parameters, minute_seconds=MINUTE_SECONDS
    ) as aws:
        yield aws


@pytest.mark.parametrize(
    ("expression", "minutes"),
    [
        ("rate(1 minute)", 1),
        ("rate(5 minutes)", 5),
        ("rate(2 hours)", 120),
        ("rate(1 day)", 1440),
        ("rate(0 minutes)", None),
        ("rate(1minute)", None),
        ("cron(* * * * ? *)", None),
    ],
)
def test_a_rate_is_so_many_minutes(expression: str, minutes: int | None) -> None:
    assert minutes_of(expression) == minutes


def received(aws: EmbeddedAws, url: str) -> list[dict[str, Any]]:
    got = aws.client("sqs").receive_message(QueueUrl=url, MaxNumberOfMessages=10)
    return [json.loads(message["Body"]) for message in got.get("Messages", [])]


def test_it_delivers_a_scheduled_event_until_its_rule_is_disabled_or_gone(
    hasty: EmbeddedAws,
) -> None:
    events, sqs = hasty.client("events"), hasty.client("sqs")
    url = sqs.create_queue(QueueName="ticks")["QueueUrl"]
    arn = f"arn:aws:sqs:{hasty.region}:{hasty.account_id}:ticks"
    events.put_rule(Name="ticks", ScheduleExpression="rate(1 minute)")
    events.put_targets(Rule="ticks", Targets=[{"Id": "1", "Arn": arn}])
    (first, *_) = eventually(lambda: received(hasty, url))
    assert (first["source"], first["detail-type"]) == ("aws.events", "Scheduled Event")
    assert first["resources"] == [events.describe_rule(Name="ticks")["Arn"]]
    eventually(lambda: received(hasty, url))
    events.disable_rule(Name="ticks")
    time.sleep(2 * MINUTE_SECONDS)
    sqs.purge_queue(QueueUrl=url)
    time.sleep(3 * MINUTE_SECONDS)
    assert received(hasty, url) == []
    events.enable_rule(Name="ticks")
    eventually(lambda: received(hasty, url))
    events.remove_targets(Rule="ticks", Ids=["1"])
    events.delete_rule(Name="ticks")
    time.sleep(2 * MINUTE_SECONDS)
    received(hasty, url)
    time.sleep(3 * MINUTE_SECONDS)
    assert received(hasty, url) == []


def test_a_rule_that_gets_another_schedule_keeps_to_that_one(hasty: EmbeddedAws) -> None:
    events, sqs = hasty.client("events"), hasty.client("sqs")
    url = sqs.create_queue(QueueName="later")["QueueUrl"]
    arn = f"arn:aws:sqs:{hasty.region}:{hasty.account_id}:later"
    events.put_rule(Name="later", ScheduleExpression="rate(1 minute)")
    events.put_targets(Rule="later", Targets=[{"Id": "1", "Arn": arn}])
    events.put_rule(Name="later", ScheduleExpression="rate(1 day)")
    received(hasty, url)
    time.sleep(4 * MINUTE_SECONDS)
    assert received(hasty, url) == []
