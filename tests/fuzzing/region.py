"""Two clusters in a memory store, which tests hold to the DynamoDB store elsewhere.

In front of it are the shipped handlers, and a fake EC2 that only notes what it is asked for.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import builders
from core.local import Told
from eip_arbiter.arbitrate.arbitration import Arbiter
from eip_arbiter.arbitrate.moving import LOOK_AGAIN_MS
from eip_arbiter.decision.snapshot import Address, Node, Snapshot
from eip_arbiter.operate.inspecting import Inspection
from eip_arbiter.ports import Association, HistoryLine, Seen
from eip_contract.envelope import source_for
from eip_contract.report import DETAIL_TYPE
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from simulation.memory_store import MemoryStore

ROOT = Path(__file__).parents[2]
SCHEMA = json.loads((ROOT / "events" / "node-report.schema.json").read_text())


ACCOUNT, REGION = "123456789012", "eu-central-1"
OF_CLUSTER = {
    "web": [builders.instance_id(1), builders.instance_id(2)],
    "other": [builders.instance_id(5), builders.instance_id(6)],
}
STRANGER = builders.instance_id(9)
CONTEXT = SimpleNamespace(aws_request_id="request-1", get_remaining_time_in_millis=lambda: 9_000)
"""What Lambda's runtime tells a handler of its invocation."""

THOROUGH = settings(
    max_examples=200,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


@dataclass
class FakeEc2:
    """Tags as they are at EC2, and associations as they were asked for; and what a reader needs."""

    asked: list[tuple[str, str]] = field(default_factory=list)

    def associate(self, allocation_id: str, interface_id: str, private_ip: str) -> str:
        assert private_ip
        self.asked.append((allocation_id, interface_id))
        return f"eipassoc-{len(self.asked)}"

    def disassociate(self, association_id: str) -> None:
        assert association_id.startswith("eipassoc-")

    def locate(self, allocation_id: str, after_ms: int = 0) -> Association | None:
        assert allocation_id
        assert after_ms <= LOOK_AGAIN_MS
        return None

    def node(self, instance_id: str) -> tuple[str, Node] | None:
        for cluster_id, instances in OF_CLUSTER.items():
            if instance_id in instances:
                return cluster_id, Node(instance_id, f"eni-{instance_id}", ("10.0.0.10",))
        return None

    def newest(self, _cluster_id: str, limit: int) -> tuple[HistoryLine, ...]:
        return (HistoryLine(builders.NOW, "eip", 1, "grant", "R050", "a sentence"),)[:limit]

    def clusters(self) -> frozenset[str]:
        return frozenset(OF_CLUSTER)

    def keep_clusters(self, _cluster_ids: frozenset[str]) -> None:
        raise AssertionError("an operator's question keeps nothing")

    def troubles(self) -> dict[str, tuple[int, int]]:
        return {}

    def keep_troubles(self, _troubles: Any) -> None:
        raise AssertionError("an operator's question keeps nothing")

    def keep_seen(self, _cluster_id: str, _seen: Seen) -> None:
        raise AssertionError("an operator's question keeps nothing")

    def seen(self, _cluster_id: str) -> Seen:
        return Seen()

    def tagged(self) -> Mapping[str, Mapping[str, Association | None]]:
        return {cluster_id: {f"eipalloc-{cluster_id}": None} for cluster_id in OF_CLUSTER}

    def dry_run(self, _allocation_id: str, interface_id: str, _private_ip: str) -> str | None:
        return "UnauthorizedOperation" if interface_id.endswith("2") else None

    def addresses(self, cluster_id: str) -> tuple[Address, ...]:
        if cluster_id not in OF_CLUSTER:
            return ()
        return (Address("eip", f"eipalloc-{cluster_id}", f"203.0.113.{len(cluster_id)}"),)


class Region:
    """The shipped arbiter behind a shipped handler; time passes with each event."""

    def __init__(self) -> None:
        self.now_ms = builders.NOW
        self.store, self.ec2, self.told = MemoryStore(), FakeEc2(), Told()
        self.arbiter = Arbiter(
            store=self.store,
            elastic_ips=self.ec2,
            inventory=self.ec2,
            telemetry=self.told,
            policy=builders.POLICY,
            clock=lambda: self.now_ms,
        )
        self._seq = 0
        for cluster_id, instances in OF_CLUSTER.items():
            for number, instance in enumerate(instances, 1):
                state = "started" if number == 1 else "stopped"
                self.handle(self.event(cluster_id, instance, number, state=state))
        assert self.holders() == {c: instances[0] for c, instances in OF_CLUSTER.items()}

    def event(self, cluster_id: str, instance: str, number: int, **changes: Any) -> dict[str, Any]:
        """A good report's envelope."""
        self._seq += 1
        report = builders.node_report(number, seq=self._seq, **changes)
        detail = {**report.to_detail(), "cluster_id": cluster_id, "instance_id": instance}
        return envelope(instance, detail)

    def handle(self, event: Any) -> None:
        """As Lambda would call the handler."""
        HANDLERS["arbitrate"].arbiter = self.arbiter
        HANDLERS["arbitrate"].telemetry = self.told
        HANDLERS["arbitrate"].lambda_handler(event, CONTEXT)

    def operate(self, payload: Any) -> Any:
        """As an operator would invoke it."""
        HANDLERS["operate"].arbiter = self.arbiter
        HANDLERS["operate"].telemetry = SimpleNamespace(refused=lambda _why: None)
        HANDLERS["operate"].inspection = Inspection(self.arbiter, self.ec2, self.ec2, self.ec2)
        return HANDLERS["operate"].lambda_handler(payload, CONTEXT)

    def state(self) -> dict[str, Snapshot | None]:
        return {cluster_id: self.store.read(cluster_id) for cluster_id in OF_CLUSTER}

    def holders(self) -> dict[str, str | None]:
        state = self.state()
        return {c: s.addresses["eip"].holder for c, s in state.items() if s is not None}


HANDLERS: dict[str, Any] = {}


def envelope(instance: str, detail: Any) -> dict[str, Any]:
    return {
        "version": "0",
        "id": "event-1",
        "detail-type": DETAIL_TYPE,
        "source": source_for("aws", REGION, ACCOUNT, instance),
        "account": ACCOUNT,
        "time": "2026-11-25T12:00:00Z",
        "region": REGION,
        "resources": [],
        "detail": detail,
    }


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=12)
    | st.sampled_from(["eip", "web", "other", builders.N1, "started", "\x00", "<b>", "A" * 2000]),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=8,
)
"""Anything that JSON can say, with words that mean something here among it."""
