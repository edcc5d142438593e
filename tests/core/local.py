"""The shipped arbiter in this process: at an instant that the test sets, interrupted where it says.

It has the shipped adapters and client settings and the environment that the template gives. Nothing
here decides anything.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Self

import boto3
from core.harness import Cluster
from eip_arbiter.arbitrate.arbitration import Arbiter
from eip_arbiter.arbitrate.lookups import Lookups
from eip_arbiter.assembly import assemble
from eip_arbiter.aws.clients import DYNAMODB_CONFIG, EC2_CONFIG
from eip_arbiter.operate.operations import operate
from eip_contract.report import NodeReport

from lab.embedded.cloud import EmbeddedAws


class CrashedHere(Exception):
    """The process ended right after an AWS call."""


@dataclass
class Told:
    """A telemetry that keeps what it is told: `(kind, rule or metric or reason, sentence)`."""

    said: list[tuple[str, str, str]] = field(default_factory=list)

    def decided(self, rule: str, sentence: str, **_fields: Any) -> None:
        self.said.append(("decided", rule, sentence))

    def kept(self, rule: str, sentence: str, **_fields: Any) -> None:
        self.said.append(("kept", rule, sentence))

    def count(self, metric: str, cluster_id: str, value: float = 1) -> None:  # noqa: ARG002
        self.said.append(("count", metric, cluster_id))

    def rejected(self, reason: str, sentence: str, **_fields: Any) -> None:
        self.said.append(("rejected", reason, sentence))

    def failed(self, sentence: str, **_fields: Any) -> None:
        self.said.append(("failed", "", sentence))

    def of(self, kind: str) -> list[str]:
        """The rules, metrics or reasons of one kind, in order."""
        return [what for said, what, _ in self.said if said == kind]

    def __str__(self) -> str:
        return "\n".join(" ".join(entry) for entry in self.said)


class Calls:
    """The AWS calls of an arbiter in this process: counted, and interrupted where a test says."""

    def __init__(self, *clients: Any) -> None:
        self.made: list[str] = []
        self.crash_after: int | None = None
        for client in clients:
            client.meta.events.register("after-call", self._after)

    def _after(self, model: Any, **_more: Any) -> None:
        self.made.append(model.name)
        if self.crash_after is not None and len(self.made) >= self.crash_after:
            raise CrashedHere(f"after {self.made}")


SETTLED_NODES = 2


@dataclass(frozen=True)
class Settled:
    """The items of a cluster of two in which all is well, as text, to be copied to others.

    To get there by reports takes twenty calls, and most tests begin there.
    """

    items: str
    names: tuple[str, ...]
    seqs: dict[str, int]
    at_ms: int

    @classmethod
    def of(cls, cluster: Cluster, now_ms: int) -> Self:
        assert (cluster.address.term, cluster.world.holder()) == (1, "n1")
        items = json.dumps([item for item in cluster.table().values() if cluster.owns(item)])
        return cls(items, _names(cluster), dict(cluster.seqs), now_ms)

    def copy_to(self, cluster: Cluster, now_ms: int) -> None:
        """Writes the items with the other cluster's names and times; associates its address."""
        cluster.world.associate("n1")
        text = self.items
        for name, other in zip(self.names, _names(cluster), strict=True):
            text = text.replace(name, other)
        later_ms = now_ms - self.at_ms
        text = re.sub(r"\b1[0-9]{12}\b", lambda found: str(int(found[0]) + later_ms), text)
        for item in json.loads(text):
            cluster.aws.client("dynamodb", "lab").put_item(TableName=cluster.table_name, Item=item)
        cluster.seqs.update(self.seqs)


def _names(cluster: Cluster) -> tuple[str, ...]:
    """All that tells a settled cluster from another one."""
    return (
        f'"cluster#{cluster.id}"',
        f'{{"S": "{cluster.id}"}}',
        *(node.instance_id for node in cluster.world.nodes.values()),
        *(node.interface_id for node in cluster.world.nodes.values()),
        cluster.world.addresses["eip"].allocation_id,
        f'"{cluster.public_ip}"',
        cluster.moves()[-1].association_id,
    )


class Local:
    """The shipped arbiter in this process, at an instant that the test sets."""

    def __init__(self, aws: EmbeddedAws) -> None:
        self.now_ms = int(time.time() * 1000)
        self.told = Told()
        self.dynamodb = dynamodb = client(aws, "dynamodb", DYNAMODB_CONFIG)
        self.ec2 = ec2 = client(aws, "ec2", EC2_CONFIG)
        self.calls = Calls(dynamodb, ec2)
        environment = aws.functions.get("Arbitrate").spec.environment
        assembled = assemble(environment, dynamodb=dynamodb, ec2=ec2, telemetry=self.told)
        self._settled: Settled | None = None
        self.arbiter: Arbiter = replace(assembled, clock=lambda: self.now_ms)

    def hear(self, report: NodeReport, after_seconds: float = 0.1) -> None:
        """A report comes in, so long after what came before it."""
        self.wait(after_seconds)
        self.arbiter.on_report(report, self.now_ms)

    def wait(self, seconds: float) -> None:
        """Lets time pass; nobody really waits."""
        self.now_ms += int(seconds * 1000)

    def operate(self, payload: Any, invocation_id: str = "request-1") -> dict[str, Any]:
        """An operator's request comes in."""
        self.wait(0.1)
        return operate(self.arbiter, payload, invocation_id)

    def settle_on_n1(self, cluster: Cluster) -> None:
        """All is well: n1 runs the resource and holds the address under term 1, others stand by.

        The first cluster gets there by its reports, the ones after it by a copy of its items.
        """
        if self._settled is None or len(cluster.world.nodes) != SETTLED_NODES:
            self.hear(cluster.claims("n1", lost=()))
            for node in list(cluster.world.nodes)[1:]:
                self.hear(cluster.stands_by(node))
            self.hear(cluster.runs("n1"))
            if len(cluster.world.nodes) == SETTLED_NODES:
                self._settled = Settled.of(cluster, self.now_ms)
        else:
            self._settled.copy_to(cluster, self.now_ms)
        # As of nodes that were registered long ago.
        self.arbiter = replace(self.arbiter, lookups=Lookups())
        self.forget()

    def n1_dies(self, cluster: Cluster) -> NodeReport:
        """Lets n1 be silent until its time is over; gives the claim of n2 that will prevail."""
        self.hear(cluster.claims("n2"))
        self.wait(self.arbiter.policy.answer_ms / 1000)
        self.forget()
        return cluster.claims("n2", for_ms=3_000)

    def forget(self) -> None:
        """Counts calls and keeps sentences from here on."""
        self.told.said.clear()
        self.calls.made.clear()

    def crashes(self, after: int, what: Callable[[], object]) -> None:
        """Does something, and ends after so many AWS calls."""
        self.calls.made.clear()
        self.calls.crash_after = after
        try:
            what()
        except CrashedHere:
            return
        finally:
            self.calls.crash_after = None
        raise AssertionError(f"there was no call {after}: {self.calls.made}")


def client(aws: EmbeddedAws, service: str, config: Any) -> Any:
    """A client of this process, whose calls are the principal `local`'s."""
    key, secret = aws.credentials("local")
    return boto3.client(
        service,  # type: ignore[call-overload] # the stubs know each service by a literal
        region_name=aws.region,
        endpoint_url=aws.endpoint_url,
        aws_access_key_id=key,
        aws_secret_access_key=secret,
        config=config,
    )
