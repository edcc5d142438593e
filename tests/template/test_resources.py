"""What the translated template makes of the table, the functions, the rules and the alarm."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from eip_arbiter.aws.telemetry import ALARMING, PowertoolsTelemetry
from eip_contract.envelope import source_for
from eip_contract.report import DETAIL_TYPE

from lab.embedded import patterns

EVENTS = Path(__file__).parents[2] / "events"
FUNCTIONS = ("Arbitrate", "InstanceStates", "Operate", "Watch", "Widget")


def properties(resources: dict[str, Any], logical_id: str) -> dict[str, Any]:
    found: dict[str, Any] = resources[logical_id]["Properties"]
    return found


def test_the_table_keeps_its_data_and_costs_what_is_used(resources: dict[str, Any]) -> None:
    table = properties(resources, "Table")
    assert table["BillingMode"] == "PAY_PER_REQUEST"
    assert table["DeletionProtectionEnabled"] is True
    assert table["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
    assert table["TimeToLiveSpecification"] == {"AttributeName": "ttl", "Enabled": True}
    assert {resources["Table"][p] for p in ("DeletionPolicy", "UpdateReplacePolicy")} == {"Retain"}
    keys = [(key["AttributeName"], key["KeyType"]) for key in table["KeySchema"]]
    assert keys == [("pk", "HASH"), ("sk", "RANGE")]


@pytest.mark.parametrize("logical_id", FUNCTIONS)
class TestFunctions:
    def test_runs_on_arm64_and_python_3_13(
        self, resources: dict[str, Any], logical_id: str
    ) -> None:
        function = properties(resources, logical_id)
        assert function["Architectures"] == ["arm64"]
        assert function["Runtime"] == "python3.13"
        layers = [resources[layer["Ref"]] for layer in function["Layers"]]
        assert len(layers) == 3
        for layer in layers:
            assert layer["Properties"]["CompatibleArchitectures"] == ["arm64"]
            assert layer["Properties"]["CompatibleRuntimes"] == ["python3.13"]

    def test_logs_json_without_lambdas_own_lines(
        self, resources: dict[str, Any], logical_id: str
    ) -> None:
        logging = properties(resources, logical_id)["LoggingConfig"]
        assert (logging["LogFormat"], logging["SystemLogLevel"]) == ("JSON", "WARN")
        assert logging["ApplicationLogLevel"] == "INFO"
        group = properties(resources, logging["LogGroup"]["Ref"])
        assert group["RetentionInDays"] == {"Ref": "LogRetentionDays"}

    def test_knows_the_timeout_of_what_moves_for_a_report_or_an_order(
        self, resources: dict[str, Any], logical_id: str
    ) -> None:
        function = properties(resources, logical_id)
        variables = function["Environment"]["Variables"]
        if logical_id == "Watch":
            assert function["Timeout"] < 60, "one look ends before the next one begins"
        else:
            assert str(function["Timeout"]) == variables["FUNCTION_TIMEOUT_SECONDS"]


LAMBDAS_WAITS_SECONDS = 60 + 120
"""Before the first and the second retry of an asynchronous invocation that failed."""


def test_an_old_event_is_not_worth_a_retry(resources: dict[str, Any]) -> None:
    configs = {
        resource["Properties"]["FunctionName"]["Ref"]: resource["Properties"]
        for resource in resources.values()
        if resource["Type"] == "AWS::Lambda::EventInvokeConfig"
    }
    assert configs.keys() == {"Arbitrate", "InstanceStates", "Watch"}
    for name in ("Arbitrate", "Watch"):
        config = configs[name]
        assert (config["MaximumEventAgeInSeconds"], config["MaximumRetryAttempts"]) == (60, 0)
    # What the watch missed, it sees a minute later.
    assert configs["Watch"]["DestinationConfig"] == {}
    for name in ("Arbitrate", "InstanceStates"):
        destination = configs[name]["DestinationConfig"]["OnFailure"]["Destination"]
        assert destination == {"Fn::GetAtt": ["DeadLetters", "Arn"]}


def test_ec2s_word_lives_as_long_as_its_retries(resources: dict[str, Any]) -> None:
    config = properties(resources, "InstanceStatesEventInvokeConfig")
    timeout = properties(resources, "InstanceStates")["Timeout"]
    assert config["MaximumRetryAttempts"] == 2
    assert config["MaximumEventAgeInSeconds"] > LAMBDAS_WAITS_SECONDS + 3 * timeout


def rule_for(resources: dict[str, Any], source: str) -> dict[str, Any]:
    """The rule whose pattern is about this source."""
    (rule,) = [
        r["Properties"]
        for r in resources.values()
        if r["Type"] == "AWS::Events::Rule"
        and source in json.dumps(r["Properties"].get("EventPattern", {}).get("source"))
    ]
    assert isinstance(rule, dict)
    return rule


@pytest.mark.parametrize(
    ("source", "function"), [("eip-arbiter.node/", "Arbitrate"), ("aws.ec2", "InstanceStates")]
)
def test_every_rule_has_its_function_for_target_and_the_dead_letter_queue(
    resources: dict[str, Any], source: str, function: str
) -> None:
    (target,) = rule_for(resources, source)["Targets"]
    assert target["Arn"] == {"Fn::GetAtt": [function, "Arn"]}
    assert target["DeadLetterConfig"] == {"Arn": {"Fn::GetAtt": ["DeadLetters", "Arn"]}}
    assert 60 <= target["RetryPolicy"]["MaximumEventAgeInSeconds"] <= 300


def test_reports_come_over_the_stacks_bus_and_ec2s_events_over_the_default_one(
    resources: dict[str, Any],
) -> None:
    assert rule_for(resources, "eip-arbiter.node/")["EventBusName"] == {"Ref": "Bus"}
    assert "EventBusName" not in rule_for(resources, "aws.ec2")


def sample(path: Path) -> Any:
    return json.loads(path.read_text())


@pytest.mark.parametrize(
    "path", sorted((EVENTS / "accepted").glob("*.json")), ids=lambda path: path.stem
)
def test_the_rule_takes_every_accepted_sample(resources: dict[str, Any], path: Path) -> None:
    pattern = rule_for(resources, "eip-arbiter.node/")["EventPattern"]
    assert patterns.matches(pattern, sample(path))


def test_the_rule_takes_what_agents_send_and_nothing_else(resources: dict[str, Any]) -> None:
    pattern = rule_for(resources, "eip-arbiter.node/")["EventPattern"]
    source = source_for("aws", "eu-central-1", "123456789012", "i-0aaaaaaaaaaaaaaa1")
    event = {"source": source, "detail-type": DETAIL_TYPE}
    assert patterns.matches(pattern, event)
    assert not patterns.matches(pattern, event | {"detail-type": "Address Moved"})
    assert not patterns.matches(pattern, event | {"source": "eip-arbiter.other"})
    other = sample(EVENTS / "rejected" / "other-detail-type.json")["event"]
    assert not patterns.matches(pattern, other)


@pytest.mark.parametrize(
    ("state", "taken"),
    [
        ("pending", False),
        ("running", False),
        ("stopping", True),
        ("stopped", True),
        ("shutting-down", True),
        ("terminated", True),
    ],
)
def test_the_rule_takes_instances_that_go_only(
    resources: dict[str, Any], state: str, taken: bool
) -> None:
    pattern = rule_for(resources, "aws.ec2")["EventPattern"]
    event = sample(EVENTS / "ec2-instance-stopping.json")
    event["detail"]["state"] = state
    assert patterns.matches(pattern, event) is taken


GAUGES = {"NotReady"}
"""The metrics that the watch writes each minute."""


def written(capsys: pytest.CaptureFixture[str], metric: str) -> list[dict[str, Any]]:
    """The embedded metrics that the shipped telemetry writes at once."""
    telemetry = PowertoolsTelemetry("the-stack")
    if metric in GAUGES:
        telemetry.gauge(metric, 1)
    elif metric == "RejectedReports":
        telemetry.rejected("stale", "said")
    else:
        telemetry.count(metric, "web")
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return [line for line in lines if "_aws" in line]


def alarms(resources: dict[str, Any]) -> list[dict[str, Any]]:
    found = [r["Properties"] for r in resources.values() if r["Type"] == "AWS::CloudWatch::Alarm"]
    assert found
    return found


AWS_METRICS = {
    ("AWS/Lambda", "Errors"),
    ("AWS/Lambda", "Throttles"),
    ("AWS/Lambda", "AsyncEventsDropped"),
    ("AWS/Lambda", "DestinationDeliveryFailures"),
    ("AWS/Events", "FailedInvocations"),
    ("AWS/SQS", "NumberOfMessagesSent"),
}
"""Those that alarms watch and that AWS writes by itself."""


def watched(alarm: dict[str, Any]) -> list[dict[str, Any]]:
    """The metrics of an alarm, each with namespace, name and dimensions."""
    parts = [m["MetricStat"]["Metric"] for m in alarm.get("Metrics", []) if "MetricStat" in m]
    return parts or [alarm]


def is_of_aws(alarm: dict[str, Any]) -> bool:
    return {(str(m["Namespace"]), m["MetricName"]) for m in watched(alarm)} <= AWS_METRICS


def own_alarms(resources: dict[str, Any]) -> list[dict[str, Any]]:
    """The alarms on metrics that the functions write."""
    return [a for a in alarms(resources) if not is_of_aws(a)]


def test_every_alarm_watches_a_metric_that_is_written(
    resources: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    found = own_alarms(resources)
    assert {alarm["MetricName"] for alarm in found} == ALARMING | GAUGES | {"RejectedReports"}
    for alarm in found:
        namespace = alarm["Namespace"]["Fn::Sub"].replace("${AWS::StackName}", "the-stack")
        names = [dimension["Name"] for dimension in alarm["Dimensions"]]
        matching = [
            metric
            for metric in written(capsys, alarm["MetricName"])
            for directive in metric["_aws"]["CloudWatchMetrics"]
            if directive["Namespace"] == namespace
            and directive["Dimensions"] == [names]
            and metric[names[0]] == "the-stack"
        ]
        assert alarm["Dimensions"] == [{"Name": "Stack", "Value": {"Ref": "AWS::StackName"}}]
        assert len(matching) == 1
        # No data is the calm state of a metric that is written on events only.
        gauge = alarm["MetricName"] in GAUGES
        assert alarm["TreatMissingData"] == ("breaching" if gauge else "notBreaching")


def test_every_alarm_tells_people_and_says_what_to_do(resources: dict[str, Any]) -> None:
    for alarm in alarms(resources):
        assert alarm["AlarmActions"] == [{"Ref": "Notices"}]
        assert len(alarm["AlarmDescription"].split()) >= 20
        assert alarm["ComparisonOperator"] == "GreaterThanThreshold"
        assert alarm["Threshold"] == 0


def test_an_alarm_on_awss_own_metric_is_about_a_resource_of_the_stack(
    resources: dict[str, Any],
) -> None:
    others = [a for a in alarms(resources) if is_of_aws(a)]
    assert len(others) == 4
    kind = {
        "AWS/Lambda": "AWS::Lambda::Function",
        "AWS/SQS": "AWS::SQS::Queue",
        "AWS/Events": "AWS::Events::Rule",
    }
    for metric in (metric for alarm in others for metric in watched(alarm)):
        *bus, (_, value) = [(d["Name"], d["Value"]) for d in metric["Dimensions"]]
        rule = "Fn::Select" in value
        # Ref of a rule on a bus of its own is `bus|rule`.
        target = re.findall(r"'(?:Ref|Fn::GetAtt)': \[?'(\w+)", str(value))[0]
        assert resources[target]["Type"] == kind[metric["Namespace"]]
        on_bus = "EventBusName" in resources[target]["Properties"]
        assert bus == ([("EventBusName", {"Ref": "Bus"})] if on_bus else [])
        assert rule == on_bus


def test_what_nobody_would_else_see_has_an_alarm(resources: dict[str, Any]) -> None:
    seen = {
        (metric["MetricName"], str(metric["Dimensions"]))
        for alarm in alarms(resources)
        for metric in watched(alarm)
    }
    names = [name for name, _ in seen]
    rules = [r for r in resources.values() if r["Type"] == "AWS::Events::Rule"]
    # The schedule's is the readiness alarm, which takes no data for trouble.
    assert names.count("FailedInvocations") == len(rules) - 1
    assert names.count("AsyncEventsDropped") == 2, "of each function that events come to"
    assert {"Throttles", "DestinationDeliveryFailures", "RejectedReports"} <= set(names)


def test_an_alarm_sees_a_data_point_that_comes_late(resources: dict[str, Any]) -> None:
    for alarm in alarms(resources):
        needed = alarm.get("DatapointsToAlarm", alarm["EvaluationPeriods"])
        assert alarm["EvaluationPeriods"] >= needed + 2 or needed > 1, alarm["AlarmDescription"]
    # CloudWatch counts up to 15 minutes late for a queue that was asleep.
    letters = properties(resources, "DeadLettersAlarm")
    assert letters["EvaluationPeriods"] * letters["Period"] >= 2 * 15 * 60
    assert letters["DatapointsToAlarm"] == 1


@pytest.mark.parametrize(
    "path", sorted((EVENTS / "announced").glob("*.json")), ids=lambda path: path.stem
)
def test_every_announcement_goes_to_people_and_none_to_a_function(
    resources: dict[str, Any], path: Path
) -> None:
    event = sample(path)
    announced = properties(resources, "AnnouncedRule")
    assert announced["EventBusName"] == {"Ref": "Bus"}
    assert [target["Arn"] for target in announced["Targets"]] == [{"Ref": "Notices"}]
    assert patterns.matches(announced["EventPattern"], event)
    # An announcement that came back as a report would be a circle.
    assert not patterns.matches(rule_for(resources, "eip-arbiter.node/")["EventPattern"], event)


def test_a_report_is_no_announcement(resources: dict[str, Any]) -> None:
    pattern = properties(resources, "AnnouncedRule")["EventPattern"]
    assert not patterns.matches(
        pattern, sample(EVENTS / "accepted" / "heartbeat-of-the-holder.json")
    )


def test_the_dashboard_searches_for_metrics_that_are_written(
    resources: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    body = properties(resources, "Dashboard")["DashboardBody"]["Fn::Sub"]
    searched = re.findall(
        r"SEARCH\('\{(.+?),(\w+)\} MetricName=\"(\w+)\"", body.replace('\\"', '"')
    )
    assert len(searched) == body.count("SEARCH(") >= 4
    for namespace, dimension, metric in searched:
        # CloudWatch wants quotes where there is anything but letters and digits, as a hyphen.
        assert namespace == '"EipArbiter/${AWS::StackName}"'
        telemetry = PowertoolsTelemetry("the-stack")
        if metric == "RejectedReports":
            telemetry.rejected("stale", "said")
        else:
            telemetry.count(metric, "web")
        found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        directives = [
            d for line in found for d in line.get("_aws", {}).get("CloudWatchMetrics", [])
        ]
        assert [dimension] in [d["Dimensions"][0] for d in directives]
        assert metric in [d["Metrics"][0]["Name"] for d in directives]
