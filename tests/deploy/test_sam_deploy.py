"""The real `sam deploy` against an emulator: creates, updates, rolls back, keeps stacks apart.

The tests go on from each other, in this order: a deployment takes ten seconds.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from builders import address, node
from deploy.emulator import ROOT, UNKNOWN, Emulator, emulator
from eip_arbiter.aws.dynamodb_store import DynamoDbStore

from lab.embedded.translate import translate

pytestmark = pytest.mark.timeout(180)

FUNCTIONS = ("Arbitrate", "InstanceStates", "Operate", "Watch", "Widget")
_SUFFIX_OF_A_LAYER = re.compile(r"[0-9a-f]{10}$")


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    with emulator(tmp_path_factory.mktemp("emulator")) as made:
        yield made


@pytest.fixture(scope="module")
def one(aws: Emulator) -> Emulator:
    """The stack `one`, with the defaults, and a cluster that is paused in its table."""
    done = aws.deploy("one")
    assert done.returncode == 0, done.stdout + done.stderr
    store = DynamoDbStore(aws.client("dynamodb"), aws.outputs("one")["TableName"])
    store.register("web", node(1, None), (address(),))
    assert operate(aws, "one", verb="pause", cluster="web", minutes=60)["outcome"] == "paused"
    return aws


def operate(aws: Emulator, stack: str, **request: Any) -> dict[str, Any]:
    """What the deployed function answers."""
    answer = aws.client("lambda").invoke(
        FunctionName=aws.outputs(stack)["OperateFunction"], Payload=json.dumps(request).encode()
    )
    decoded = json.loads(answer["Payload"].read())
    assert "FunctionError" not in answer, decoded
    assert isinstance(decoded, dict)
    return decoded


def asked() -> dict[str, str]:
    """Logical id -> type of all that the translated template wants; a layer's id ends in a hash."""
    template = translate(ROOT / "template.yaml").template["Resources"]
    return {
        plain(name, resource["Type"]): resource["Type"]
        for name, resource in template.items()
        if "Condition" not in resource and name != UNKNOWN
    }


def plain(name: str, kind: str) -> str:
    return _SUFFIX_OF_A_LAYER.sub("", name) if kind == "AWS::Lambda::LayerVersion" else name


def test_all_that_was_asked_for_is_made(one: Emulator) -> None:
    assert one.stack("one")["StackStatus"] == "CREATE_COMPLETE"
    made = {plain(name, kind): kind for name, (kind, _) in one.resources("one").items()}
    assert made == asked()


def test_what_is_made_is_there_and_not_only_on_the_list(one: Emulator) -> None:
    physical = {name: identity for name, (_, identity) in one.resources("one").items()}
    of_a_kind = {
        kind: {identity for k, identity in one.resources("one").values() if k == kind}
        for kind in asked().values()
    }
    lam, events = one.client("lambda"), one.client("events")
    functions = {f["FunctionName"]: f for f in lam.list_functions()["Functions"]}
    assert of_a_kind["AWS::Lambda::Function"] <= functions.keys()
    for name in FUNCTIONS:
        function = functions[physical[name]]
        assert function["Runtime"] == "python3.13"
        assert function["Environment"]["Variables"]["TABLE_NAME"] == physical["Table"]
        assert len(function["Layers"]) == 3
    (reports,) = [
        rule
        for rule in events.list_rules(EventBusName="one")["Rules"]
        if "eip-arbiter.node/" in rule["EventPattern"]
    ]
    (target,) = events.list_targets_by_rule(Rule=reports["Name"], EventBusName="one")["Targets"]
    assert target["Arn"] == functions[physical["Arbitrate"]]["FunctionArn"]
    assert target["DeadLetterConfig"]["Arn"].endswith(physical["DeadLetters"].rpartition("/")[2])
    assert target["RetryPolicy"] == {"MaximumEventAgeInSeconds": 60, "MaximumRetryAttempts": 2}
    alarms = one.client("cloudwatch").describe_alarms()["MetricAlarms"]
    assert of_a_kind["AWS::CloudWatch::Alarm"] == {alarm["AlarmName"] for alarm in alarms}
    assert {tuple(alarm["AlarmActions"]) for alarm in alarms} == {(physical["Notices"],)}
    table = one.client("dynamodb").describe_table(TableName=physical["Table"])["Table"]
    assert [key["AttributeName"] for key in table["KeySchema"]] == ["pk", "sk"]
    assert table["DeletionProtectionEnabled"] is True
    roles = {role["RoleName"] for role in one.client("iam").list_roles()["Roles"]}
    assert of_a_kind["AWS::IAM::Role"] <= roles


def test_a_second_stack_in_the_account_is_another_world(one: Emulator) -> None:
    done = one.deploy("two")
    assert done.returncode == 0, done.stdout + done.stderr
    first = {identity for _, identity in one.resources("one").values()}
    second = {identity for _, identity in one.resources("two").values()}
    assert first & second == set()
    layers = {name.rpartition(":")[0] for name in first if ":layer:" in name}
    assert layers.isdisjoint({name.rpartition(":")[0] for name in second if ":layer:" in name})
    assert (
        "no cluster 'web' is known" in operate(one, "two", verb="status", cluster="web")["reason"]
    )
    assert operate(one, "one", verb="status", cluster="web")["paused_until_ms"]


def test_a_newer_version_updates_in_place_and_replaces_nothing_that_holds_data(
    one: Emulator,
) -> None:
    before, layers = one.resources("one"), core_layers(one)
    with (one.built / "Core/python/eip_arbiter/__init__.py").open("a") as newer:
        newer.write("# a newer version\n")
    done = one.deploy("one", AnswerSeconds="4", LogRetentionDays="7")
    assert done.returncode == 0, done.stdout + done.stderr
    assert one.stack("one")["StackStatus"] == "UPDATE_COMPLETE"
    after = one.resources("one")
    for name in ("Table", "Bus", "DeadLetters", "Notices", *FUNCTIONS):
        assert after[name] == before[name]
    assert core_layers(one).isdisjoint(layers), "the functions run the newer version"
    assert answer_seconds(one, "one") == dict.fromkeys(FUNCTIONS, "4")
    assert answer_seconds(one, "two") == dict.fromkeys(FUNCTIONS, "3"), "the other one's stay"
    groups = one.client("logs").describe_log_groups(logGroupNamePrefix="/aws/lambda/one-")
    assert {group["retentionInDays"] for group in groups["logGroups"]} == {7}
    assert operate(one, "one", verb="status", cluster="web")["paused_until_ms"], (
        "the state is there"
    )


def core_layers(aws: Emulator) -> set[str]:
    """The versions of the layer `core` that the functions of `one` have."""
    physical = {name: identity for name, (_, identity) in aws.resources("one").items()}
    lam = aws.client("lambda")
    return {
        layer["Arn"]
        for name in FUNCTIONS
        for layer in lam.get_function_configuration(FunctionName=physical[name])["Layers"]
        if ":one-core:" in layer["Arn"]
    }


def answer_seconds(aws: Emulator, stack: str) -> dict[str, str]:
    physical = {name: identity for name, (_, identity) in aws.resources(stack).items()}
    lam = aws.client("lambda")
    configured = {
        name: lam.get_function_configuration(FunctionName=physical[name]) for name in FUNCTIONS
    }
    return {n: c["Environment"]["Variables"]["ANSWER_SECONDS"] for n, c in configured.items()}


def test_an_update_that_fails_half_way_leaves_the_old_one_at_work(one: Emulator) -> None:
    """One resource more, whose name is taken; it comes after the functions were updated."""
    before = one.resources("one")
    text = (one.built / "template.yaml").read_text()
    taken = "  Taken:\n    Type: AWS::Events::EventBus\n    DependsOn: [Arbitrate, Operate]\n"
    taken += "    Properties: {Name: two}\n"
    broken = text.replace("\nResources:\n", f"\nResources:\n{taken}", 1)
    assert broken != text
    (one.built / "broken.yaml").write_text(broken)
    done = one.deploy("one", "broken.yaml", AnswerSeconds="2")
    assert done.returncode != 0
    happened = [
        (event["LogicalResourceId"], event["ResourceStatus"], event.get("ResourceStatusReason", ""))
        for event in one.client("cloudformation").describe_stack_events(StackName="one")[
            "StackEvents"
        ]
    ][::-1]
    (failed,) = [event for event in happened if event[0] == "Taken" and "FAILED" in event[1]]
    assert "already exists" in failed[2]
    begun = max(i for i, e in enumerate(happened) if e[:2] == ("one", "UPDATE_IN_PROGRESS"))
    half = happened[begun : happened.index(failed)]
    assert ("Arbitrate", "UPDATE_COMPLETE") in {event[:2] for event in half}, "it was half way"
    assert one.stack("one")["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    assert one.resources("one") == before
    assert answer_seconds(one, "one") == dict.fromkeys(FUNCTIONS, "4")
    assert operate(one, "one", verb="resume", cluster="web")["outcome"] == "resumed"
    assert one.deploy("one", AnswerSeconds="3").returncode == 0, "and it can be updated again"


def test_a_deleted_stack_leaves_its_table(one: Emulator) -> None:
    table = one.outputs("two")["TableName"]
    one.client("dynamodb").put_item(
        TableName=table, Item={"pk": {"S": "cluster#web"}, "sk": {"S": "state"}}
    )
    done = one.sam("delete", "--stack-name", "two", "--region", "eu-central-1", "--no-prompts")
    assert done.returncode == 0, done.stdout + done.stderr
    assert one.client("dynamodb").scan(TableName=table)["Count"] == 1
    buses = {bus["Name"] for bus in one.client("events").list_event_buses()["EventBuses"]}
    assert "one" in buses
    assert "two" not in buses
