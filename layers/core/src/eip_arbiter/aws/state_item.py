"""The state item's shape: snapshot to item and back. Only the DynamoDB store imports this.

Keys that nodes read are the contract's; the others are named here. They are short because a
two-node item has to stay below 1 KB, one write unit; what is empty is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from eip_contract import state_item as key
from eip_contract.report import OrderProgress, ResourceState

from eip_arbiter.decision.snapshot import (
    Address,
    Ec2Evidence,
    FormerReport,
    HistoryEntry,
    LastReport,
    Node,
    Order,
    OrderKind,
    Phase,
    Refusal,
    Snapshot,
    id_mark,
)

ALARMS = "al"
EVIDENCE = "e"
DENIALS = "dn"
WAITING = "x"
"""Lines by their version, as text; not there before the first one."""


def to_snapshot(cluster_id: str, item: Mapping[str, Any]) -> Snapshot:
    """The snapshot of a plain item."""
    reports, alarms, evidence = item[key.REPORTS], item[ALARMS], item[EVIDENCE]
    nodes = {
        instance: Node(
            instance_id=instance,
            interface_id=raw["e"],
            private_ips=tuple(raw[key.PRIVATE_IPS]),
            priority=raw.get("p", 0),
            nofailover=raw.get("x", False),
            own_elastic_ips=raw.get(key.OWN_ELASTIC_IPS, {}),
            registered_for=raw.get("ri", 0),
            report=_to_report(reports[instance]) if instance in reports else None,
            alarm_since_ms=alarms.get(instance),
            ec2=_to_evidence(evidence.get(instance)),
        )
        for instance, raw in item[key.MEMBERS].items()
    }
    addresses = {name: _to_address(name, raw) for name, raw in item[key.ADDRESSES].items()}
    return Snapshot(
        cluster_id,
        item[key.VERSION],
        nodes,
        addresses,
        item.get(key.PAUSED_UNTIL, 0),
        item.get(key.TABLE_ID, ""),
        tuple(
            _to_line(cluster_id, int(version), raw)
            for version, raw in sorted(
                item.get(WAITING, {}).items(), key=lambda entry: int(entry[0])
            )
        ),
        _to_former(item.get(key.FORMER, {})),
    )


def from_former(former: Mapping[str, FormerReport]) -> dict[str, Any]:
    """What forgotten nodes had said last."""
    return {
        instance: {key.INCARNATION: f.incarnation, key.SEQ: f.seq, "t": f.received_at_ms}
        for instance, f in former.items()
    }


def _to_former(raw: Mapping[str, Any]) -> dict[str, FormerReport]:
    former = [(i, FormerReport(r[key.INCARNATION], r[key.SEQ], r["t"])) for i, r in raw.items()]
    return dict(sorted(former, key=lambda entry: (entry[1].received_at_ms, entry[0])))


def from_node(node: Node) -> dict[str, Any]:
    """The registered facts of a node."""
    raw: dict[str, Any] = {
        "e": node.interface_id,
        key.PRIVATE_IPS: list(node.private_ips),
    }
    if node.registered_for:
        raw["ri"] = node.registered_for
    if node.priority:
        raw["p"] = node.priority
    if node.nofailover:
        raw["x"] = True
    if node.own_elastic_ips:
        raw[key.OWN_ELASTIC_IPS] = dict(node.own_elastic_ips)
    return raw


def from_report(report: LastReport) -> dict[str, Any]:
    """A report's record."""
    raw: dict[str, Any] = {
        key.INCARNATION: report.incarnation,
        key.SEQ: report.seq,
        key.NODE_NAME: report.node_name,
        "t": report.received_at_ms,
        "w": report.next_report_within_ms,
        "p": report.pacemaker_state,
        "q": report.quorate,
        "qm": report.quorum_mode,
        "m": list(report.members),
        "k": {name: [r.state, r.for_ms] for name, r in report.resources.items()},
    }
    optional: dict[str, Any] = {
        "u": dict(report.suspects),
        "a": list(report.awaiting),
        "f": list(report.failing),
    }
    raw.update({name: value for name, value in optional.items() if value})
    if report.public_ips is not None:
        raw["ips"] = list(report.public_ips)
    if report.order is not None:
        # Only of a failure does anybody ask why; the item has to stay small.
        detail = [report.order.detail] if report.order.state == "failed" else []
        raw["o"] = [report.order.id, report.order.state, *detail]
    if report.late_ms:
        raw[key.LATE] = report.late_ms
    return raw


def _to_report(raw: Mapping[str, Any]) -> LastReport:
    return LastReport(
        received_at_ms=raw["t"],
        incarnation=raw[key.INCARNATION],
        seq=raw[key.SEQ],
        next_report_within_ms=raw["w"],
        node_name=raw[key.NODE_NAME],
        pacemaker_state=raw["p"],
        quorate=raw["q"],
        quorum_mode=raw["qm"],
        members=tuple(raw["m"]),
        suspects=raw.get("u", {}),
        resources={name: ResourceState(*pair) for name, pair in raw["k"].items()},
        awaiting=tuple(raw.get("a", ())),
        failing=tuple(raw.get("f", ())),
        public_ips=tuple(raw["ips"]) if "ips" in raw else None,
        order=OrderProgress(*raw["o"]) if "o" in raw else None,
        late_ms=raw.get(key.LATE, 0),
    )


def from_line(line: HistoryEntry) -> dict[str, Any]:
    """A line of history that waits; its version is its key."""
    return {
        "at": line.at_ms,
        "r": line.resource,
        "t": line.term,
        "k": line.kind,
        "s": line.sentence,
        "e": line.evidence,
    }


def _to_line(cluster_id: str, version: int, raw: Mapping[str, Any]) -> HistoryEntry:
    return HistoryEntry(
        cluster_id=cluster_id,
        version=version,
        resource=raw["r"],
        term=raw["t"],
        at_ms=raw["at"],
        kind=raw["k"],
        sentence=raw["s"],
        evidence=raw["e"],
    )


def from_evidence(evidence: Ec2Evidence) -> dict[str, Any]:
    """EC2's word about an instance."""
    return {"s": evidence.state, "t": evidence.at_ms, "i": evidence.incarnation}


def _to_evidence(raw: Mapping[str, Any] | None) -> Ec2Evidence | None:
    return None if raw is None else Ec2Evidence(raw["s"], raw["t"], raw["i"])


def from_address(address: Address) -> dict[str, Any]:
    """An address with the grant in force."""
    raw: dict[str, Any] = {
        "al": address.allocation_id,
        key.PUBLIC_IP: address.public_ip,
        key.TERM: address.term,
        key.PHASE: address.phase.value,
    }
    optional: dict[str, Any] = {
        key.PRIVATE_IP_INDEX: address.private_ip_index,
        key.HOLDER: address.holder,
        "as": address.association_id,
        "e": address.interface_id,
        "d": address.deadline_ms,
        "ch": address.changed_at_ms,
        "r": address.rule,
        key.ORDER: address.order and from_order(address.order),
        key.REFUSAL: address.refusal and _from_refusal(address.refusal),
        "mv": list(address.recent_moves_ms),
        DENIALS: address.denials,
        "eo": list(address.ended_orders),
    }
    raw.update({name: value for name, value in optional.items() if value})
    return raw


def _to_address(resource: str, raw: Mapping[str, Any]) -> Address:
    return Address(
        resource=resource,
        allocation_id=raw["al"],
        public_ip=raw[key.PUBLIC_IP],
        private_ip_index=raw.get(key.PRIVATE_IP_INDEX, 0),
        holder=raw.get(key.HOLDER),
        term=raw[key.TERM],
        phase=Phase(raw[key.PHASE]),
        association_id=raw.get("as") or None,
        interface_id=raw.get("e") or None,
        deadline_ms=raw.get("d", 0),
        changed_at_ms=raw.get("ch", 0),
        rule=raw.get("r", ""),
        order=_to_order(raw.get(key.ORDER)),
        ended_orders=_to_marks(raw.get("eo", [])),
        refusal=_to_refusal(raw.get(key.REFUSAL)),
        recent_moves_ms=tuple(raw.get("mv", ())),
        denials=raw.get(DENIALS, 0),
    )


def _to_marks(raw: str | list[str]) -> tuple[str, ...]:
    """The marks of ended orders; an item that was written before has the last one's id instead."""
    return (id_mark(raw),) if isinstance(raw, str) else tuple(raw)


def from_order(order: Order) -> dict[str, Any]:
    """A standing order."""
    raw: dict[str, Any] = {
        key.ORDER_ID: order.id,
        key.ORDER_TARGET: order.target,
        key.ORDER_UNTIL: order.until_ms,
        "f": order.force,
        "at": order.issued_at_ms,
    }
    if order.kind is not OrderKind.FAILOVER:
        raw["k"] = order.kind.value
    if order.holder:
        raw["h"] = order.holder
    return raw


def _to_order(raw: Mapping[str, Any] | None) -> Order | None:
    if raw is None:
        return None
    return Order(
        id=raw[key.ORDER_ID],
        target=raw[key.ORDER_TARGET],
        force=raw["f"],
        issued_at_ms=raw["at"],
        until_ms=raw[key.ORDER_UNTIL],
        kind=OrderKind(raw.get("k", OrderKind.FAILOVER.value)),
        holder=raw.get("h", ""),
    )


def _from_refusal(refusal: Refusal) -> dict[str, Any]:
    return {key.REFUSED_CLAIMANT: refusal.claimant, "at": refusal.at_ms}


def _to_refusal(raw: Mapping[str, Any] | None) -> Refusal | None:
    return None if raw is None else Refusal(raw[key.REFUSED_CLAIMANT], raw["at"])
