"""The stacks against a CloudFormation that fails, waits, or belongs to somebody else."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from account.answered import RefusedError, answered

from acceptance.stacks import STACK_TAG, Stacks
from acceptance.waiting import AcceptanceError, Pace, TooLateError

PACE = Pace(poll=0.01, stack=0.5)
NOW = datetime(2026, 11, 29, tzinfo=UTC)


class Scripted:
    """One stack that goes through these states, one at each look; the last one stays."""

    def __init__(self, *states: str, run: str = "eip-acceptance") -> None:
        self._states, self._run = list(states), run
        self.asked: list[tuple[str, dict[str, Any]]] = []

    def stacks(self) -> Stacks:
        client = answered("cloudformation", self._answer)
        return Stacks(client, "eip-acceptance", PACE, lambda _: None)

    def called(self, operation: str) -> list[dict[str, Any]]:
        return [asked for name, asked in self.asked if name == operation]

    def _answer(self, operation: str, asked: dict[str, Any]) -> dict[str, Any]:
        self.asked.append((operation, asked))
        match operation:
            case "DescribeStacks":
                state = self._states.pop(0) if len(self._states) > 1 else self._states[0]
                if state == "gone":
                    raise RefusedError("ValidationError", "Stack with id s does not exist")
                if state == "denied":
                    raise RefusedError("AccessDenied", "not authorized")
                tags = [{"Key": STACK_TAG, "Value": self._run}]
                shown = {"StackName": "s", "CreationTime": NOW, "StackStatus": state, "Tags": tags}
                parameters = [{"ParameterKey": "A", "ParameterValue": "1"}]
                return {"Stacks": [{**shown, "Parameters": parameters}]}
            case "DescribeStackEvents":
                of_all = {"StackId": "s", "EventId": "e", "StackName": "s", "Timestamp": NOW}
                failed = {"LogicalResourceId": "Bus", "ResourceStatus": "CREATE_FAILED"}
                why = {"ResourceStatusReason": "the name is taken"}
                return {"StackEvents": [{**of_all, **failed, **why}]}
        return {}


def test_a_stack_is_made_with_its_tag_and_waited_for() -> None:
    script = Scripted("CREATE_IN_PROGRESS", "CREATE_IN_PROGRESS", "CREATE_COMPLETE")
    script.stacks().make("s", {"TemplateBody": "{}"}, {"A": "1"})
    (asked,) = script.called("CreateStack")
    assert asked["Tags"] == [{"Key": STACK_TAG, "Value": "eip-acceptance"}]
    assert "CAPABILITY_AUTO_EXPAND" in asked["Capabilities"], "SAM is a transform"


def test_a_stack_that_fails_is_explained_by_its_first_reason() -> None:
    with pytest.raises(AcceptanceError, match="CREATE_FAILED: Bus: the name is taken"):
        Scripted("CREATE_FAILED").stacks().make("s", {"TemplateBody": "{}"}, {})


def test_a_stack_that_takes_for_ever_is_given_up() -> None:
    with pytest.raises(TooLateError, match="the stack s is made"):
        Scripted("CREATE_IN_PROGRESS").stacks().make("s", {"TemplateBody": "{}"}, {})


def test_one_parameter_is_changed_and_the_others_keep_their_values() -> None:
    script = Scripted("CREATE_COMPLETE", "UPDATE_IN_PROGRESS", "UPDATE_COMPLETE")
    script.stacks().change("s", "B", "yes")
    (asked,) = script.called("UpdateStack")
    assert asked["UsePreviousTemplate"] is True
    kept = {"ParameterKey": "A", "UsePreviousValue": True}
    assert asked["Parameters"] == [kept, {"ParameterKey": "B", "ParameterValue": "yes"}]


def test_a_stack_that_is_being_made_is_deleted_at_once_and_an_updated_one_afterwards() -> None:
    script = Scripted("CREATE_IN_PROGRESS", "CREATE_IN_PROGRESS", "DELETE_IN_PROGRESS", "gone")
    script.stacks().delete("s")
    assert len(script.called("DeleteStack")) == 1
    script = Scripted("UPDATE_IN_PROGRESS", "UPDATE_IN_PROGRESS", "UPDATE_COMPLETE", "gone")
    script.stacks().delete("s")
    operations = [operation for operation, _ in script.asked]
    assert operations.index("DeleteStack") >= 3


def test_a_stack_that_is_gone_needs_nothing_and_a_foreign_one_is_not_touched() -> None:
    script = Scripted("gone")
    script.stacks().delete("s")
    assert script.called("DeleteStack") == []
    script = Scripted("CREATE_COMPLETE", run="another")
    with pytest.raises(AcceptanceError, match="was not made by this program"):
        script.stacks().delete("s")
    assert script.called("DeleteStack") == []


def test_a_deletion_that_fails_is_explained() -> None:
    script = Scripted("CREATE_COMPLETE", "CREATE_COMPLETE", "DELETE_FAILED")
    with pytest.raises(AcceptanceError, match="was not deleted: Bus"):
        script.stacks().delete("s")
