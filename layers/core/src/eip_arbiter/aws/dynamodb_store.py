"""The state in DynamoDB: one item a cluster, each write one conditional call.

Keys: `cluster#<id>`/`state` is the item, `cluster#<id>`/`history#...` its history and
`instance#<id>`/`member` points from an instance to its cluster, for EC2's own events.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from botocore.exceptions import ClientError
from eip_contract import state_item as key
from eip_contract.report import NodeReport

from eip_arbiter.aws import state_item as shape
from eip_arbiter.decision.outcome import ReportSeen
from eip_arbiter.decision.snapshot import (
    Address,
    Ec2Evidence,
    LastReport,
    Node,
    Snapshot,
    overtaken_by,
    unheld,
)
from eip_arbiter.ports import (
    Committed,
    HistoryEntry,
    LostRace,
    Recorded,
    StaleReport,
    Unregistered,
)

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

HISTORY_DAYS = 90
MEMBER_SORT_KEY = "member"

# One clause a line; each names what it protects from.
_KNOWN_NODE = f"attribute_exists({key.MEMBERS}.#i)"
_NEWER_REPORT = (
    f"(attribute_not_exists({key.REPORTS}.#i) OR {key.REPORTS}.#i.#inc < :inc"
    f" OR ({key.REPORTS}.#i.#inc = :inc AND {key.REPORTS}.#i.#seq < :seq))"
)


class DynamoDbStore:
    """Implements `ports.Store`.

    A throttled or unreachable table raises botocore's own errors: the invocation fails, Lambda
    retries it while the event is young, and nothing was changed.
    """

    def __init__(self, client: DynamoDBClient, table_name: str) -> None:
        self._client = client
        self._table = table_name

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
            f"{_KNOWN_NODE} AND {_NEWER_REPORT}",
            {"#i": report.instance_id, "#inc": key.INCARNATION, "#seq": key.SEQ},
            values,
        )
        if isinstance(item, _Written):
            return Recorded(shape.to_snapshot(report.cluster_id, item.item))
        known = item.item.get(key.REPORTS, {}).get(report.instance_id)
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
        before = self._client.put_item(
            TableName=self._table, Item=_attributes(pointer), ReturnValues="ALL_OLD"
        )
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
        former = _plain(before.get("Attributes", {})).get("c")
        return former if isinstance(former, str) else None

    def readdress(
        self, snapshot: Snapshot, addresses: Mapping[str, Address]
    ) -> Committed | LostRace:
        """One UpdateItem, conditional on the version."""
        entries = {resource: shape.from_address(a) for resource, a in addresses.items()}
        return self._if_version_holds(snapshot, f", {key.ADDRESSES} = :all", {}, {":all": entries})

    def forget(self, snapshot: Snapshot, instance_ids: Collection[str]) -> Committed | LostRace:
        """One UpdateItem, conditional on the version."""
        names = {f"#i{index}": instance for index, instance in enumerate(instance_ids)}
        parts = (key.MEMBERS, key.REPORTS, shape.ALARMS, shape.EVIDENCE)
        gone = ", ".join(f"{part}.{name}" for name in names for part in parts)
        sets, values = "", {}
        for index, address in enumerate(unheld(snapshot, instance_ids)):
            names[f"#a{index}"] = address.resource
            values[f":a{index}"] = shape.from_address(address)
            sets += f", {key.ADDRESSES}.#a{index} = :a{index}"
        return self._if_version_holds(snapshot, f"{sets} REMOVE {gone}", names, values)

    def commit(
        self, snapshot: Snapshot, address: Address, rested_on: tuple[ReportSeen, ...]
    ) -> Committed | LostRace:
        """One UpdateItem, conditional on the version and on every report that counted."""
        names = {"#v": key.VERSION, "#r": address.resource}
        values: dict[str, Any] = {
            ":v": snapshot.version,
            ":next": snapshot.version + 1,
            ":a": shape.from_address(address),
        }
        clauses = ["#v = :v"]
        for index, seen in enumerate(rested_on):
            names |= {f"#i{index}": seen.instance_id, "#inc": key.INCARNATION, "#seq": key.SEQ}
            values |= {f":inc{index}": seen.incarnation, f":seq{index}": seen.seq}
            clauses.append(f"{key.REPORTS}.#i{index}.#inc = :inc{index}")
            clauses.append(f"{key.REPORTS}.#i{index}.#seq = :seq{index}")
        return self._committed(
            snapshot.cluster_id,
            self._update(
                snapshot.cluster_id,
                f"SET {key.ADDRESSES}.#r = :a, #v = :next",
                " AND ".join(clauses),
                names,
                values,
            ),
        )

    def settle(self, snapshot: Snapshot, address: Address) -> Committed | LostRace:
        """One UpdateItem of the fields that a move changes: an order that came meanwhile stays."""
        path = f"{key.ADDRESSES}.#r"
        # "as" is a reserved word of expressions, so the fields go by names.
        names = {"#v": key.VERSION, "#r": address.resource, "#t": key.TERM, "#p": key.PHASE}
        names |= {"#as": "as", "#e": "e"}
        values = {
            ":one": 1,
            ":term": address.term,
            ":moving": key.MOVING,
            ":settled": address.phase.value,
            ":now": address.changed_at_ms,
            ":granted": snapshot.addresses[address.resource].changed_at_ms,
            ":as": address.association_id or "",
            ":e": address.interface_id or "",
        }
        return self._committed(
            snapshot.cluster_id,
            self._update(
                snapshot.cluster_id,
                f"SET {path}.#p = :settled, {path}.ch = :now, {path}.#as = :as, {path}.#e = :e,"
                " #v = #v + :one",
                f"{path}.#t = :term AND {path}.#p = :moving AND {path}.ch = :granted",
                names,
                values,
            ),
        )

    def pause(self, snapshot: Snapshot, until_ms: int) -> Committed | LostRace:
        """One UpdateItem, conditional on the version."""
        update = f", {key.PAUSED_UNTIL} = :until"
        return self._if_version_holds(snapshot, update, {}, {":until": until_ms})

    def append_history(self, entry: HistoryEntry) -> None:
        """One PutItem; the key says which step it was, so a repeated step keeps its first line."""
        item = {
            "pk": key.cluster_partition_key(entry.cluster_id),
            "sk": f"history#{entry.at_ms:013d}#{entry.resource}#{entry.term}#{entry.kind}",
            "kind": entry.kind,
            "sentence": entry.sentence,
            "evidence": entry.evidence,
            "ttl": entry.at_ms // 1000 + HISTORY_DAYS * 86_400,
        }
        self._put_new(item)

    def _put_new(self, item: Mapping[str, Any]) -> None:
        """Writes an item unless there is one; the one that is there stays."""
        try:
            self._client.put_item(
                TableName=self._table,
                Item=_attributes(item),
                ConditionExpression="attribute_not_exists(pk)",
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            return

    def _get(self, partition: str, sort: str) -> dict[str, Any] | None:
        answer = self._client.get_item(
            TableName=self._table,
            Key={"pk": {"S": partition}, "sk": {"S": sort}},
            ConsistentRead=True,
        )
        item = answer.get("Item")
        return _plain(item) if item else None

    def _update(
        self,
        cluster_id: str,
        update: str,
        condition: str,
        names: dict[str, str],
        values: Mapping[str, Any],
    ) -> _Written | _Refused:
        try:
            answer = self._client.update_item(
                TableName=self._table,
                Key={
                    "pk": {"S": key.cluster_partition_key(cluster_id)},
                    "sk": {"S": key.STATE_SORT_KEY},
                },
                UpdateExpression=update,
                ConditionExpression=condition,
                ExpressionAttributeNames=names,
                ExpressionAttributeValues=_attributes(values),
                ReturnValues="ALL_NEW",
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except ClientError as error:
            if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
                raise
            return _Refused(_plain(cast("dict[str, Any]", error.response).get("Item", {})))
        return _Written(_plain(answer["Attributes"]))

    def _if_version_holds(
        self, snapshot: Snapshot, update: str, names: dict[str, str], values: Mapping[str, Any]
    ) -> Committed | LostRace:
        """What to SET beside the next version, and more clauses after it."""
        versions = {":v": snapshot.version, ":next": snapshot.version + 1}
        cluster_id, names = snapshot.cluster_id, {"#v": key.VERSION, **names}
        outcome = self._update(
            cluster_id, f"SET #v = :next{update}", "#v = :v", names, {**versions, **values}
        )
        return self._committed(cluster_id, outcome)

    @staticmethod
    def _committed(cluster_id: str, outcome: _Written | _Refused) -> Committed | LostRace:
        if isinstance(outcome, _Refused):
            return LostRace()
        return Committed(shape.to_snapshot(cluster_id, outcome.item))


@dataclass(frozen=True, slots=True)
class _Written:
    """The item after a write."""

    item: dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Refused:
    """The item as it is, since the condition did not hold; empty if there is none."""

    item: dict[str, Any]


def _attributes(plain: Mapping[str, Any]) -> dict[str, Any]:
    return {name: key.to_attribute(value) for name, value in plain.items()}


def _plain(item: Mapping[str, Any]) -> dict[str, Any]:
    return {name: key.from_attribute(value) for name, value in item.items()}
