"""Every deployment that the parameters allow keeps the timing rule; any other one is refused."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
from eip_arbiter.settings import read_settings
from samtranslator.yaml_helper import yaml_parse  # type: ignore[import-untyped]

from lab.embedded.cloud import EmbeddedAws
from lab.embedded.intrinsics import TemplateError

ROOT = Path(__file__).parents[2]
DECLARED: dict[str, Any] = yaml_parse((ROOT / "template.yaml").read_text())["Parameters"]
BOUNDED = {
    name: (declaration["MinValue"], declaration["MaxValue"])
    for name, declaration in DECLARED.items()
    if "MinValue" in declaration or "MaxValue" in declaration
}
TOUCHING = {"AnswerSeconds", "MoveSeconds", "StartTimeoutSeconds"}
"""The parameters of the timing rule."""


def environment(resources: dict[str, Any], values: dict[str, int]) -> dict[str, str]:
    """A function's environment when the parameters have these values."""
    variables = resources["Arbitrate"]["Properties"]["Environment"]["Variables"]
    defaults = {name: declared.get("Default") for name, declared in DECLARED.items()}
    known = {
        **defaults,
        **values,
        "AWS::StackName": "the-stack",
        "Table": "the-table",
        "Bus": "the-bus",
    }
    return {
        name: str(known[value["Ref"]] if isinstance(value, dict) else value)
        for name, value in variables.items()
    }


def test_every_number_that_is_a_time_is_bounded() -> None:
    times = {name for name in DECLARED if name.endswith("Seconds")}
    assert times <= BOUNDED.keys()
    assert times >= TOUCHING


def test_every_corner_of_the_allowed_ranges_keeps_the_timing_rule(
    resources: dict[str, Any],
) -> None:
    corners = list(itertools.product(*BOUNDED.values()))
    assert len(corners) == 2 ** len(BOUNDED)
    for corner in corners:
        values = dict(zip(BOUNDED, corner, strict=True))
        settings = read_settings(environment(resources, values))
        assert settings.policy.problems() == []
        assert settings.policy.start_timeout_ms == values["StartTimeoutSeconds"] * 1000


def test_the_bounds_are_as_wide_as_the_timing_rule_allows(resources: dict[str, Any]) -> None:
    """The rule is what bounds them: one second more at the tightest corner breaks it."""
    tightest = {
        "AnswerSeconds": BOUNDED["AnswerSeconds"][1],
        "MoveSeconds": BOUNDED["MoveSeconds"][1],
    }
    least = BOUNDED["StartTimeoutSeconds"][0]
    read_settings(environment(resources, tightest | {"StartTimeoutSeconds": least}))
    with pytest.raises(RuntimeError, match="must be below the resource's start timeout"):
        read_settings(environment(resources, tightest | {"StartTimeoutSeconds": least - 1}))


def outside() -> list[tuple[str, str]]:
    below = [(name, str(low - 1)) for name, (low, _) in BOUNDED.items()]
    above = [(name, str(high + 1)) for name, (_, high) in BOUNDED.items()]
    return [*below, *above, ("AnswerSeconds", "three"), ("LogRetentionDays", "2")]


@pytest.mark.parametrize(("name", "value"), outside(), ids=lambda item: item)
def test_a_value_outside_is_refused_before_anything_is_made(
    template_file: Path, tmp_path: Path, name: str, value: str
) -> None:
    aws = EmbeddedAws(template_file, work_dir=tmp_path, parameters={name: value})
    with pytest.raises(TemplateError, match=f"parameter {name}: .*{value}"):
        aws.__enter__()
    assert aws.functions.by_name == {}


def test_all_values_outside_are_named_at_once(template_file: Path, tmp_path: Path) -> None:
    wrong = {name: str(high + 1) for name, (_, high) in BOUNDED.items()}
    aws = EmbeddedAws(template_file, work_dir=tmp_path, parameters=wrong)
    with pytest.raises(TemplateError) as refused:
        aws.__enter__()
    for name in wrong:
        assert f"parameter {name}: " in str(refused.value)


def test_a_deployed_function_has_what_its_settings_ask_for(resources: dict[str, Any]) -> None:
    settings = read_settings(environment(resources, {}))
    assert (settings.table_name, settings.bus_name) == ("the-table", "the-bus")
