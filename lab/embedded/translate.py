"""From the SAM template to CloudFormation, offline, with the checks that AWS makes at deploy time.

Nothing is created in here. `python -m lab.embedded.translate template.yaml` prints the translated
template, for cfn-lint: linting only the untranslated one misses most mistakes.
"""

from __future__ import annotations

import argparse
import copy
import dataclasses
import json
import logging
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from boto3.session import Session
from samtranslator.model.exceptions import InvalidDocumentException  # type: ignore[import-untyped]
from samtranslator.parser.parser import Parser  # type: ignore[import-untyped]
from samtranslator.translator.translator import Translator  # type: ignore[import-untyped]
from samtranslator.yaml_helper import yaml_parse  # type: ignore[import-untyped]

from lab.embedded.ec2_resources import PUBLIC_PARAMETERS
from lab.embedded.intrinsics import TemplateError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

LOCAL_BUCKET = "local-code"
"""The bucket named in translated templates; it stands for folders on this machine."""
_CODE_PROPERTY = {
    "AWS::Serverless::Function": "CodeUri",
    "AWS::Serverless::LayerVersion": "ContentUri",
}
_AWS_MANAGED = "arn:aws:iam::aws:policy/service-role/"
_MANAGED_POLICIES = {
    name: _AWS_MANAGED + name
    for name in ("AWSLambdaBasicExecutionRole", "AWSLambdaSQSQueueExecutionRole")
}


@dataclasses.dataclass(frozen=True, slots=True)
class Code:
    """Where the code of a function or a layer is on this machine.

    `path` is what goes on `PYTHONPATH`; it is None for a layer that only a build fills, from an
    index of packages: the caller's own Python environment stands in for it.
    """

    path: Path | None


@dataclasses.dataclass(frozen=True)
class Translation:
    """A translated template.

    `parameters` are the values in force, lists as lists; `code` is by the S3 key in the template.
    """

    template: dict[str, Any]
    parameters: Mapping[str, Any]
    code: Mapping[str, Code]


def translate(
    path: Path, parameters: Mapping[str, str] | None = None, region: str = "eu-central-1"
) -> Translation:
    """Translate a SAM template with its parameters.

    Raises:
        TemplateError: The template, a parameter or one of the template's Rules forbids it; the
            message names every problem found at that stage.
    """
    source = yaml_parse(path.read_text())
    values = parameter_values(source.get("Parameters", {}), parameters or {})
    check_rules(source.get("Rules", {}), values)
    code = _take_code(source, path.resolve().parent)
    translator = Translator(_MANAGED_POLICIES, Parser(), boto_session=Session(region_name=region))
    as_text = {k: ",".join(v) if isinstance(v, list) else str(v) for k, v in values.items()}
    logging.getLogger("samtranslator").setLevel(logging.CRITICAL)
    try:
        template = translator.translate(copy.deepcopy(source), parameter_values=as_text)
    except InvalidDocumentException as error:
        causes = [cause.message for cause in error.causes]
        raise TemplateError(f"{path.name}: {'; '.join(map(str, causes))}") from error
    return Translation(json.loads(json.dumps(template)), values, code)


def parameter_values(declared: Mapping[str, Any], given: Mapping[str, str]) -> dict[str, Any]:
    """Return every parameter's value, checked as CloudFormation checks it.

    Raises:
        TemplateError: With every problem in one message.
    """
    problems = [f"parameter {name} is not declared" for name in given if name not in declared]
    values: dict[str, Any] = {}
    for name, declaration in declared.items():
        value = given.get(name, declaration.get("Default"))
        if value is None:
            problems.append(f"parameter {name} has no value")
            continue
        kind = declaration["Type"]
        if kind == "CommaDelimitedList" or kind.startswith("List<"):
            values[name] = [item.strip() for item in str(value).split(",")]
        elif kind == "AWS::SSM::Parameter::Value<AWS::EC2::Image::Id>":
            if value not in PUBLIC_PARAMETERS:
                problems.append(f"parameter {name}: the embedded AWS has no SSM parameter {value}")
            values[name] = PUBLIC_PARAMETERS.get(value, "")
            continue
        elif kind.startswith("AWS::SSM::"):
            problems.append(f"parameter {name}: {kind} is not supported by the embedded AWS")
        else:
            values[name] = str(value)
        items = values.get(name, [])
        for item in items if isinstance(items, list) else [items]:
            problems += [f"parameter {name}: {why}" for why in _misfits(item, declaration)]
    if problems:
        raise TemplateError("; ".join(problems))
    return values


def _misfits(value: str, declaration: Mapping[str, Any]) -> list[str]:
    found = []
    allowed = [str(item) for item in declaration.get("AllowedValues", [value])]
    if value not in allowed:
        found.append(f"{value!r} is not one of {allowed}")
    pattern = declaration.get("AllowedPattern")
    if pattern and not re.fullmatch(pattern, value):
        found.append(f"{value!r} does not match {pattern}")
    if len(value) < int(declaration.get("MinLength", 0)):
        found.append(f"{value!r} is too short")
    if len(value) > int(declaration.get("MaxLength", len(value))):
        found.append(f"{value!r} is too long")
    if declaration["Type"] in {"Number", "List<Number>"}:
        try:
            number = float(value)
        except ValueError:
            return [*found, f"{value!r} is not a number"]
        if number < float(declaration.get("MinValue", number)):
            found.append(f"{value} is below {declaration['MinValue']}")
        if number > float(declaration.get("MaxValue", number)):
            found.append(f"{value} is above {declaration['MaxValue']}")
    return found


def check_rules(rules: Mapping[str, Any], values: Mapping[str, Any]) -> None:
    """Evaluate the template's Rules, which CloudFormation checks before it makes anything.

    Raises:
        TemplateError: With the description of every assertion that does not hold.
    """
    broken = []
    for name, rule in rules.items():
        if "RuleCondition" in rule and not _rule_value(rule["RuleCondition"], values):
            continue
        broken += [
            f"rule {name}: {assertion.get('AssertDescription', assertion['Assert'])}"
            for assertion in rule["Assertions"]
            if not _rule_value(assertion["Assert"], values)
        ]
    if broken:
        raise TemplateError("; ".join(broken))


_RULE_FUNCTIONS: Mapping[str, Callable[[Any], Any]] = {
    "Fn::Equals": lambda a: a[0] == a[1],
    "Fn::Contains": lambda a: a[1] in a[0],
    "Fn::EachMemberIn": lambda a: set(a[0]) <= set(a[1]),
    "Fn::EachMemberEquals": lambda a: all(item == a[1] for item in a[0]),
    "Fn::And": all,
    "Fn::Or": any,
    "Fn::Not": lambda a: not a[0],
}


def _rule_value(expression: Any, values: Mapping[str, Any]) -> Any:
    if isinstance(expression, list):
        return [_rule_value(item, values) for item in expression]
    if not isinstance(expression, dict):
        return str(expression)
    [(name, argument)] = expression.items()
    if name == "Ref":
        if argument not in values:
            raise TemplateError(f"a rule refers to {argument}, which is no parameter")
        return values[argument]
    if name not in _RULE_FUNCTIONS:
        raise TemplateError(f"{name} in Rules is not supported by the embedded AWS")
    return _RULE_FUNCTIONS[name](_rule_value(argument, values))


def _take_code(source: dict[str, Any], folder: Path) -> dict[str, Code]:
    """Replace local code locations by S3 locations, which is all that the translator takes."""
    code: dict[str, Code] = {}
    shared = source.get("Globals", {}).get("Function", {}).pop("CodeUri", None)
    for logical_id, resource in source.get("Resources", {}).items():
        name = _CODE_PROPERTY.get(resource.get("Type", ""))
        properties = resource.setdefault("Properties", {})
        if name is None or "InlineCode" in properties:
            continue
        location = properties.get(name, shared if name == "CodeUri" else None)
        if not isinstance(location, str) or location.startswith("s3://"):
            raise TemplateError(f"{logical_id}: {name} must be a local folder, not {location!r}")
        if not (folder / location).is_dir():
            raise TemplateError(f"{logical_id}: there is no folder {location}")
        made_by = resource.get("Metadata", {}).get("BuildMethod")
        code[logical_id] = Code(_import_folder(folder / location, made_by))
        properties[name] = f"s3://{LOCAL_BUCKET}/{logical_id}"
    return code


def _import_folder(folder: Path, build_method: str | None) -> Path | None:
    """Return the folder to import from, without a build.

    `python/` is laid out as in Lambda, `src/` is what a makefile copies there; a makefile without
    `src/` fetches packages; anything else is copied as it is.
    """
    for name in ("python", "src"):
        if (folder / name).is_dir():
            return folder / name
    return None if build_method == "makefile" else folder


def main() -> int:
    """Print the translated template as JSON."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("template", type=Path)
    parser.add_argument("--parameter", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--region", default="eu-central-1")
    arguments = parser.parse_args()
    given = dict(item.split("=", 1) for item in arguments.parameter)
    try:
        translation = translate(arguments.template, given, arguments.region)
    except TemplateError as error:
        print(error, file=sys.stderr)
        return 1
    print(json.dumps(translation.template, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
