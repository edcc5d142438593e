"""What a stack update may not do: replace the table or the bus, whatever the parameters."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from cfnlint.schema.manager import (  # type: ignore[import-untyped]
    PROVIDER_SCHEMA_MANAGER,
)

from lab.embedded.translate import Translation, translate

KEPT = ("Table", "Bus", "DeadLetters", "Notices")
"""Losing the state would forget who holds what; nodes and people know the others by name."""


def create_only(kind: str) -> set[str]:
    """The properties whose change means another resource, by CloudFormation's own schema."""
    schema = PROVIDER_SCHEMA_MANAGER.get_resource_schema("eu-central-1", kind).schema
    pointers = [*schema["createOnlyProperties"], *schema.get("conditionalCreateOnlyProperties", ())]
    return {pointer.split("/")[2] for pointer in pointers}


def depends_on(value: Any, names: set[str]) -> set[str]:
    """The parameters and conditions that a value of the template refers to."""
    text = json.dumps(value)
    referred = set(re.findall(r'"Ref": "([^"]+)"', text)) | set(re.findall(r"\$\{([^}]+)\}", text))
    referred |= set(re.findall(r'"(?:Fn::If|Condition)": \[?"([^"]+)"', text))
    return referred & names


def variable_names(translation: Translation) -> set[str]:
    return {*translation.template["Parameters"], *translation.template.get("Conditions", {})}


@pytest.mark.parametrize("logical_id", KEPT)
def test_no_parameter_reaches_what_would_replace_a_resource(
    translation: Translation, resources: dict[str, Any], logical_id: str
) -> None:
    resource = resources[logical_id]
    fixed = create_only(resource["Type"])
    assert fixed
    names = variable_names(translation)
    for name in fixed & resource["Properties"].keys():
        assert depends_on(resource["Properties"][name], names) == set(), name
    assert "Condition" not in resource


def test_the_check_sees_a_parameter_where_one_is(translation: Translation) -> None:
    names = variable_names(translation)
    assert depends_on({"Fn::Sub": "x-${LogRetentionDays}"}, names) == {"LogRetentionDays"}
    assert depends_on([{"Ref": "NotifyEmail"}], names) == {"NotifyEmail"}
    assert depends_on({"Fn::If": ["HasEmail", "a", "b"]}, names) == {"HasEmail"}
    assert create_only("AWS::DynamoDB::Table") >= {"TableName", "KeySchema"}


def test_the_same_resources_are_made_whatever_the_numbers_are(
    translation: Translation, resources: dict[str, Any], template_file: Path
) -> None:
    for name, declared in translation.template["Parameters"].items():
        for value in {declared.get("MinValue"), declared.get("MaxValue")} - {None}:
            other = translate(template_file, {name: str(value)}).template["Resources"]
            assert other.keys() == resources.keys(), name


def test_what_holds_data_outlives_its_stack_and_its_replacement(resources: dict[str, Any]) -> None:
    stateful = {"AWS::DynamoDB::Table", "AWS::S3::Bucket", "AWS::EFS::FileSystem"}
    found = {name: r for name, r in resources.items() if r["Type"] in stateful}
    assert found.keys() == {"Table"}
    for resource in found.values():
        assert resource["DeletionPolicy"] == resource["UpdateReplacePolicy"] == "Retain"


def test_names_that_are_given_carry_the_stacks_name(resources: dict[str, Any]) -> None:
    """Two stacks of one account must not meet; a dashboard is not even a region's own."""
    given = {
        (logical_id, name): json.dumps(value)
        for logical_id, resource in resources.items()
        for name, value in resource["Properties"].items()
        if name in create_only_names(resource["Type"])
    }
    assert {"Bus", "Dashboard", "ArbitrateLogs"} <= {logical_id for logical_id, _ in given}
    for (logical_id, name), value in given.items():
        assert "AWS::StackName" in value, f"{logical_id}.{name}"
    assert "AWS::Region" in given["Dashboard", "DashboardName"]
    layers = [name for logical_id, name in given if name == "LayerName"]
    assert len(layers) == 3


def create_only_names(kind: str) -> set[str]:
    names = {"LayerName", "FunctionName", "RoleName", "DashboardName", "LogGroupName", "QueueName"}
    names |= {"TopicName", "TableName", "ManagedPolicyName", "AlarmName"}
    names |= {"Name"} if kind in {"AWS::Events::EventBus", "AWS::Events::Rule"} else set()
    of_another = {"AWS::Lambda::Permission", "AWS::Lambda::EventInvokeConfig"}
    return names - {"FunctionName"} if kind in of_another else names
