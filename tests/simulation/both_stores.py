"""The two stores as a test takes them, and what it puts into them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import builders
from eip_arbiter.aws.dynamodb_store import DynamoDbStore
from eip_arbiter.decision.outcome import ReportSeen
from eip_arbiter.decision.snapshot import (
    Address,
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


@dataclass
class Subject:
    """A store under test, how to read what nodes read, and how to let several act at once."""

    store: Store
    status: Callable[[str], ClusterStatus | None]
    at_once: Callable[[list[Callable[[], Any]]], None]


def in_dynamodb(aws: EmbeddedAws) -> Subject:
    client, table = aws.client("dynamodb", "contract"), aws.outputs["TableName"]

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

    return Subject(DynamoDbStore(client, table), status, at_once)


def in_memory() -> Subject:
    store = MemoryStore()

    def one_by_one(works: list[Callable[[], Any]]) -> None:
        # Each call of it is one step, so any order of them is what a race can be.
        for work in works:
            work()

    return Subject(store, store.status, one_by_one)


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
        address, holder=builders.N1, term=address.term + 1, phase=Phase.MOVING, changed_at_ms=NOW
    )
    return replace(moving, **changes)


def seen(snapshot: Snapshot) -> tuple[ReportSeen, ...]:
    return tuple(
        ReportSeen(node.instance_id, node.report.incarnation, node.report.seq)
        for node in snapshot.nodes.values()
        if node.report
    )
