"""The state in DynamoDB: one item a cluster, each write one conditional call.

Keys: `cluster#<id>`/`state` is the item, `cluster#<id>`/`history#...` its history and
`instance#<id>`/`member` points from an instance to its cluster, for EC2's own events.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Mapping
from typing import Any

from eip_contract import state_item as key
from eip_contract.report import NodeReport

from eip_arbiter.aws import state_item as shape
from eip_arbiter.aws.change import Change, removed
from eip_arbiter.aws.state_table import Item, Refused, StateTable, Written
from eip_arbiter.decision.outcome import ReportSeen, reports_of
from eip_arbiter.decision.snapshot import (
    Address,
    Ec2Evidence,
    HistoryEntry,
    LastReport,
    Node,
    Snapshot,
    former_with,
    overtaken_by,
    unheld,
)
from eip_arbiter.ports import (
    Committed,
    LostRace,
    Recorded,
    StaleReport,
    Unregistered,
)

HISTORY_DAYS = 90
MEMBER_SORT_KEY = "member"

# One clause a line; each names what it protects from.
_KNOWN_NODE = f"attribute_exists({key.MEMBERS}.#i)"
_NEWER_REPORT, _NEWER_THAN_BEFORE = (
    f"(attribute_not_exists({known}.#i) OR {known}.#i.#inc < :inc"
    f" OR ({known}.#i.#inc = :inc AND {known}.#i.#seq < :seq))"
    for known in (key.REPORTS, key.FORMER)
)


class DynamoDbStore(StateTable):
    """Implements `ports.Store`."""

    def record_report(
        self, report: NodeReport, received_at_ms: int, late_ms: int = 0
    ) -> Recorded | StaleReport | Unregistered:
        """One UpdateItem: the whole cost of a calm heartbeat."""
        record = shape.from_report(LastReport.of(report, received_at_ms, late_ms))
        values: dict[str, Any] = {":r": record, ":inc": report.incarnation, ":seq": report.seq}
        alarm = f" REMOVE {shape.ALARMS}.#i"
        if report.raises_alarm:
            alarm = f", {shape.ALARMS}.#i = if_not_exists({shape.ALARMS}.#i, :now)"
            values[":now"] = received_at_ms
        item = self._update(
            report.cluster_id,
            f"SET {key.REPORTS}.#i = :r{alarm}",
            f"{_KNOWN_NODE} AND {_NEWER_REPORT} AND {_NEWER_THAN_BEFORE}",
            {"#i": report.instance_id, "#inc": key.INCARNATION, "#seq": key.SEQ},
            values,
            # With the time of receipt: another delivery of the same report is another write.
            is_done=lambda item: item.get(key.REPORTS, {}).get(report.instance_id) == record,
        )
        if isinstance(item, Written):
            return Recorded(shape.to_snapshot(report.cluster_id, item.item))
        known = item.item.get(key.REPORTS, {}).get(report.instance_id)
        known = known or item.item.get(key.FORMER, {}).get(report.instance_id)
        if report.instance_id not in item.item.get(key.MEMBERS, {}) or known is None:
            return Unregistered()
        return StaleReport(known[key.INCARNATION], known[key.SEQ])

    def record_instance_state(self, instance_id: str, state: str, at_ms: int) -> Snapshot | None:
        """Two reads and a write; EC2's events are rare, and most are about other instances."""
        pointer = self._get(key.instance_partition_key(instance_id), MEMBER_SORT_KEY)
        before = self.read(pointer["c"]) if pointer else None
        node = before.nodes.get(instance_id) if before else None
        if before is None or node is None:
            return None
        incarnation = node.report.incarnation if node.report else 0
        known, evidence = f"{shape.EVIDENCE}.#i", Ec2Evidence(state, at_ms, incarnation)
        overtaken = {f":s{n}": earlier for n, earlier in enumerate(overtaken_by(state))}
        written = self._update(
            before.cluster_id,
            f"SET {known} = :e",
            f"{_KNOWN_NODE} AND (attribute_not_exists({known}) OR {known}.t < :t"
            f" OR ({known}.t = :t AND {known}.s IN ({', '.join(overtaken)})))",
            {"#i": instance_id},
            {":e": shape.from_evidence(evidence), ":t": at_ms, **overtaken},
        )
        # An older event than the one known changes nothing, but its snapshot is as good as any.
        return shape.to_snapshot(before.cluster_id, written.item) if written.item else None

    def read(self, cluster_id: str) -> Snapshot | None:
        """One consistent GetItem."""
        item = self._get(key.cluster_partition_key(cluster_id), key.STATE_SORT_KEY)
        return shape.to_snapshot(cluster_id, item) if item else None

    def register(self, cluster_id: str, node: Node, addresses: tuple[Address, ...]) -> str | None:
        """Three writes at the most, each harmless if it is done again after a crash."""
        pointer = {
            "pk": key.instance_partition_key(node.instance_id),
            "sk": MEMBER_SORT_KEY,
            "c": cluster_id,
        }
        before = self._put(pointer)
        empty = {
            "pk": key.cluster_partition_key(cluster_id),
            "sk": key.STATE_SORT_KEY,
            key.VERSION: 0,
            key.TABLE_ID: secrets.token_hex(4),
            **{part: {} for part in (key.MEMBERS, key.REPORTS, key.ADDRESSES)},
            **{part: {} for part in (shape.ALARMS, shape.EVIDENCE)},
        }
        self._put_new(empty)
        names = {"#i": node.instance_id, "#v": key.VERSION}
        values: dict[str, Any] = {":n": shape.from_node(node), ":one": 1}
        sets = [f"{key.MEMBERS}.#i = :n", "#v = #v + :one"]
        for index, address in enumerate(addresses):
            names[f"#a{index}"] = address.resource
            values[f":a{index}"] = shape.from_address(address)
            path = f"{key.ADDRESSES}.#a{index}"
            sets.append(f"{path} = if_not_exists({path}, :a{index})")
        self._update(cluster_id, f"SET {', '.join(sets)}", "attribute_exists(pk)", names, values)
        former = before.get("c")
        return former if isinstance(former, str) else None

    def readdress(
        self, snapshot: Snapshot, addresses: Mapping[str, Address]
    ) -> Committed | LostRace:
        """One UpdateItem, conditional on the version."""
        change = Change(snapshot, None)
        entries = {resource: shape.from_address(a) for resource, a in addresses.items()}
        change.values[":all"] = entries
        return self._changed(
            change,
            f"SET {key.ADDRESSES} = :all, {change.sets}",
            lambda item: item[key.ADDRESSES] == entries,
        )

    def forget(
        self, snapshot: Snapshot, instance_ids: Collection[str], line: HistoryEntry | None = None
    ) -> Committed | LostRace:
        """One UpdateItem, conditional on the version and on what each of them said last."""
        change = Change(snapshot, line)
        names = {f"#i{index}": instance for index, instance in enumerate(instance_ids)}
        parts = (key.MEMBERS, key.REPORTS, shape.ALARMS, shape.EVIDENCE)
        gone = ", ".join(f"{part}.{name}" for name in names for part in parts)
        former = shape.from_former(former_with(snapshot, instance_ids))
        change.values[":former"] = former
        change.rest_on(reports_of(snapshot, instance_ids))
        sets = f"{change.sets}, {key.FORMER} = :former"
        for index, address in enumerate(unheld(snapshot, instance_ids)):
            names[f"#a{index}"] = address.resource
            change.values[f":a{index}"] = shape.from_address(address)
            sets += f", {key.ADDRESSES}.#a{index} = :a{index}"
        change.names |= names
        return self._changed(
            change,
            f"SET {sets} REMOVE {gone}",
            lambda item: not set(instance_ids) & item[key.MEMBERS].keys(),
        )

    def commit(
        self,
        snapshot: Snapshot,
        address: Address,
        rested_on: tuple[ReportSeen, ...],
        line: HistoryEntry | None = None,
        told: Collection[int] = (),
    ) -> Committed | LostRace:
        """One UpdateItem, conditional on the version and on every report that counted."""
        change, record = Change(snapshot, line), shape.from_address(address)
        change.names["#r"], change.values[":a"] = address.resource, record
        change.rest_on(rested_on)
        return self._changed(
            change,
            f"SET {key.ADDRESSES}.#r = :a, {change.sets}{removed(told, change.names)}",
            lambda item: item[key.ADDRESSES].get(address.resource) == record,
        )

    def settle(
        self, snapshot: Snapshot, address: Address, told: Collection[int] = ()
    ) -> Committed | LostRace:
        """One UpdateItem of the fields that a move changes: an order that came meanwhile stays."""
        path, granted = f"{key.ADDRESSES}.#r", snapshot.addresses[address.resource]
        # "as" is a reserved word of expressions, so the fields go by names.
        names = {"#v": key.VERSION, "#r": address.resource, "#t": key.TERM, "#p": key.PHASE}
        names |= {"#as": "as", "#e": "e", "#dn": shape.DENIALS}
        values = {
            ":one": 1,
            ":term": address.term,
            ":moving": key.MOVING,
            ":settled": address.phase.value,
            ":now": address.changed_at_ms,
            ":granted": granted.changed_at_ms,
            ":deadline": granted.deadline_ms,
            ":as": address.association_id or "",
            ":e": address.interface_id or "",
            ":dn": address.denials,
        }
        written = {
            key.TERM: address.term,
            key.PHASE: address.phase.value,
            "ch": address.changed_at_ms,
            "as": address.association_id or "",
            "e": address.interface_id or "",
            shape.DENIALS: address.denials,
        }
        outcome = self._update(
            snapshot.cluster_id,
            f"SET {path}.#p = :settled, {path}.ch = :now, {path}.#as = :as, {path}.#e = :e,"
            f" {path}.#dn = :dn, #v = #v + :one{removed(told, names)}",
            f"{path}.#t = :term AND {path}.#p = :moving AND {path}.ch = :granted"
            f" AND {path}.d = :deadline",
            names,
            values,
            is_done=lambda item: (
                written.items() <= item[key.ADDRESSES].get(address.resource, {}).items()
            ),
        )
        if isinstance(outcome, Refused):
            return LostRace()
        return Committed(shape.to_snapshot(snapshot.cluster_id, outcome.item))

    def pause(
        self, snapshot: Snapshot, until_ms: int, line: HistoryEntry | None = None
    ) -> Committed | LostRace:
        """One UpdateItem, conditional on the version."""
        change = Change(snapshot, line)
        change.values[":until"] = until_ms
        return self._changed(
            change,
            f"SET {key.PAUSED_UNTIL} = :until, {change.sets}",
            lambda item: item.get(key.PAUSED_UNTIL, 0) == until_ms,
        )

    def append_history(self, entry: HistoryEntry) -> None:
        """One PutItem; the key says which step it was, so a repeated step keeps its first line."""
        which = f"{entry.at_ms:013d}#{entry.version:010d}"
        item = {
            "pk": key.cluster_partition_key(entry.cluster_id),
            "sk": f"history#{which}#{entry.resource}#{entry.term}#{entry.kind}",
            "kind": entry.kind,
            "sentence": entry.sentence,
            "evidence": entry.evidence,
            "ttl": entry.at_ms // 1000 + HISTORY_DAYS * 86_400,
        }
        self._put_new(item)

    def drop_waiting(self, cluster_id: str, told: Collection[int]) -> None:
        """One UpdateItem; it changes no version, as it changes nothing that is decided on."""
        names = {"#x": shape.WAITING}
        update = removed(told, names).lstrip()
        self._update(cluster_id, update, "attribute_type(#x, :map)", names, {":map": "M"})

    def _changed(
        self, change: Change, update: str, holds: Callable[[Item], bool]
    ) -> Committed | LostRace:
        """A write on condition of the version; `holds`: whether an item has its content."""
        cluster_id, next_version = change.snapshot.cluster_id, change.snapshot.version + 1
        outcome = self._update(
            cluster_id,
            update,
            " AND ".join(change.clauses),
            change.names,
            change.values,
            is_done=lambda item: holds(item) and change.is_in(item),
        )
        if isinstance(outcome, Written):
            return Committed(shape.to_snapshot(cluster_id, outcome.item))
        newest = outcome.item.get(key.VERSION, 0)
        return LostRace(unsure=outcome.retried and newest > next_version)
