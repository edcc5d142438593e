"""One run: the account it works in, the names of what it makes, and the product's verbs."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from acceptance.nodes import Nodes
from acceptance.rows import Row
from acceptance.stacks import Stacks
from acceptance.waiting import AcceptanceError, Pace

CLUSTER, RESOURCE = "acceptance", "eip"
CLUSTER_TAG = "eip-arbiter:cluster"
LOOSE_TAG = "eip-arbiter-acceptance-part"
"""On what the run makes outside the stacks."""


@dataclass(frozen=True, slots=True)
class Names:
    """What everything is called; a clean-up finds it by this alone."""

    run: str
    account: str
    region: str

    @property
    def control(self) -> str:
        """The product's stack."""
        return self.run

    @property
    def classic(self) -> str:
        """The stack of the two nodes."""
        return f"{self.run}-classic"

    @property
    def bucket(self) -> str:
        """The bucket of the code and of the agent's package."""
        return f"{self.run}-{self.account}-{self.region}"

    @property
    def queue(self) -> str:
        """The queue that the notices come to."""
        return f"{self.run}-notices"


@dataclass(frozen=True, slots=True)
class Account:
    """An account and a region, and what this one cannot show.

    `blind`: the ids of the rows that cannot be seen here, and why not.
    """

    client: Callable[[str], Any]
    names: Names
    blind: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Run:
    """What the measurements work with."""

    account: Account
    pace: Pace
    say: Callable[[str], None]
    rows: dict[str, Row] = field(default_factory=dict)

    def __post_init__(self) -> None:
        client = self.account.client
        names = self.account.names
        self.stacks = Stacks(client("cloudformation"), names.run, self.pace, self.say)
        self.nodes = Nodes(client("ssm"), self.pace)

    @property
    def names(self) -> Names:
        """What everything is called."""
        return self.account.names

    def instances(self) -> dict[str, str]:
        """The two nodes: Pacemaker's name -> instance id."""
        made = self.stacks.outputs(self.names.classic)
        return {"n1": made["FirstInstance"], "n2": made["SecondInstance"]}

    def interface(self, instance: str) -> str:
        """The id of an instance's one network interface."""
        found = self.account.client("ec2").describe_instances(InstanceIds=[instance])
        (made,) = found["Reservations"][0]["Instances"]
        return str(made["NetworkInterfaces"][0]["NetworkInterfaceId"])

    def invoke(self, logical_id: str, payload: Mapping[str, Any]) -> Any:
        """Invokes one of the product's functions.

        Raises:
            AcceptanceError: It failed; the message is what it said.
        """
        name = self.stacks.resources(self.names.control)[logical_id]
        answer = self.account.client("lambda").invoke(
            FunctionName=name, Payload=json.dumps(payload).encode()
        )
        said = json.loads(answer["Payload"].read())
        if "FunctionError" in answer:
            raise AcceptanceError(f"{logical_id} failed: {json.dumps(said)[:400]}")
        return said

    def operate(self, verb: str, **fields: Any) -> dict[str, Any]:
        """One of the operator's verbs.

        Raises:
            AcceptanceError: It was refused, or its outcome is not known.
        """
        answer: dict[str, Any] = self.invoke(
            "Operate", {"verb": verb, "cluster": CLUSTER, **fields}
        )
        if answer["outcome"] in {"refused", "unknown"}:
            raise AcceptanceError(f"{verb}: {answer['sentence']}")
        return answer

    def holder(self) -> tuple[str, str]:
        """The node that holds the address, and the other one."""
        (address,) = self.operate("status")["addresses"]
        names = list(self.instances())
        if address["holder"] not in names:
            raise AcceptanceError(f"the address is with nobody: {address['now']['sentence']}")
        names.remove(address["holder"])
        return address["holder"], names[0]

    def await_well(self, seconds: float | None = None) -> None:
        """Waits until the product says that a failover would work now.

        Raises:
            AcceptanceError: It does not; the message has what it says.
        """
        said = ["the cluster has not been heard of"]

        def well() -> bool:
            try:
                answer = self.operate("doctor")
            except AcceptanceError as error:
                said[0] = str(error)
                return False
            said[0] = answer["sentence"]
            return bool(answer["outcome"] == "well") and self._runs_on_one_of_both()

        try:
            self.pace.until(well, "the product is well", seconds or self.pace.ready)
        except AcceptanceError as error:
            raise AcceptanceError(f"{error}; it says: {said[0]}") from error

    def _runs_on_one_of_both(self) -> bool:
        """Whether the holder's start has ended: the doctor calls a node well that still waits."""
        status = self.operate("status")
        (address,) = status["addresses"]
        states = {node["node"]: node["resources"].get(RESOURCE) for node in status["nodes"]}
        wanted = dict.fromkeys(self.instances(), "stopped") | {address["holder"]: "started"}
        return states == wanted

    def sleep(self, seconds: float) -> None:
        """Lets time pass that is part of a measurement."""
        time.sleep(seconds)
