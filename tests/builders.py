"""Builders of snapshots in the field's nouns: a two-node cluster in which all is well, and changes.

Times are milliseconds on the arbiter's clock; `NOW` is the instant of the decision.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from eip_arbiter.decision import decide
from eip_arbiter.decision.outcome import Decision
from eip_arbiter.decision.policy import Policy
from eip_arbiter.decision.snapshot import Address, Ec2Evidence, LastReport, Node, Snapshot
from eip_contract.report import NodeReport, Pacemaker, ResourceState, Suspect

NOW = 1_795_352_400_000
POLICY = Policy(ec2_call_ms=7_000)
PUBLIC_IP = "203.0.113.10"


def instance_id(number: int) -> str:
    return f"i-{number:017x}"


N1, N2, N3 = instance_id(1), instance_id(2), instance_id(3)


def last_report(
    number: int, *, ago_ms: int = 100, state: str = "stopped", **changes: Any
) -> LastReport:
    """A calm report of node n<number>; `state` is the resource's, `for_ms` for how long."""
    for_ms = changes.pop("for_ms", 60_000)
    members = tuple(changes.pop("members", ("n1", "n2")))
    report = LastReport(
        received_at_ms=NOW - ago_ms,
        incarnation=1,
        seq=100 + number,
        next_report_within_ms=10_000,
        node_name=f"n{number}",
        pacemaker_state="online",
        quorate=True,
        quorum_mode="two_node",
        members=members,
        suspects={},
        resources={"eip": ResourceState(state, for_ms)},
        awaiting=(),
        failing=(),
        public_ips=None,
    )
    return replace(report, **changes)


def node(number: int, report: LastReport | None, **changes: Any) -> Node:
    """Node n<number> with its last report, or one that never reported."""
    made = Node(
        instance_id=instance_id(number),
        interface_id=f"eni-{number:017x}",
        private_ips=(f"10.0.{number - 1}.10",),
        registered_for=1,
        report=report,
    )
    return replace(made, **changes)


def address(**changes: Any) -> Address:
    """The address, settled on n1 under term 7 a minute ago."""
    made = Address(
        resource="eip",
        allocation_id="eipalloc-00000000000000001",
        public_ip=PUBLIC_IP,
        holder=N1,
        term=7,
        association_id="eipassoc-00000000000000007",
        interface_id="eni-00000000000000001",
        deadline_ms=NOW - 50_000,
        changed_at_ms=NOW - 60_000,
        rule="R050",
    )
    return replace(made, **changes)


def snapshot(*nodes: Node, at: Address | None = None) -> Snapshot:
    """A cluster `web` of these nodes; by default n1 holds and runs, n2 stands by."""
    members = nodes or (holding(), standing_by())
    return Snapshot("web", 12, {n.instance_id: n for n in members}, {"eip": at or address()})


def holding(number: int = 1, **changes: Any) -> Node:
    """A node that runs the resource."""
    return node(number, last_report(number, state="started", **changes))


def standing_by(number: int = 2, **changes: Any) -> Node:
    """A node on which the resource is stopped."""
    return node(number, last_report(number, **changes))


def claiming(
    number: int = 2, *, lost: tuple[str, ...] = ("n1",), alarm_ms: int = 3_500, **changes: Any
) -> Node:
    """A node that starts the resource since it lost sight of others, in alarm for `alarm_ms`."""
    defaults: dict[str, Any] = {
        "state": "starting",
        "for_ms": 500,
        "next_report_within_ms": 500,
        "members": tuple(n for n in ("n1", "n2") if n not in lost),
        "suspects": dict.fromkeys(lost, alarm_ms),
        "awaiting": ("eip",),
    }
    report = last_report(number, **(defaults | changes))
    return node(number, report, alarm_since_ms=NOW - alarm_ms)


def dead(number: int = 1, *, silent_ms: int = 5_000, **changes: Any) -> Node:
    """A node whose last word, long ago, was that it runs the resource."""
    return holding(number, ago_ms=silent_ms, **changes)


def going(state: str, who: Node) -> Node:
    """EC2 says of this node's instance that it is in `state`."""
    incarnation = who.report.incarnation if who.report else 0
    return replace(who, ec2=Ec2Evidence(state, NOW - 50, incarnation))


def decided(cluster: Snapshot, now_ms: int = NOW) -> Decision:
    """The decision about the only address."""
    return decide(cluster, "eip", POLICY, now_ms)


def node_report(
    number: int = 1, *, seq: int = 1, incarnation: int = 1, **changes: Any
) -> NodeReport:
    """A report as it comes over the wire; `state` and `for_ms` are the resource's."""
    resource = ResourceState(changes.pop("state", "stopped"), changes.pop("for_ms", 1_000))
    lost = changes.pop("lost", ())
    made = NodeReport(
        cluster_id="web",
        node_name=f"n{number}",
        instance_id=instance_id(number),
        availability_zone="eu-central-1a",
        incarnation=incarnation,
        seq=seq,
        observed_at_ms=NOW,
        next_report_within_ms=10_000,
        cause="heartbeat",
        pacemaker=Pacemaker(
            "online", "n1", True, "two_node", tuple(n for n in ("n1", "n2") if n not in lost)
        ),
        suspects=tuple(Suspect(name, 2_000) for name in lost),
        resources={"eip": resource},
    )
    return replace(made, **changes)
