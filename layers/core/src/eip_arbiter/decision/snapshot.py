"""The values that a decision is made from: one snapshot of one cluster.

Plain frozen data, no behaviour beyond reading it. Times are milliseconds of the arbiter's clock
unless a name says otherwise; identities are EC2 instance ids.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from hashlib import sha256
from itertools import takewhile

from eip_contract.report import NodeReport, OrderProgress, ResourceState


class Phase(Enum):
    """Where a move stands: `MOVING` from the grant's commit until EC2 was seen to agree."""

    SETTLED = "settled"
    MOVING = "moving"


@dataclass(frozen=True, slots=True)
class LastReport:
    """What the arbiter keeps of a node's newest report, and when it received it.

    `late_ms`: how long EventBridge had it before, beyond what its time stamp of whole seconds can
    tell; 0 when it came at once.
    """

    received_at_ms: int
    incarnation: int
    seq: int
    next_report_within_ms: int
    node_name: str
    pacemaker_state: str
    quorate: bool
    quorum_mode: str
    members: tuple[str, ...]
    suspects: Mapping[str, int]
    resources: Mapping[str, ResourceState]
    awaiting: tuple[str, ...]
    failing: tuple[str, ...]
    public_ips: tuple[str, ...] | None
    order: OrderProgress | None = None
    late_ms: int = 0

    @property
    def said_at_ms(self) -> int:
        """When EventBridge took it from the node, at the latest."""
        return self.received_at_ms - self.late_ms

    @classmethod
    def of(cls, report: NodeReport, received_at_ms: int, late_ms: int = 0) -> LastReport:
        """Keeps what decisions need; clocks and places of the node stay behind."""
        return cls(
            received_at_ms=received_at_ms,
            incarnation=report.incarnation,
            seq=report.seq,
            next_report_within_ms=report.next_report_within_ms,
            node_name=report.node_name,
            pacemaker_state=report.pacemaker.state,
            quorate=report.pacemaker.quorate,
            quorum_mode=report.pacemaker.quorum_mode,
            members=report.pacemaker.members,
            suspects={suspect.node_name: suspect.for_ms for suspect in report.suspects},
            resources=dict(report.resources),
            awaiting=report.awaiting,
            failing=report.failing,
            public_ips=report.public_ips,
            order=report.order,
            late_ms=late_ms,
        )


GOING_INSTANCE = ("stopping", "stopped", "shutting-down", "terminated")
"""The states of an instance that goes away, in the order in which it goes through them."""


def overtaken_by(state: str) -> tuple[str, ...]:
    """The states that `state` replaces if EC2 tells both of the same second, itself included.

    EC2's events tell whole seconds and come in any order.
    """
    return (*takewhile(lambda earlier: earlier != state, GOING_INSTANCE), state)


@dataclass(frozen=True, slots=True)
class Ec2Evidence:
    """EC2's own word that an instance goes away.

    It holds for the incarnation that the node's agent had then: an agent that starts again is the
    proof that the instance came back.
    """

    state: str
    at_ms: int
    incarnation: int


@dataclass(frozen=True, slots=True)
class Node:
    """A registered instance and the interface that gets addresses.

    `private_ips` are that interface's, the primary one first: EC2 keeps one Elastic IP for each.
    `own_elastic_ips` are by private address, of all interfaces, those that are none of the
    cluster's: somebody put them there for a purpose of his own.
    `registered_for` is the incarnation of the agent for which all this was looked up;
    `alarm_since_ms`: since when the node's reports raise an alarm, unbroken.
    """

    instance_id: str
    interface_id: str
    private_ips: tuple[str, ...]
    priority: int = 0
    nofailover: bool = False
    own_elastic_ips: Mapping[str, str] = field(default_factory=dict)
    registered_for: int = 0
    report: LastReport | None = None
    alarm_since_ms: int | None = None
    ec2: Ec2Evidence | None = None

    @property
    def name(self) -> str:
        """The Pacemaker node name, or the instance id while the node has never reported."""
        return self.report.node_name if self.report else self.instance_id

    def would_lose(self, private_ip_index: int) -> str | None:
        """Its own Elastic IP that an address for this private address would throw off, or None."""
        if private_ip_index >= len(self.private_ips):
            return None
        return self.own_elastic_ips.get(self.private_ips[private_ip_index])


class OrderKind(Enum):
    """`FAILOVER` moves the address at once and Pacemaker follows; `SWITCHOVER` asks Pacemaker."""

    FAILOVER = "failover"
    SWITCHOVER = "switchover"


@dataclass(frozen=True, slots=True)
class Order:
    """An operator's order about one address; it stands until the target claims, or it ends.

    By a failover the address goes to `target` at once. By a switchover the target's agent has
    Pacemaker move the resource, and the address follows by the usual release and claim. `holder`
    is who held the address when it was ordered, "" if nobody did.
    """

    id: str
    target: str
    force: bool
    issued_at_ms: int
    until_ms: int
    kind: OrderKind = OrderKind.FAILOVER
    holder: str = ""

    @property
    def mark(self) -> str:
        """What is remembered of it: short, since the state has to stay small.

        A switchover names its holder, a failover does not: there it is no part of what was asked.
        """
        holder = self.holder if self.kind is OrderKind.SWITCHOVER else ""
        asked = f"{self.kind.value} {self.target} {holder} {self.force}"
        return id_mark(self.id) + _digest(asked)[:6]


ID_MARK_LENGTH = 10


def id_mark(order_id: str) -> str:
    """How every mark of an order with this id begins."""
    return _digest(order_id)[:ID_MARK_LENGTH]


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Refusal:
    """A challenge that was refused since the holder answered; open until the challenge ends."""

    claimant: str
    at_ms: int


@dataclass(frozen=True, slots=True)
class Address:
    """One Elastic IP and the grant in force.

    `private_ip_index` says with which private address of a node it is associated;
    `association_id` and `interface_id` where EC2 was last known to have it; `changed_at_ms` is the
    time of the last grant, settlement or release; `rule` the rule of the grant in force;
    `ended_orders` are the marks of the last orders that ended or were replaced, the newest last, so
    that asking again does not do it again; one of the id alone was kept before there were marks;
    `recent_moves_ms` are the times of automatic moves to another node, the newest last. `denials`:
    so often in a row the holder has said that it is not there, and EC2 had it there.
    """

    resource: str
    allocation_id: str
    public_ip: str
    private_ip_index: int = 0
    holder: str | None = None
    term: int = 0
    phase: Phase = Phase.SETTLED
    association_id: str | None = None
    interface_id: str | None = None
    deadline_ms: int = 0
    changed_at_ms: int = 0
    rule: str = ""
    order: Order | None = None
    ended_orders: tuple[str, ...] = ()
    refusal: Refusal | None = None
    recent_moves_ms: tuple[int, ...] = ()
    denials: int = 0


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One line of a cluster's history.

    It is part of the commit that it tells of: `version` is the state's version after that commit,
    so no two steps share a line, and a step that is written again stays one line.
    """

    cluster_id: str
    version: int
    resource: str
    term: int
    at_ms: int
    kind: str
    sentence: str
    evidence: str


AHEAD_SECONDS = 300
"""An incarnation begins as the time in seconds, and no clock may be further ahead than this."""

MOST_FORMER = 4
"""An item stays small; nobody keeps back the reports of so many lost nodes at once."""


@dataclass(frozen=True, slots=True)
class FormerReport:
    """Which report of a node was its newest when it was forgotten: an older one is no news."""

    incarnation: int
    seq: int
    received_at_ms: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A cluster at one instant; `version` changes with every committed decision.

    `paused_until_ms`: until then nothing is granted but by order; 0 when it is not paused.
    `table_id`: made once with the state; a new table has another one, and its terms begin anew.
    `waiting`: lines that were committed and may not be in the history yet, the oldest first.
    `former`: what nodes that were forgotten had said last, the oldest first.
    """

    cluster_id: str
    version: int
    nodes: Mapping[str, Node] = field(default_factory=dict)
    addresses: Mapping[str, Address] = field(default_factory=dict)
    paused_until_ms: int = 0
    table_id: str = field(default="", compare=False)
    waiting: tuple[HistoryEntry, ...] = ()
    former: Mapping[str, FormerReport] = field(default_factory=dict)

    def nodes_named(self, name: str) -> tuple[Node, ...]:
        """The registered nodes that this name can mean: one instance id, or whoever says the name.

        A name is only what a node says of itself, so two of them are no reason to choose one.
        """
        if name in self.nodes:
            return (self.nodes[name],)
        return tuple(n for n in self.nodes.values() if n.report and n.report.node_name == name)


def former_with(snapshot: Snapshot, instance_ids: Collection[str]) -> dict[str, FormerReport]:
    """What is kept of forgotten nodes once these are forgotten too, the oldest first.

    Not a number that no clock chose: an operator forgets such a node so that it is heard again.
    """
    leaving = {i: snapshot.nodes[i].report for i in instance_ids if i in snapshot.nodes}
    back = {node.instance_id for node in snapshot.nodes.values() if node.report}
    kept = {i: former for i, former in snapshot.former.items() if i not in back}
    kept |= {
        instance: FormerReport(report.incarnation, report.seq, report.received_at_ms)
        for instance, report in leaving.items()
        if report is not None and report.incarnation - report.said_at_ms // 1000 <= AHEAD_SECONDS
    }
    newest = sorted(kept.items(), key=lambda entry: (entry[1].received_at_ms, entry[0]))
    return dict(newest[-MOST_FORMER:])


def unheld(snapshot: Snapshot, instance_ids: Collection[str]) -> tuple[Address, ...]:
    """The addresses that these instances hold, as they are once the instances are forgotten.

    With nobody, and where EC2 was last known to have them: a move to one of them ends.
    """
    return tuple(
        replace(address, holder=None, phase=Phase.SETTLED)
        for address in snapshot.addresses.values()
        if address.holder in instance_ids
    )
