"""What becomes of a translated template: resources, outputs, or a refusal."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest
from embedded.helpers import changed

from lab.embedded.functions import Functions
from lab.embedded.intrinsics import TemplateError
from lab.embedded.stack import Stack
from lab.embedded.translate import translate

if TYPE_CHECKING:
    from pathlib import Path

    from lab.embedded.cloud import EmbeddedAws


def deploy(aws: EmbeddedAws, path: Path) -> Stack:
    """Deploy a second stack beside the first."""
    functions = Functions(aws.later, lambda _arn, _body, _attributes: None, (0.0,))
    site = dataclasses.replace(aws.site, name=path.parent.name, functions=functions)
    stack = Stack(translate(path), site)
    stack.deploy()
    return stack


def test_what_moto_would_leave_out_is_there(aws: EmbeddedAws) -> None:
    alarms = aws.client("cloudwatch").describe_alarms()["MetricAlarms"]
    assert [a["Dimensions"][0]["Value"] for a in alarms] == [
        aws.stack.resources["Failed"].attributes["QueueName"]
    ]
    body = aws.client("cloudwatch").get_dashboard(DashboardName="example")["DashboardBody"]
    assert f"{aws.outputs['TableName']} in eu-central-1" in body
    assert aws.outputs["BusArn"].endswith(":event-bus/example-bus")
    policy = aws.functions.get("Listener").async_policy
    assert (policy.max_retry_attempts, policy.max_event_age_seconds) == (1, 60.0)


def test_the_table_is_as_the_template_says(aws: EmbeddedAws) -> None:
    name = aws.outputs["TableName"]
    ttl = aws.client("dynamodb").describe_time_to_live(TableName=name)["TimeToLiveDescription"]
    assert (ttl["TimeToLiveStatus"], ttl["AttributeName"]) == ("ENABLED", "expires_at")


def test_a_function_has_its_layers_but_not_the_one_that_only_a_build_fills(
    aws: EmbeddedAws, example: Path
) -> None:
    spec = aws.functions.get("Worker").spec
    assert spec.layers == (example.parent / "layers" / "shared",)
    assert spec.environment["TABLE"] == aws.outputs["TableName"]


def test_a_second_stack_changes_nothing_in_the_first(
    aws: EmbeddedAws, example: Path, tmp_path: Path
) -> None:
    other = deploy(aws, changed(example, tmp_path, "Default: test", "Default: live"))
    assert other.outputs["Pager"].startswith("arn:aws:sns:")
    assert other.outputs["TableName"] != aws.outputs["TableName"]
    assert "Pager" not in aws.outputs


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("AWS::SNS::Topic\n    Condition: IsLive", "AWS::Kinesis::Stream", "cannot make.*Kinesis"),
        ("MessageRetentionPeriod: 1209600", "RetentionPeriod: 1", "Failed.*RetentionPeriod"),
        ("{prefix: example.node/}", "{cidr: 10.0.0.0/8}", "'cidr' is not supported"),
        ("Statistic: Maximum", "Statistic: Maximum\n      Colour: red", "FailedAlarm.*Colour"),
        ('{"widgets": [', '{"widgets": ', "Board: the body is not JSON"),
        ("!Ref SharedLayer, ", "arn:aws:lambda:eu-central-1:1:layer:x:1, ", "not made by this"),
        ("TABLE: !Ref Table", "TABLE: !Ref LivePager", "LivePager is referred to"),
        ("TABLE: !Ref Table", "TABLE: !GetAtt Table.Colour", "Table.Colour"),
        ("STAGE: !Ref Stage", "STAGE: !Ref Worker", "circular dependency"),
    ],
)
def test_what_cannot_be_made_stops_the_deployment(  # noqa: PLR0917 - a table's columns
    aws: EmbeddedAws, example: Path, tmp_path: Path, old: str, new: str, message: str
) -> None:
    with pytest.raises(TemplateError, match=f"(?s){message}"):
        deploy(aws, changed(example, tmp_path, old, new))
