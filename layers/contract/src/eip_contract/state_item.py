"""The state item of a cluster as it lies in the table, as far as nodes may read it.

The control plane writes the item (only its DynamoDB store knows all of it); a node reads the item
with one GetItem to learn who holds its addresses. Keys are short since a two-node item has to stay
below 1 KB, one write unit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

STATE_SORT_KEY = "state"

# Top level of the item.
VERSION = "v"
MEMBERS = "m"
REPORTS = "r"
ADDRESSES = "a"
PAUSED_UNTIL = "pu"
TABLE_ID = "id"
"""Made once with the item: terms are compared only under one id, since a new table begins anew."""

FORMER = "fo"
"""The newest report of nodes that were forgotten, by their ids; not there before the first one."""

# Of a registered node.
PRIVATE_IPS = "ip"
OWN_ELASTIC_IPS = "o"
"""By private address, the Elastic IPs of the instance that are none of the cluster's."""

# Of a report's record.
INCARNATION = "i"
SEQ = "s"
LATE = "l"
NODE_NAME = "n"

# Of an address.
HOLDER = "h"
TERM = "t"
PHASE = "p"
PUBLIC_IP = "pub"
PRIVATE_IP_INDEX = "i"
ORDER = "o"
REFUSAL = "rf"

# Of an order, and of a refusal.
ORDER_ID = "id"
ORDER_TARGET = "to"
ORDER_UNTIL = "u"
REFUSED_CLAIMANT = "c"

SETTLED, MOVING = "settled", "moving"
LATE_MS = 5_000
"""A report that came later than this says nothing of whether its node speaks now."""


@dataclass(frozen=True)
class AddressStatus:
    """One address as a node needs to know it; instance ids, or None where nobody is."""

    resource: str
    public_ip: str
    holder: str | None
    term: int
    phase: str
    order_id: str | None
    order_target: str | None
    order_until_ms: int
    refused_claimant: str | None


@dataclass(frozen=True)
class ClusterStatus:
    """What a node reads: addresses by resource, node names by instance id, last reports.

    `last_reports` maps an instance id to the `(incarnation, seq)` that the control plane has seen
    last; a reader that watches it advance knows that the other node still speaks. `paused_until_ms`
    is 0 where the cluster is not paused; `table_id` is "" where an older version made the item.
    `late` are the instances whose last report was delivered too late to tell that they speak now;
    `former` has the last reports of those that were forgotten. `facts` are what EC2 said of each
    instance, as it was registered: a reader only sees that they changed. `own_elastic_ips` are by
    instance and private address those that are none of the cluster's, as EC2 said last;
    `endangered` are by instance those of them that an address of the cluster would throw off.
    """

    version: int
    addresses: Mapping[str, AddressStatus]
    node_names: Mapping[str, str]
    last_reports: Mapping[str, tuple[int, int]]
    paused_until_ms: int = 0
    table_id: str = ""
    late: frozenset[str] = frozenset()
    former: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    facts: Mapping[str, object] = field(default_factory=dict)
    own_elastic_ips: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    endangered: Mapping[str, str] = field(default_factory=dict)


def cluster_partition_key(cluster_id: str) -> str:
    """The partition key of everything that belongs to a cluster."""
    return f"cluster#{cluster_id}"


def instance_partition_key(instance_id: str) -> str:
    """The partition key of the pointer from an instance to its cluster."""
    return f"instance#{instance_id}"


def to_attribute(value: Any) -> dict[str, Any]:
    """A plain value as DynamoDB's JSON.

    Raises:
        TypeError: for a value that the item never holds.
    """
    if value is None:
        return {"NULL": True}
    if isinstance(value, bool):
        return {"BOOL": value}
    if isinstance(value, int):
        return {"N": str(value)}
    if isinstance(value, str):
        return {"S": value}
    if isinstance(value, (list, tuple)):
        return {"L": [to_attribute(entry) for entry in value]}
    if isinstance(value, Mapping):
        return {"M": {key: to_attribute(entry) for key, entry in value.items()}}
    raise TypeError(f"{type(value).__name__} has no place in the state item")


def from_attribute(attribute: Mapping[str, Any]) -> Any:
    """The plain value of DynamoDB's JSON; numbers are whole.

    Raises:
        ValueError: for a type that the item never holds.
    """
    ((kind, value),) = attribute.items()
    if kind == "N":
        return int(value)
    if kind in ("S", "BOOL"):
        return value
    if kind == "NULL":
        return None
    if kind == "L":
        return [from_attribute(entry) for entry in value]
    if kind == "M":
        return {key: from_attribute(entry) for key, entry in value.items()}
    raise ValueError(f"attribute type {kind} has no place in the state item")


def read_status(item: Mapping[str, Mapping[str, Any]]) -> ClusterStatus:
    """Reads what a node may know from the item in DynamoDB's JSON.

    Raises:
        KeyError, ValueError: when the item is not a state item of this version.
    """
    plain = {key: from_attribute(value) for key, value in item.items()}
    reports = plain[REPORTS]
    return ClusterStatus(
        version=plain[VERSION],
        addresses={name: _address(name, raw) for name, raw in plain[ADDRESSES].items()},
        node_names={instance: record[NODE_NAME] for instance, record in reports.items()},
        last_reports={
            instance: (record[INCARNATION], record[SEQ]) for instance, record in reports.items()
        },
        paused_until_ms=plain.get(PAUSED_UNTIL, 0),
        table_id=plain.get(TABLE_ID, ""),
        late=frozenset(i for i, record in reports.items() if record.get(LATE, 0) > LATE_MS),
        former={i: (raw[INCARNATION], raw[SEQ]) for i, raw in plain.get(FORMER, {}).items()},
        facts=plain.get(MEMBERS, {}),
        own_elastic_ips={
            i: raw.get(OWN_ELASTIC_IPS, {}) for i, raw in plain.get(MEMBERS, {}).items()
        },
        endangered=_endangered(plain),
    )


def _endangered(plain: Mapping[str, Any]) -> dict[str, str]:
    """By instance, its own Elastic IP where an address of the cluster is to be."""
    indexes = {raw.get(PRIVATE_IP_INDEX, 0) for raw in plain[ADDRESSES].values()}
    return {
        instance: own
        for instance, raw in plain.get(MEMBERS, {}).items()
        for index, private_ip in enumerate(raw[PRIVATE_IPS])
        if index in indexes and (own := raw.get(OWN_ELASTIC_IPS, {}).get(private_ip))
    }


def _address(resource: str, raw: Mapping[str, Any]) -> AddressStatus:
    order = raw.get(ORDER) or {}
    refusal = raw.get(REFUSAL) or {}
    return AddressStatus(
        resource=resource,
        public_ip=raw[PUBLIC_IP],
        holder=raw.get(HOLDER),
        term=raw[TERM],
        phase=raw[PHASE],
        order_id=order.get(ORDER_ID),
        order_target=order.get(ORDER_TARGET),
        order_until_ms=order.get(ORDER_UNTIL, 0),
        refused_claimant=refusal.get(REFUSED_CLAIMANT),
    )
