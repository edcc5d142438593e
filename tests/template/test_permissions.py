"""Who may do what: each statement of each policy in the translated template."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from eip_arbiter.arbitrate.announcing import (
    ADDRESS_MOVED,
    BLOCKED,
    HOLDER_SILENT,
    MOVE_FAILED,
    NOT_READY,
    SOURCE,
    SPLIT_BRAIN,
)
from eip_contract.envelope import SOURCE_PREFIX, source_for
from eip_contract.report import DETAIL_TYPE

Statement = dict[str, Any]
OWN_ROLES = {"ArbitrateRole", "OperateRole", "WatchRole", "WidgetRole"}
DESCRIBE = {"ec2:DescribeAddresses", "ec2:DescribeInstances"}
MOVE = {"ec2:AssociateAddress", "ec2:DisassociateAddress"}


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def documents(resources: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every policy document with the logical id of what it belongs to."""
    for logical_id, resource in resources.items():
        properties = resource.get("Properties", {})
        if "PolicyDocument" in properties:
            yield logical_id, properties["PolicyDocument"]
        for policy in properties.get("Policies", []):
            yield logical_id, policy["PolicyDocument"]


def statements(resources: dict[str, Any], of: str = "") -> list[Statement]:
    return [
        statement
        for logical_id, document in documents(resources)
        for statement in listed(document["Statement"])
        if of in ("", logical_id)
    ]


def actions(found: list[Statement]) -> set[str]:
    return {action for statement in found for action in listed(statement["Action"])}


def test_every_policy_is_read_here(resources: dict[str, Any]) -> None:
    owners = {logical_id for logical_id, _ in documents(resources)}
    assert owners == {
        "ArbitrateRole",
        "OperateRole",
        "WatchRole",
        "WidgetRole",
        "NodePolicy",
        "OperatorPolicy",
        "DeadLettersPolicy",
        "NoticesPolicy",
    }
    roles = {i for i, r in resources.items() if r["Type"] == "AWS::IAM::Role"}
    assert roles == OWN_ROLES, "SAM made no role of its own"
    for role in roles:
        assert "ManagedPolicyArns" not in resources[role]["Properties"]


def test_every_function_has_a_role_of_its_own(resources: dict[str, Any]) -> None:
    functions = [r for r in resources.values() if r["Type"] == "AWS::Lambda::Function"]
    roles = [function["Properties"]["Role"]["Fn::GetAtt"][0] for function in functions]
    # InstanceStates has the code of Arbitrate, makes the same calls and needs the same rights.
    assert sorted(roles) == sorted([*OWN_ROLES, "ArbitrateRole"])


def test_no_action_is_a_wildcard_and_nothing_is_but_allowed(resources: dict[str, Any]) -> None:
    for statement in statements(resources):
        assert statement["Effect"] == "Allow"
        assert not any("*" in action for action in listed(statement["Action"]))
        assert "NotAction" not in statement
        assert "NotResource" not in statement


def test_only_the_two_describe_actions_are_for_any_resource(resources: dict[str, Any]) -> None:
    anywhere = [s for s in statements(resources) if "*" in listed(s.get("Resource", []))]
    assert actions(anywhere) == DESCRIBE
    for statement in statements(resources):
        if not actions([statement]) & (DESCRIBE | MOVE):
            for resource in listed(statement["Resource"]):
                assert list(resource) in (["Fn::GetAtt"], ["Ref"]), "the stack's own resources"


@pytest.mark.parametrize("role", ["ArbitrateRole", "OperateRole", "WatchRole"])
def test_addresses_are_moved_only_where_everything_is_tagged(
    resources: dict[str, Any], role: str
) -> None:
    (moving,) = [s for s in statements(resources, role) if actions([s]) & MOVE]
    assert actions([moving]) == MOVE
    assert moving["Condition"] == {"Null": {"aws:ResourceTag/eip-arbiter:cluster": "false"}}
    kinds = [resource["Fn::Sub"].rpartition(":")[2] for resource in moving["Resource"]]
    assert kinds == ["elastic-ip/*", "instance/*", "network-interface/*"]
    for resource in moving["Resource"]:
        assert "${AWS::Region}:${AWS::AccountId}" in resource["Fn::Sub"]


def test_functions_may_do_what_they_do_and_nothing_else(resources: dict[str, Any]) -> None:
    logs = {"logs:CreateLogStream", "logs:PutLogEvents"}
    table = {"dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem"}
    common = logs | table | DESCRIBE | MOVE | {"events:PutEvents"}
    # An operator's verb registers nobody, so it describes no instance.
    looking = common - {"ec2:DescribeInstances"}
    assert actions(statements(resources, "OperateRole")) == looking | {"dynamodb:Query"}
    assert actions(statements(resources, "WatchRole")) == common
    assert actions(statements(resources, "ArbitrateRole")) == common | {"sqs:SendMessage"}
    # It shows what there is.
    assert actions(statements(resources, "WidgetRole")) == logs | {
        "dynamodb:GetItem",
        "dynamodb:Query",
    }


def test_a_dry_run_of_the_watch_answers_for_the_arbiters_moves(resources: dict[str, Any]) -> None:
    moving = [
        [s for s in statements(resources, role) if actions([s]) & MOVE]
        for role in ("ArbitrateRole", "WatchRole")
    ]
    assert moving[0] == moving[1] != []


MOVES = {ADDRESS_MOVED, SPLIT_BRAIN, MOVE_FAILED, BLOCKED}


@pytest.mark.parametrize(
    ("role", "kinds"),
    [
        ("ArbitrateRole", MOVES),
        ("OperateRole", MOVES),
        ("WatchRole", MOVES | {HOLDER_SILENT, NOT_READY}),
    ],
)
def test_the_arbiter_announces_under_its_own_name_only(
    resources: dict[str, Any], role: str, kinds: set[str]
) -> None:
    (announce,) = [s for s in statements(resources, role) if s["Action"] == "events:PutEvents"]
    assert announce["Resource"] == {"Fn::GetAtt": ["Bus", "Arn"]}
    equal = announce["Condition"]["ForAllValues:StringEquals"]
    assert equal["events:source"] == SOURCE
    assert set(equal["events:detail-type"]) == kinds
    assert announce["Condition"]["Null"] == dict.fromkeys(equal, "false")


class TestNodePolicy:
    def test_a_node_may_publish_and_read_the_table_and_nothing_else(
        self, resources: dict[str, Any]
    ) -> None:
        found = statements(resources, "NodePolicy")
        assert [(s["Action"], s["Resource"]) for s in found] == [
            ("events:PutEvents", {"Fn::GetAtt": ["Bus", "Arn"]}),
            ("dynamodb:GetItem", {"Fn::GetAtt": ["Table", "Arn"]}),
        ]

    def test_a_node_can_speak_only_for_itself(self, resources: dict[str, Any]) -> None:
        speak = statements(resources, "NodePolicy")[0]
        keys = {"events:source", "events:detail-type"}
        assert speak["Condition"].keys() == {"ForAllValues:StringEquals", "Null"}
        equal = speak["Condition"]["ForAllValues:StringEquals"]
        assert equal == {
            "events:source": f"{SOURCE_PREFIX}${{ec2:SourceInstanceARN}}",
            "events:detail-type": DETAIL_TYPE,
        }
        # ForAllValues is true of a key that is absent, so each key must also be there.
        assert speak["Condition"]["Null"] == dict.fromkeys(keys, "false")

    def test_the_source_that_it_allows_is_the_one_that_agents_send(
        self, resources: dict[str, Any]
    ) -> None:
        condition = statements(resources, "NodePolicy")[0]["Condition"]
        allowed = condition["ForAllValues:StringEquals"]["events:source"]
        instance = "i-0aaaaaaaaaaaaaaa1"
        arn = f"arn:aws:ec2:eu-central-1:123456789012:instance/{instance}"
        assert re.fullmatch(r"[^$]*\$\{ec2:SourceInstanceARN\}", allowed)
        assert allowed.replace("${ec2:SourceInstanceARN}", arn) == source_for(
            "aws", "eu-central-1", "123456789012", instance
        )


def test_only_eventbridge_of_this_account_may_write_to_the_dead_letter_queue(
    resources: dict[str, Any],
) -> None:
    (statement,) = statements(resources, "DeadLettersPolicy")
    assert statement["Principal"] == {"Service": "events.amazonaws.com"}
    assert statement["Action"] == "sqs:SendMessage"
    of_account = {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}
    rules = "arn:${AWS::Partition}:events:${AWS::Region}:${AWS::AccountId}:rule/*"
    of_rules = {"aws:SourceArn": {"Fn::Sub": rules}}
    assert statement["Condition"] == {"StringEquals": of_account, "ArnLike": of_rules}


def test_only_rules_and_the_alarms_of_this_account_may_publish_notices(
    resources: dict[str, Any],
) -> None:
    rules, alarms = statements(resources, "NoticesPolicy")
    for statement in (rules, alarms):
        assert (statement["Action"], statement["Resource"]) == ("sns:Publish", {"Ref": "Notices"})
    assert alarms["Principal"] == {"Service": "cloudwatch.amazonaws.com"}
    condition = {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}
    assert alarms["Condition"] == condition
    # EventBridge's guide wants no condition in a topic's policy for its rules.
    assert rules["Principal"] == {"Service": "events.amazonaws.com"}
    assert "Condition" not in rules


def test_only_rules_may_invoke_a_function_each_its_own_target(resources: dict[str, Any]) -> None:
    permissions = [
        r["Properties"] for r in resources.values() if r["Type"] == "AWS::Lambda::Permission"
    ]
    targets = {
        (logical_id, target["Arn"]["Fn::GetAtt"][0])
        for logical_id, resource in resources.items()
        if resource["Type"] == "AWS::Events::Rule"
        for target in resource["Properties"]["Targets"]
        if "Fn::GetAtt" in target["Arn"]
    }
    allowed = {(p["SourceArn"]["Fn::GetAtt"][0], p["FunctionName"]["Ref"]) for p in permissions}
    assert allowed == targets
    assert {p["Principal"] for p in permissions} == {"events.amazonaws.com"}
