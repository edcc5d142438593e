"""The template's way to CloudFormation, and everything that stops it."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from embedded.helpers import changed

from lab.embedded.cloud import EmbeddedAws
from lab.embedded.intrinsics import NO_VALUE, Resolver, TemplateError
from lab.embedded.translate import check_rules, parameter_values, translate

if TYPE_CHECKING:
    from pathlib import Path


def test_a_translated_template_has_no_serverless_types_left(example: Path) -> None:
    resources = translate(example).template["Resources"].values()
    types = {resource["Type"] for resource in resources}
    assert "AWS::Lambda::EventInvokeConfig" in types
    assert not [t for t in types if t.startswith("AWS::Serverless")]


def test_the_command_prints_what_cfn_lint_reads(example: Path) -> None:
    command = [sys.executable, "-m", "lab.embedded.translate", str(example)]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert json.loads(printed)["Resources"]["Worker"]["Type"] == "AWS::Lambda::Function"


def test_a_mistake_in_the_template_stops_with_the_translators_message(
    example: Path, tmp_path: Path
) -> None:
    path = changed(example, tmp_path, "      Handler: handler.lambda_handler\n", "")
    with pytest.raises(TemplateError, match="Handler"):
        translate(path)


def test_code_that_is_not_there_stops(example: Path, tmp_path: Path) -> None:
    path = changed(example, tmp_path, "CodeUri: functions/worker", "CodeUri: functions/walker")
    with pytest.raises(TemplateError, match="Worker: there is no folder functions/walker"):
        translate(path)


def test_an_assertion_of_the_rules_section_stops_the_deployment(
    example: Path, tmp_path: Path
) -> None:
    aws = EmbeddedAws(example, work_dir=tmp_path, parameters={"Paging": "on"})
    with pytest.raises(TemplateError, match="Paging may be on in the live stage only"):
        aws.__enter__()


def test_an_assertion_whose_condition_does_not_hold_is_not_looked_at(example: Path) -> None:
    translate(example, {"Stage": "live", "Paging": "on"})


def test_every_problem_of_the_parameters_is_in_one_message() -> None:
    declared = {
        "Stage": {"Type": "String", "AllowedValues": ["test", "live"]},
        "Seconds": {"Type": "Number", "MinValue": 2, "MaxValue": 5},
        "Name": {"Type": "String"},
    }
    with pytest.raises(TemplateError) as raised:
        parameter_values(declared, {"Stage": "prod", "Seconds": "9", "Other": "x"})
    message = str(raised.value)
    for part in ("'prod' is not one of", "9 is above 5", "Name has no value", "Other is not decl"):
        assert part in message


@pytest.mark.parametrize(
    ("expression", "holds"),
    [
        ({"Fn::Contains": [["a", "b"], {"Ref": "P"}]}, True),
        ({"Fn::EachMemberIn": [{"Ref": "L"}, ["x", "y", "z"]]}, True),
        ({"Fn::EachMemberEquals": [{"Ref": "L"}, "x"]}, False),
        ({"Fn::Not": [{"Fn::Equals": [{"Ref": "P"}, "a"]}]}, False),
        ({"Fn::Or": [{"Fn::Equals": ["1", "2"]}, {"Fn::Equals": [{"Ref": "P"}, "a"]}]}, True),
    ],
)
def test_rule_functions(expression: Any, holds: bool) -> None:
    rules = {"R": {"Assertions": [{"Assert": expression, "AssertDescription": "said"}]}}
    values = {"P": "a", "L": ["x", "y"]}
    if holds:
        check_rules(rules, values)
    else:
        with pytest.raises(TemplateError, match="said"):
            check_rules(rules, values)


def test_intrinsic_functions_resolve() -> None:
    names = {"Name": "n", "Gone": NO_VALUE}
    resolver = Resolver(
        names.__getitem__,
        lambda logical_id, attribute: f"{logical_id}/{attribute}",
        {"Sizes": {"eu": {"small": 1}}},
        {"Yes": {"Fn::Equals": [{"Ref": "Name"}, "n"]}, "No": {"Fn::Not": [{"Condition": "Yes"}]}},
    )
    wanted = {
        "sub": {"Fn::Sub": ["${Name}-${A.Arn}-${x}-${!Raw}", {"x": 1}]},
        "join": {"Fn::Join": [":", ["a", {"Ref": "Name"}, {"Ref": "Gone"}]]},
        "pick": {"Fn::Select": ["1", {"Fn::Split": [",", "a,b"]}]},
        "subnets": {"Fn::Cidr": ["2001:db8::/56", 2, "64"]},
        "map": {"Fn::FindInMap": ["Sizes", "eu", "small"]},
        "if": {"Fn::If": ["No", "wrong", {"Fn::GetAtt": ["A", "Arn"]}]},
        "gone": {"Fn::If": ["No", "wrong", {"Ref": "Gone"}]},
    }
    assert resolver.resolve(wanted) == {
        "sub": "n-A/Arn-1-${Raw}",
        "join": "a:n",
        "pick": "b",
        "subnets": ["2001:db8::/64", "2001:db8:0:1::/64"],
        "map": 1,
        "if": "A/Arn",
    }
    with pytest.raises(TemplateError, match="Fn::Length"):
        resolver.resolve({"Fn::Length": []})
    with pytest.raises(TemplateError, match="Ref Nobody"):
        resolver.resolve({"Ref": "Nobody"})
