"""The two stores as a test takes them, and what it puts into them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import boto3
import builders
from eip_arbiter.aws.clients import DYNAMODB_CONFIG
from eip_arbiter.aws.dynamodb_store import DynamoDbStore
from eip_arbiter.decision.outcome import ReportSeen
from eip_arbiter.decision.snapshot import (
    Address,
    HistoryEntry,
    Phase,
    Snapshot,
)
from eip_arbiter.ports import (
    Store,
)
from eip_contract.report import NodeReport
from eip_contract.state_item import (
    STATE_SORT_KEY,
    ClusterStatus,
    cluster_partition_key,
    read_status,
)

from lab.embedded.cloud import EmbeddedAws
from simulation.memory_store import MemoryStore

NOW = builders.NOW
Retried = Callable[[Callable[[], Any], Callable[[], Any]], Any]


def nothing() -> None:
    """What happens meanwhile if nothing does."""


@dataclass
class Subject:
    """A store under test, how to read what nodes read, and how to let several act at once.

    `retried` makes a write whose reply is lost: the client sends it again, after something else
    has happened meanwhile.
    """

    store: Store
    status: Callable[[str], ClusterStatus | None]
    at_once: Callable[[list[Callable[[], Any]]], None]
    retried: Retried


def in_dynamodb(aws: EmbeddedAws) -> Subject:
    access_key, secret = aws.credentials("contract")
    client: Any = boto3.client(
        "dynamodb",
        region_name=aws.region,
        endpoint_url=aws.endpoint_url,
        aws_access_key_id=access_key,
        aws_secret_access_key=secret,
        config=DYNAMODB_CONFIG,  # as shipped: it sends a call without a reply once more
    )
    table = aws.outputs["TableName"]

    def status(cluster_id: str) -> ClusterStatus | None:
        key = {"pk": {"S": cluster_partition_key(cluster_id)}, "sk": {"S": STATE_SORT_KEY}}
        item = client.get_item(TableName=table, Key=key).get("Item")
        return read_status(item) if item else None

    def at_once(works: list[Callable[[], Any]]) -> None:
        threads = [threading.Thread(target=work) for work in works]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)

    def retried(write: Callable[[], Any], meanwhile: Callable[[], Any] = nothing) -> Any:
        sent: list[Any] = []

        def before_send(request: Any, **_more: Any) -> None:
            sent.append(request)
            if len(sent) > 1:
                client.meta.events.unregister("before-send.dynamodb.UpdateItem", before_send)
                meanwhile()

        client.meta.events.register("before-send.dynamodb.UpdateItem", before_send)
        aws.faults.set("lost_reply", principal="contract", operation="UpdateItem", times=1)
        outcome = write()
        assert len(sent) > 1, "it was sent once only"
        return outcome

    return Subject(DynamoDbStore(client, table), status, at_once, retried)


def in_memory() -> Subject:
    store = MemoryStore()

    def one_by_one(works: list[Callable[[], Any]]) -> None:
        # Each call of it is one step, so any order of them is what a race can be.
        for work in works:
            work()

    def retried(write: Callable[[], Any], meanwhile: Callable[[], Any] = nothing) -> Any:
        write()
        meanwhile()
        with store.retried():
            return write()

    return Subject(store, store.status, one_by_one, retried)


def report(cluster_id: str, number: int = 1, **changes: Any) -> NodeReport:
    return replace(builders.node_report(number, **changes), cluster_id=cluster_id)


def unheld(resource: str = "eip", index: int = 0) -> Address:
    return Address(resource, f"eipalloc-{index}", f"203.0.113.{index}", index)


def read(subject: Subject, cluster_id: str) -> Snapshot:
    found = subject.store.read(cluster_id)
    assert found is not None
    return found


def granted(snapshot: Snapshot, resource: str = "eip", **changes: Any) -> Address:
    address = snapshot.addresses[resource]
    moving = replace(
        address,
        holder=builders.N1,
        term=address.term + 1,
        phase=Phase.MOVING,
        changed_at_ms=NOW,
        deadline_ms=NOW + 10_000,
    )
    return replace(moving, **changes)


def line(snapshot: Snapshot, **changes: Any) -> HistoryEntry:
    """The line of the next change of this state."""
    entry = HistoryEntry(
        snapshot.cluster_id, snapshot.version + 1, "eip", 1, NOW, "grant", "R070: why", "{}"
    )
    return replace(entry, **changes)


def seen(snapshot: Snapshot) -> tuple[ReportSeen, ...]:
    return tuple(
        ReportSeen(node.instance_id, node.report.incarnation, node.report.seq)
        for node in snapshot.nodes.values()
        if node.report
    )
