"""Commands on the nodes, by Systems Manager."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from botocore.exceptions import ClientError

from acceptance.waiting import AcceptanceError, Pace

_UNDER_WAY = {"Pending", "InProgress", "Delayed"}


class Nodes:
    """Runs commands on instances that the Systems Manager knows.

    A node that has no way to AWS just now takes its command later: that is waited for.
    """

    def __init__(self, ssm: Any, pace: Pace) -> None:
        self._ssm, self._pace = ssm, pace

    def await_online(self, instances: Sequence[str], say: Callable[[str], None]) -> None:
        """Waits until each instance's agent has registered."""

        def online() -> bool:
            found = self._ssm.describe_instance_information(
                Filters=[{"Key": "InstanceIds", "Values": list(instances)}]
            )["InstanceInformationList"]
            return {i["InstanceId"] for i in found if i["PingStatus"] == "Online"} == set(instances)

        say("waiting for the nodes to boot")
        what = (
            f"the Systems Manager knows {' and '.join(instances)}; their console output says what "
            "the first boot did (aws ec2 get-console-output)"
        )
        self._pace.until(online, what, self._pace.boot)

    def run(self, instance: str, *commands: str, seconds: float | None = None) -> str:
        """Runs commands on one node to their end and returns what they printed.

        Raises:
            AcceptanceError: They failed, or did not end in time; the message says what they said.
        """
        limit = self._pace.command if seconds is None else seconds
        sent = self._ssm.send_command(
            InstanceIds=[instance],
            DocumentName="AWS-RunShellScript",
            Parameters={"commands": list(commands), "executionTimeout": [str(int(limit))]},
            TimeoutSeconds=max(30, int(limit)),
        )["Command"]["CommandId"]
        shown = commands[-1] if len(commands[-1]) < 100 else f"{commands[-1][:100]}..."  # noqa: PLR2004
        deadline = time.monotonic() + limit + self._pace.look
        while (ended := self._ended(sent, instance)) is None:
            if time.monotonic() > deadline:
                raise AcceptanceError(f"{instance} did not answer in {limit:.0f} s: {shown}")
            time.sleep(self._pace.look)
        if ended["Status"] != "Success":
            said = ended["StandardErrorContent"].strip()[-600:]
            raise AcceptanceError(f"{instance}: {ended['StatusDetails']}: {shown}: {said}")
        return str(ended["StandardOutputContent"])

    def _ended(self, command: str, instance: str) -> Any:
        try:
            found = self._ssm.get_command_invocation(CommandId=command, InstanceId=instance)
        except ClientError as error:
            # Right after it was sent, a command may not be known everywhere.
            if error.response["Error"]["Code"] == "InvocationDoesNotExist":
                return None
            raise
        return None if found["Status"] in _UNDER_WAY else found
