"""The node report: a full snapshot of what one node sees, and how it is read from JSON.

`events/node-report.schema.json` is the authority. Properties that a reader does not know are
ignored, so that an agent may be newer than the control plane it talks to.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from eip_contract.fields import INSTANCE_ID, IPV4, MAX_COUNTER, NAME, TEXT, Problems

SCHEMA_VERSION = 1
DETAIL_TYPE = "Node Report"

CAUSES = (
    "heartbeat",
    "membership",
    "resource",
    "claim",
    "release",
    "health",
    "operator",
    "shutdown",
)
PACEMAKER_STATES = ("unknown", "online", "standby", "maintenance", "pending", "offline")
QUORUM_MODES = ("unknown", "two_node", "majority", "device")
RESOURCE_STATES = ("unknown", "started", "starting", "stopped", "failed")
ORDER_STATES = ("seen", "moving", "done", "failed")

MAX_NODES = 16
MAX_PUBLIC_IPS = 16
MAX_RESOURCES = 8
MAX_DURATION_MS = 10 * 365 * 86_400_000
MIN_PROMISE_MS, MAX_PROMISE_MS = 100, 300_000


class ReportRejected(ValueError):
    """A report that must change no state; `reason` is a counter's name, the text says why."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True)
class Suspect:
    """A node that the reporter lost sight of, and for how long on the reporter's own clock."""

    node_name: str
    for_ms: int


@dataclass(frozen=True)
class ResourceState:
    """What Pacemaker says of a resource on this node, and for how long it has said so.

    `for_ms` is measured by the node's own monotonic clock and only ever delays a decision: two
    machines' clocks are never compared.
    """

    state: str
    for_ms: int


@dataclass(frozen=True)
class Pacemaker:
    """This node in its own Pacemaker's eyes; `members` are Pacemaker node names."""

    state: str
    dc: str | None
    quorate: bool
    quorum_mode: str
    members: tuple[str, ...]


@dataclass(frozen=True)
class OrderProgress:
    """The operator's order that this node last saw, and what became of it here."""

    id: str
    state: str
    detail: str = "none"


@dataclass(frozen=True)
class NodeReport:
    """One report. Order among the reports of a node is `(incarnation, seq)`, never a clock.

    `awaiting` names the resources that this node runs or starts without knowing that the address
    was granted to it. `public_ips` is None when the metadata service did not answer.
    """

    cluster_id: str
    node_name: str
    instance_id: str
    availability_zone: str
    incarnation: int
    seq: int
    observed_at_ms: int
    next_report_within_ms: int
    cause: str
    pacemaker: Pacemaker
    suspects: tuple[Suspect, ...] = ()
    resources: Mapping[str, ResourceState] = dataclasses.field(default_factory=dict)
    awaiting: tuple[str, ...] = ()
    failing: tuple[str, ...] = ()
    public_ips: tuple[str, ...] | None = None
    order: OrderProgress | None = None

    @property
    def raises_alarm(self) -> bool:
        """Whether this report opens a challenge: a node is suspected or a claim is pending."""
        return bool(self.suspects or self.awaiting)

    def to_detail(self) -> dict[str, Any]:
        """The `detail` of the EventBridge event, ready for `json.dumps`."""
        return {
            "schema_version": SCHEMA_VERSION,
            "cluster_id": self.cluster_id,
            "node_name": self.node_name,
            "instance_id": self.instance_id,
            "availability_zone": self.availability_zone,
            "incarnation": self.incarnation,
            "seq": self.seq,
            "observed_at_ms": self.observed_at_ms,
            "next_report_within_ms": self.next_report_within_ms,
            "cause": self.cause,
            "pacemaker": {
                **dataclasses.asdict(self.pacemaker),
                "members": list(self.pacemaker.members),
            },
            "suspects": [dataclasses.asdict(suspect) for suspect in self.suspects],
            "resources": {k: dataclasses.asdict(v) for k, v in self.resources.items()},
            "awaiting": list(self.awaiting),
            "health": {"ok": not self.failing, "failing": list(self.failing)},
            "public_ips": None if self.public_ips is None else list(self.public_ips),
            "order": None if self.order is None else dataclasses.asdict(self.order),
        }


def parse_report(detail: Any) -> NodeReport:
    """Reads a report from a decoded JSON document.

    Raises:
        ReportRejected: with every problem in one message; reason `schema_version` for a version
            that this reader does not know, `malformed` for anything else.
    """
    if not isinstance(detail, dict):
        raise ReportRejected("malformed", "the report is not a JSON object")
    version = detail.get("schema_version")
    if version != SCHEMA_VERSION or isinstance(version, bool):
        raise ReportRejected(
            "schema_version",
            f"schema_version is not {SCHEMA_VERSION}: this reader is older or newer",
        )
    p = Problems()
    report = NodeReport(
        cluster_id=p.text("cluster_id", detail.get("cluster_id"), NAME),
        node_name=p.text("node_name", detail.get("node_name"), NAME),
        instance_id=p.text("instance_id", detail.get("instance_id"), INSTANCE_ID),
        availability_zone=p.text("availability_zone", detail.get("availability_zone"), NAME),
        incarnation=p.whole("incarnation", detail.get("incarnation"), 1, MAX_COUNTER),
        seq=p.whole("seq", detail.get("seq"), 0, MAX_COUNTER),
        observed_at_ms=p.whole("observed_at_ms", detail.get("observed_at_ms"), 0, MAX_COUNTER),
        next_report_within_ms=p.whole(
            "next_report_within_ms",
            detail.get("next_report_within_ms"),
            MIN_PROMISE_MS,
            MAX_PROMISE_MS,
        ),
        cause=p.choice("cause", detail.get("cause"), CAUSES),
        pacemaker=_pacemaker(p, detail.get("pacemaker")),
        suspects=_suspects(p, detail.get("suspects")),
        resources=_resources(p, detail.get("resources")),
        awaiting=p.texts("awaiting", detail.get("awaiting"), NAME, MAX_RESOURCES),
        failing=_failing(p, detail.get("health")),
        public_ips=_public_ips(p, detail.get("public_ips")),
        order=_order(p, detail.get("order")),
    )
    for resource in report.awaiting:
        if resource not in report.resources:
            p.add("awaiting", f"{resource!a} is not among the resources")
    if p.found:
        raise ReportRejected("malformed", "; ".join(p.found[:8]))
    return report


def _pacemaker(p: Problems, value: Any) -> Pacemaker:
    raw = p.mapping("pacemaker", value, 32)
    dc = raw.get("dc")
    return Pacemaker(
        state=p.choice("pacemaker.state", raw.get("state"), PACEMAKER_STATES),
        dc=None if dc is None else p.text("pacemaker.dc", dc, NAME),
        quorate=p.flag("pacemaker.quorate", raw.get("quorate")),
        quorum_mode=p.choice("pacemaker.quorum_mode", raw.get("quorum_mode"), QUORUM_MODES),
        members=p.texts("pacemaker.members", raw.get("members"), NAME, MAX_NODES),
    )


def _suspects(p: Problems, value: Any) -> tuple[Suspect, ...]:
    suspects = []
    for i, entry in enumerate(p.sequence("suspects", value, MAX_NODES)):
        where = f"suspects[{i}]"
        raw = p.mapping(where, entry, 8)
        suspects.append(
            Suspect(
                node_name=p.text(f"{where}.node_name", raw.get("node_name"), NAME),
                for_ms=p.whole(f"{where}.for_ms", raw.get("for_ms"), 0, MAX_DURATION_MS),
            )
        )
    return tuple(suspects)


def _resources(p: Problems, value: Any) -> dict[str, ResourceState]:
    resources = {}
    for name, entry in p.mapping("resources", value, MAX_RESOURCES).items():
        p.text("resources (a name)", name, NAME)
        where = f"resources.{name[:64]!a}"
        raw = p.mapping(where, entry, 8)
        resources[name] = ResourceState(
            state=p.choice(f"{where}.state", raw.get("state"), RESOURCE_STATES),
            for_ms=p.whole(f"{where}.for_ms", raw.get("for_ms"), 0, MAX_DURATION_MS),
        )
    return resources


def _failing(p: Problems, value: Any) -> tuple[str, ...]:
    raw = p.mapping("health", value, 8)
    failing = p.texts("health.failing", raw.get("failing"), TEXT, MAX_RESOURCES)
    if p.flag("health.ok", raw.get("ok")) == bool(failing):
        p.add("health", "ok and failing contradict each other")
    return failing


def _public_ips(p: Problems, value: Any) -> tuple[str, ...] | None:
    return None if value is None else p.texts("public_ips", value, IPV4, MAX_PUBLIC_IPS)


def _order(p: Problems, value: Any) -> OrderProgress | None:
    if value is None:
        return None
    raw = p.mapping("order", value, 8)
    return OrderProgress(
        id=p.text("order.id", raw.get("id"), NAME),
        state=p.choice("order.state", raw.get("state"), ORDER_STATES),
        detail=p.text("order.detail", raw.get("detail"), TEXT),
    )
