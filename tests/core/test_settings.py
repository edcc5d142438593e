"""A function whose settings do not hold together does not start, and says all of it at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest
from eip_arbiter.settings import SettingsError, read_settings

from lab.embedded.cloud import EmbeddedAws
from lab.embedded.functions import Function
from lab.embedded.runtime import Invocation


@pytest.fixture
def deployed(aws: EmbeddedAws) -> Mapping[str, str]:
    """The environment that the template gives to a function."""
    return aws.functions.get("Arbitrate").spec.environment


@pytest.fixture
def started_with(aws: EmbeddedAws) -> Iterator[Any]:
    made = []

    def start(name: str, environment: Mapping[str, str]) -> Invocation:
        spec = replace(aws.functions.get(name).spec, environment=environment)
        function = Function(spec, aws.variables(spec))
        made.append(function)
        return function.invoke(b"{}")

    yield start
    for function in made:
        function.kill()


def problems_of(environment: Mapping[str, str]) -> list[str]:
    with pytest.raises(SettingsError) as refused:
        read_settings(environment)
    head, _, tail = str(refused.value).partition(": ")
    assert head == "the settings do not hold"
    return tail.split("; ")


def test_the_deployed_settings_hold(deployed: Mapping[str, str]) -> None:
    settings = read_settings(deployed)
    assert settings.policy.problems() == []
    assert settings.policy.answer_ms == 2_000


@pytest.mark.parametrize("function", ["Arbitrate", "Operate", "Watch"])
def test_a_function_without_its_settings_does_not_start_and_names_each(
    started_with: Any, deployed: Mapping[str, str], function: str
) -> None:
    failed = started_with(function, {"STACK_NAME": "eip-arbiter"})
    assert failed.error is not None
    assert failed.error["errorType"] == "SettingsError"
    missing = set(deployed) - {"STACK_NAME"}
    assert len(missing) >= 8
    for name in missing:
        assert name in failed.error["errorMessage"]
    assert any("SettingsError" in line.text for line in failed.logs)


def test_a_function_with_contradictory_settings_does_not_start(
    started_with: Any, deployed: Mapping[str, str]
) -> None:
    failed = started_with("Arbitrate", {**deployed, "START_TIMEOUT_SECONDS": "14"})
    assert failed.error is not None
    assert (
        "that the resource agent keeps (12000 ms), or a start gives up"
        in failed.error["errorMessage"]
    )


def test_all_contradictions_are_said_at_once(deployed: Mapping[str, str]) -> None:
    wrong = {
        **deployed,
        "TABLE_NAME": "",
        "ANSWER_SECONDS": "3.5",
        "MOVE_SECONDS": "7",
        "FUNCTION_TIMEOUT_SECONDS": "7",
        "START_TIMEOUT_SECONDS": "9",
        "DRIFT_SECONDS": "0",
    }
    problems = problems_of(wrong)
    assert [problem.split(" ")[0] for problem in problems[:3]] == [
        "TABLE_NAME",
        "ANSWER_SECONDS",
        "drift_ms",
    ]
    assert "the resource agent keeps (7000 ms), or a start gives up" in problems[3]
    assert problems[4].startswith("twice the answer time (a claimant without quorum)")
    assert "function timeout (7000 ms) must be below the move deadline" in problems[5]
    assert "one EC2 call (7000 ms)" in problems[6]
    assert len(problems) == 7


@pytest.mark.parametrize("value", ["", " 3", "-3", "3s", "0x3", "٣", "1e1"])
def test_what_is_no_whole_number_of_seconds_is_a_problem(
    deployed: Mapping[str, str], value: str
) -> None:
    assert problems_of({**deployed, "ANSWER_SECONDS": value}) == [
        f"ANSWER_SECONDS is {value!r}, not a whole number of seconds"
    ]
