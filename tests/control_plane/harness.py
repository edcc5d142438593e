"""One cluster at the embedded AWS whose nodes report when a test says so, and how to look at it.

`Cluster` speaks for the nodes: through the bus to the real functions (`say`), or as a value for an
arbiter in this process (`report`). `Local` is that arbiter: the shipped parts on the shipped
adapters and client settings, with a clock that the test moves and steps that it can interrupt.
Nothing here decides anything.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import boto3
from builders import node_report
from eip_arbiter.arbitration import Arbiter
from eip_arbiter.assembly import assemble
from eip_arbiter.decision.snapshot import Address, Snapshot
from eip_arbiter.dynamodb_store import DynamoDbStore
from eip_arbiter.operations import operate
from eip_arbiter.settings import DYNAMODB_CONFIG, EC2_CONFIG
from eip_contract.envelope import source_for
from eip_contract.report import DETAIL_TYPE, NodeReport

from lab.embedded.cloud import EmbeddedAws
from lab.embedded.journal import Call, Move
from lab.embedded.runtime import Invocation
from lab.embedded.world import World

ROOT = Path(__file__).parents[2]
Item = dict[str, Any]


class Invocations:
    """The invocations that ended, and waiting for the one that a test caused."""

    def __init__(self, aws: EmbeddedAws) -> None:
        self._ended: list[tuple[Any, Invocation]] = []
        self._news = threading.Condition()
        aws.subscribe_to_invocations(self._note)

    def _note(self, invocation: Invocation) -> None:
        with self._news:
            self._ended.append((json.loads(invocation.payload), invocation))
            self._news.notify_all()

    def matching(self, wanted: Callable[[Any], bool]) -> list[Invocation]:
        """Those whose payload is wanted, in the order in which they ended."""
        return [invocation for payload, invocation in self._ended if wanted(payload)]

    def wait(
        self, wanted: Callable[[Any], bool], count: int = 1, seconds: float = 20
    ) -> list[Invocation]:
        """Waits until so many have ended; fails when they do not."""
        with self._news:
            done = self._news.wait_for(lambda: len(self.matching(wanted)) >= count, seconds)
        found = self.matching(wanted)
        assert done, f"{len(found)} of {count} invocations ended within {seconds} s"
        return found

    @staticmethod
    def eventually(look: Callable[[], list[Item]], seconds: float = 5) -> list[Item]:
        """The first that is there of what follows an invocation; nothing tells when it is."""
        deadline = time.monotonic() + seconds
        while not (found := look()):
            assert time.monotonic() < deadline, f"nothing within {seconds} s"
            time.sleep(0.01)
        return found

    def of_event(self, event_id: str, count: int = 1) -> list[Invocation]:
        """Waits for the invocations that took in one event."""
        return self.wait(lambda payload: _id(payload) == event_id, count)


def _id(payload: Any) -> Any:
    return payload.get("id") if isinstance(payload, dict) else None


@dataclass
class Cluster:
    """Nodes n1, n2, ... of one cluster; each report takes the next number of its node."""

    aws: EmbeddedAws
    world: World
    invocations: Invocations
    local: Local
    seqs: dict[str, int] = field(default_factory=dict)

    @property
    def id(self) -> str:
        return self.world.cluster_id

    @property
    def public_ip(self) -> str:
        return self.world.addresses["eip"].public_ip

    def instance(self, node: str) -> str:
        return self.world.nodes[node].instance_id

    def report(self, node: str, **changes: Any) -> NodeReport:
        """The node's next report; `state` and `for_ms` are the resource's, `lost` whom it lost."""
        self.seqs[node] = self.seqs.get(node, 0) + 1
        made = node_report(int(node[1:]), **{"seq": self.seqs[node], **changes})
        return replace(
            made,
            cluster_id=changes.get("cluster_id", self.id),
            instance_id=self.instance(node),
            availability_zone=self.world.nodes[node].availability_zone,
        )

    def runs(self, node: str, **changes: Any) -> NodeReport:
        """A calm report of a node that runs the resource and has the address."""
        held = {"state": "started", "for_ms": 60_000, "public_ips": (self.public_ip,)}
        return self.report(node, **{**held, **changes})

    def stands_by(self, node: str, **changes: Any) -> NodeReport:
        """A calm report of a node on which the resource is stopped."""
        return self.report(node, **{"public_ips": (), **changes})

    def claims(self, node: str, *, lost: tuple[str, ...] = ("n1",), **changes: Any) -> NodeReport:
        """A report at alert cadence of a node that starts the resource and awaits its grant."""
        claim = {"state": "starting", "for_ms": 0, "awaiting": ("eip",), "cause": "claim"}
        return self.report(
            node, **{**claim, "next_report_within_ms": 1_000, "lost": lost, **changes}
        )

    def put(self, report: NodeReport, principal: str | None = None, **entry: str) -> str:
        """Publishes a report on the bus as its agent would; gives the event's id."""
        node = next(n for n in self.world.nodes.values() if n.instance_id == report.instance_id)
        source = source_for("aws", self.aws.region, self.aws.account_id, report.instance_id)
        put = {
            "EventBusName": self.aws.outputs["BusName"],
            "Source": source,
            "DetailType": DETAIL_TYPE,
            "Detail": json.dumps(report.to_detail()),
        }
        events = self.aws.client("events", principal or node.principal)
        answer = events.put_events(Entries=[{**put, **entry}])
        assert answer["FailedEntryCount"] == 0, answer
        return str(answer["Entries"][0]["EventId"])

    def say(self, report: NodeReport, **entry: str) -> Invocation:
        """Publishes a report and waits for the invocation that took it in."""
        return self.invocations.of_event(self.put(report, **entry))[0]

    def settle_on_n1(self) -> None:
        """All is well: n1 runs the resource and holds the address under term 1, n2 stands by."""
        self.local.now_ms = int(time.time() * 1000)
        self.local.settle_on_n1(self)

    def operate(self, verb: str, **request: Any) -> dict[str, Any]:
        """The operator's manual invoke; gives what the function answered."""
        answer = self.aws.invoke("Operate", {"verb": verb, "cluster": self.id, **request}).result
        assert isinstance(answer, dict)
        return answer

    @property
    def snapshot(self) -> Snapshot:
        """The state as the shipped store reads it."""
        found = DynamoDbStore(self.aws.client("dynamodb", "looks"), self.table_name).read(self.id)
        assert found is not None
        return found

    @property
    def address(self) -> Address:
        return self.snapshot.addresses["eip"]

    @property
    def holder(self) -> str | None:
        """The name of the node that the state says holds the address."""
        found = self.address.holder
        return next((n.name for n in self.world.nodes.values() if n.instance_id == found), None)

    @property
    def table_name(self) -> str:
        return self.aws.outputs["TableName"]

    def table(self) -> dict[tuple[str, str], Item]:
        """Every item of the table, of all clusters, by its key."""
        pages = self.aws.client("dynamodb", "looks").get_paginator("scan")
        return {
            (item["pk"]["S"], item["sk"]["S"]): item
            for page in pages.paginate(TableName=self.table_name)
            for item in page["Items"]
        }

    def owns(self, item: Item) -> bool:
        """Whether an item of the table is the cluster's, or points to it."""
        return f'"cluster#{self.id}"' in json.dumps(item) or item.get("c") == {"S": self.id}

    def item(self) -> Item:
        """The cluster's state item as it lies in the table."""
        return self.table()[f"cluster#{self.id}", "state"]

    def history(self, kind: str = "") -> list[Item]:
        """The lines of the cluster's history, oldest first."""
        answer = self.aws.client("dynamodb", "looks").query(
            TableName=self.table_name,
            KeyConditionExpression="pk = :pk AND begins_with(sk, :history)",
            ExpressionAttributeValues={
                ":pk": {"S": f"cluster#{self.id}"},
                ":history": {"S": "history#"},
            },
        )
        return [item for item in answer["Items"] if not kind or item["kind"]["S"] == kind]

    def granted_terms(self) -> list[int]:
        """The terms of the grants in the history, in the order in which they were granted."""
        return [int(item["sk"]["S"].split("#")[3]) for item in self.history("grant")]

    def moves(self, since: float = 0.0) -> list[Move]:
        """What EC2 changed about the address."""
        allocation_id = self.world.addresses["eip"].allocation_id
        return self.aws.journal.moves(since=since, allocation_id=allocation_id)

    def calls(self, since: float, principal: str = "Arbitrate") -> list[Call]:
        """The AWS calls of a function, or of this process's arbiter (`local`)."""
        return self.aws.journal.calls(since=since, principal=principal)


def rules(invocation: Invocation) -> list[str]:
    """The rule ids that an invocation's log lines name, in order."""
    return [line.data["rule"] for line in invocation.logs if line.data and "rule" in line.data]


def messages(invocation: Invocation) -> str:
    """What an invocation's log lines say, for people."""
    return "\n".join(str(line["message"]) for line in lines(invocation))


def lines(invocation: Invocation, level: str = "*") -> list[Item]:
    """An invocation's log lines, metrics apart."""
    said = [line.data for line in invocation.logs if line.data and "message" in line.data]
    return [line for line in said if level in ("*", line["level"])]


def metrics(invocation: Invocation) -> list[tuple[str, str, str, float]]:
    """The embedded metrics of an invocation: name, dimension, its value, the metric's value."""
    found = []
    for line in invocation.logs:
        for directive in (line.data or {}).get("_aws", {}).get("CloudWatchMetrics", []):
            assert line.data is not None
            ((dimension,),) = directive["Dimensions"]
            for metric in directive["Metrics"]:
                value = line.data[metric["Name"]]
                amount = value[0] if isinstance(value, list) else value
                found.append((metric["Name"], dimension, line.data[dimension], amount))
    return found


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
        dynamodb = _client(aws, "dynamodb", DYNAMODB_CONFIG)
        ec2 = _client(aws, "ec2", EC2_CONFIG)
        self.calls = Calls(dynamodb, ec2)
        environment = aws.functions.get("Arbitrate").spec.environment
        assembled = assemble(environment, dynamodb=dynamodb, ec2=ec2, telemetry=self.told)
        self._settled: Settled | None = None
        self.arbiter: Arbiter = replace(assembled, clock=lambda: self.now_ms)

    def hear(self, report: NodeReport, after_seconds: float = 0.1) -> None:
        """A report comes in, so long after what came before it."""
        self.wait(after_seconds)
        self.arbiter.on_report(report)

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


def _client(aws: EmbeddedAws, service: str, config: Any) -> Any:
    key, secret = aws.credentials("local")
    return boto3.client(
        service,  # type: ignore[call-overload] # the stubs know each service by a literal
        region_name=aws.region,
        endpoint_url=aws.endpoint_url,
        aws_access_key_id=key,
        aws_secret_access_key=secret,
        config=config,
    )


def dead_letters(aws: EmbeddedAws) -> list[Item]:
    """Takes every message out of the dead-letter queue."""
    sqs, url = aws.client("sqs", "looks"), aws.stack.resources["DeadLetters"].ref
    return list(_drain(sqs, url))


def _drain(sqs: Any, url: str) -> Iterator[Item]:
    while found := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
        for message in found:
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
            yield json.loads(message["Body"])
