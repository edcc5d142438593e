"""One cluster at the embedded AWS whose nodes report when a test says so, and how to look at it.

`Cluster` speaks for the nodes: through the bus to the real functions (`say`), or as a value for an
arbiter in this process (`report`). Nothing here decides anything.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from builders import node_report
from core.observed import Invocations, Item
from eip_arbiter.aws.dynamodb_store import DynamoDbStore
from eip_arbiter.decision.snapshot import Address, Snapshot
from eip_contract.envelope import source_for
from eip_contract.report import DETAIL_TYPE, NodeReport

from lab.embedded.cloud import EmbeddedAws
from lab.embedded.journal import Call, Move
from lab.embedded.runtime import Invocation
from lab.embedded.world import World

if TYPE_CHECKING:
    from core.local import Local


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
        members = tuple(n for n in self.world.nodes if n not in changes.get("lost", ()))
        return replace(
            made,
            pacemaker=changes.get("pacemaker", replace(made.pacemaker, members=members)),
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

    def put(self, report: NodeReport, principal: str | None = None, **entry: Any) -> str:
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

    def say(self, report: NodeReport, **entry: Any) -> Invocation:
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

    def age_grant(self, ms: int) -> None:
        """Dates the last grant or settlement back, in the table itself."""
        self.aws.client("dynamodb", "looks").update_item(
            TableName=self.table_name,
            Key={"pk": {"S": f"cluster#{self.id}"}, "sk": {"S": "state"}},
            UpdateExpression="SET a.eip.ch = a.eip.ch - :ms",
            ExpressionAttributeValues={":ms": {"N": str(ms)}},
        )

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
        return [int(item["sk"]["S"].split("#")[-2]) for item in self.history("grant")]

    def moves(self, since: float = 0.0) -> list[Move]:
        """What EC2 changed about the address."""
        allocation_id = self.world.addresses["eip"].allocation_id
        return self.aws.journal.moves(since=since, allocation_id=allocation_id)

    def calls(self, since: float, principal: str = "Arbitrate") -> list[Call]:
        """The AWS calls of a function, or of this process's arbiter (`local`)."""
        return self.aws.journal.calls(since=since, principal=principal)
