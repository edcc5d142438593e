"""The two stacks: made, changed and deleted, each with an end and an explained error."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from botocore.exceptions import ClientError

from acceptance.waiting import AcceptanceError, Pace

STACK_TAG = "eip-arbiter-acceptance"
MAX_BODY = 51_200
"""CloudFormation takes a longer template from a bucket only."""
_MADE = {"CREATE_COMPLETE", "UPDATE_COMPLETE"}
_CAPABILITIES = ["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"]


class Stacks:
    """The stacks of one run, by their names.

    Args:
        cloudformation: boto3's client.
        name: The run's name, the value of the tag on each stack.
        pace: The waits.
        say: Tells the person.
    """

    def __init__(
        self, cloudformation: Any, name: str, pace: Pace, say: Callable[[str], None]
    ) -> None:
        self._cloudformation, self._name, self._pace, self._say = cloudformation, name, pace, say

    def find(self, stack: str) -> Mapping[str, Any] | None:
        """What CloudFormation says of a stack, None if there is none."""
        try:
            found = self._cloudformation.describe_stacks(StackName=stack)["Stacks"]
        except ClientError as error:
            if "does not exist" in error.response["Error"]["Message"]:
                return None
            raise
        return found[0] if found else None

    def is_ours(self, stack: Mapping[str, Any]) -> bool:
        """Whether a run of this name has made it."""
        return {"Key": STACK_TAG, "Value": self._name} in stack.get("Tags", [])

    def make(self, stack: str, template: Mapping[str, str], parameters: Mapping[str, str]) -> None:
        """Makes a stack and waits for it.

        Args:
            stack: Its name.
            template: `TemplateBody` or `TemplateURL`.
            parameters: By their names.

        Raises:
            AcceptanceError: It was not made; the message has CloudFormation's reasons.
        """
        self._say(f"making the stack {stack}")
        self._cloudformation.create_stack(
            StackName=stack,
            **template,
            Parameters=[{"ParameterKey": k, "ParameterValue": v} for k, v in parameters.items()],
            Capabilities=_CAPABILITIES,
            Tags=[{"Key": STACK_TAG, "Value": self._name}],
            OnFailure="DO_NOTHING",
        )
        self._await_made(stack)

    def change(self, stack: str, parameter: str, value: str) -> None:
        """Changes one parameter of a stack and waits."""
        self._say(f"changing the stack {stack}: {parameter}={value}")
        there = self.find(stack) or {"Parameters": []}
        same = [p["ParameterKey"] for p in there["Parameters"] if p["ParameterKey"] != parameter]
        kept = [{"ParameterKey": key, "UsePreviousValue": True} for key in same]
        self._cloudformation.update_stack(
            StackName=stack,
            UsePreviousTemplate=True,
            Parameters=[*kept, {"ParameterKey": parameter, "ParameterValue": value}],
            Capabilities=_CAPABILITIES,
        )
        self._await_made(stack)

    def outputs(self, stack: str) -> dict[str, str]:
        """The outputs of a stack that is there."""
        found = self.find(stack) or {}
        return {o["OutputKey"]: o["OutputValue"] for o in found.get("Outputs", [])}

    def resources(self, stack: str) -> dict[str, str]:
        """Logical id -> physical id."""
        found = self._cloudformation.describe_stack_resources(StackName=stack)["StackResources"]
        return {r["LogicalResourceId"]: r.get("PhysicalResourceId", "") for r in found}

    def delete(self, stack: str) -> None:
        """Deletes a stack and waits; one that is not there is no error.

        Raises:
            AcceptanceError: It is somebody else's, or CloudFormation could not delete it.
        """
        found = self.find(stack)
        if found is None:
            return
        if not self.is_ours(found):
            raise AcceptanceError(f"the stack {stack} was not made by this program: left alone")
        # A stack that is being updated takes no deletion; one that is being made does.
        self._pace.until(
            lambda: (
                not str(self._status(stack)).startswith("UPDATE_")
                or str(self._status(stack)).endswith(("COMPLETE", "FAILED"))
            ),
            f"the update of {stack} has ended",
            self._pace.stack,
        )
        self._say(f"deleting the stack {stack}")
        self._cloudformation.delete_stack(StackName=stack)
        status = self._pace.until(
            lambda: {None: "gone", "DELETE_FAILED": "failed"}.get(self._status(stack)),
            f"the stack {stack} is deleted",
            self._pace.stack,
        )
        if status == "failed":
            raise AcceptanceError(f"the stack {stack} was not deleted: {self._reasons(stack)}")

    def _await_made(self, stack: str) -> None:
        status = self._pace.until(
            lambda: None if str(s := self._status(stack)).endswith("_IN_PROGRESS") else s,
            f"the stack {stack} is made",
            self._pace.stack,
        )
        if status not in _MADE:
            raise AcceptanceError(f"the stack {stack} is {status}: {self._reasons(stack)}")

    def _status(self, stack: str) -> str | None:
        found = self.find(stack)
        if found is None or found["StackStatus"] == "DELETE_COMPLETE":
            return None
        return str(found["StackStatus"])

    def _reasons(self, stack: str) -> str:
        events = self._cloudformation.describe_stack_events(StackName=stack)["StackEvents"]
        found = [
            f"{e['LogicalResourceId']}: {e.get('ResourceStatusReason', 'no reason is given')}"
            for e in reversed(events)
            if e["ResourceStatus"].endswith("FAILED")
        ]
        return "; ".join(found[:3]) or "CloudFormation gives no reason"
