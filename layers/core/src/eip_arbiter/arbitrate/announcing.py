"""What is told on the bus, for people and for programs: six kinds of event.

An announcement is built from the state and its time alone. It is sent after the state has settled:
telling must never hurt a move. `events/announced/` has a sample of each, with its schema beside.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from eip_arbiter.decision.snapshot import Address, Node, Snapshot

SOURCE = "eip-arbiter"
"""The `source` of every announcement; nodes cannot use it, their policy names another one."""
SCHEMA_VERSION = 1
ADDRESS_MOVED, SPLIT_BRAIN = "Address Moved", "Split Brain"
MOVE_FAILED, BLOCKED = "Move Failed", "Blocked"
HOLDER_SILENT, NOT_READY = "Holder Silent", "Not Ready"
LASTING = frozenset({SPLIT_BRAIN, MOVE_FAILED, BLOCKED, HOLDER_SILENT, NOT_READY})
"""Kinds that would be told again and again while a condition lasts, or comes and goes."""
_SAFE = dict.fromkeys((*range(32), 127), " ") | {ord('"'): "'", ord("\\"): "/"}
"""For what breaks JSON: the notice's template puts a sentence between quotes, where EventBridge
escapes nothing. Sentences quote EC2's errors and the nodes' own checks.
https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-transform-target-input.html"""


@dataclass(frozen=True, slots=True)
class Announcement:
    """One event: its `detail-type`, and its detail as JSON has it."""

    kind: str
    detail: dict[str, Any]

    @property
    def about(self) -> tuple[str, ...]:
        """What makes two announcements of a lasting condition the same."""
        return self.kind, str(self.detail["cluster_id"]), str(self.detail["resource"])

    def with_left_out(self, count: int) -> Announcement:
        """The same, saying how many like it were not told since the last one that was."""
        sentence = f"{self.detail['sentence']} ({count} more like this in between)"
        return Announcement(self.kind, {**self.detail, "sentence": sentence, "left_out": count})


class Announcer(Protocol):
    """Where announcements go. Neither method raises for a bus that is out of reach."""

    def announce(self, announcement: Announcement) -> bool:
        """Takes one in; nothing is sent yet. False if it is left out, as one like it was told."""
        ...

    def send(self) -> None:
        """Sends what was taken in since; what could not be sent is counted and logged."""
        ...


class Silent:
    """An announcer that tells nobody, for an arbiter that has no bus."""

    def announce(self, announcement: Announcement) -> bool:  # noqa: ARG002
        """Does nothing."""
        return True

    def send(self) -> None:
        """Does nothing."""


def address_moved(
    snapshot: Snapshot, address: Address, came_from: str | None, sentence: str
) -> Announcement:
    """The address is settled on another node, on the same one again, or on nobody.

    Args:
        snapshot: the cluster after the settlement.
        address: the address before the settlement, when the grant was committed.
        came_from: the interface on which EC2 was last known to have it.
        sentence: why.
    """
    before = next((n for n in snapshot.nodes.values() if n.interface_id == came_from), None)
    settled_at_ms = snapshot.addresses[address.resource].changed_at_ms
    more = {
        "from": _node(before),
        "rule": address.rule,
        "duration_ms": settled_at_ms - address.changed_at_ms,
    }
    return _about(ADDRESS_MOVED, snapshot, address, settled_at_ms, sentence, **more)


def split_brain(
    snapshot: Snapshot, address: Address, rule: str, sentence: str, at_ms: int
) -> Announcement:
    """Another node claims the address of a holder that answers."""
    claimant = snapshot.nodes.get(address.refusal.claimant) if address.refusal else None
    more = {"claimant": _node(claimant), "rule": rule}
    return _about(SPLIT_BRAIN, snapshot, address, at_ms, sentence, **more)


def move_failed(
    snapshot: Snapshot, address: Address, code: str, sentence: str, at_ms: int
) -> Announcement:
    """EC2 did not do what was granted; `code` is EC2's. The move is resumed by R031."""
    more = {"code": code, "rule": address.rule}
    return _about(MOVE_FAILED, snapshot, address, at_ms, sentence, **more)


def blocked(
    snapshot: Snapshot, address: Address, rule: str, sentence: str, at_ms: int
) -> Announcement:
    """The flap brake holds a move back."""
    return _about(BLOCKED, snapshot, address, at_ms, sentence, rule=rule)


def holder_silent(
    snapshot: Snapshot, address: Address, sentence: str, at_ms: int, silent_for_ms: int
) -> Announcement:
    """The holder has broken its promise of a next report."""
    return _about(HOLDER_SILENT, snapshot, address, at_ms, sentence, silent_for_ms=silent_for_ms)


def not_ready(
    snapshot: Snapshot, address: Address, problems: tuple[str, ...], sentence: str, at_ms: int
) -> Announcement:
    """A failover of this address would not work now."""
    return _about(NOT_READY, snapshot, address, at_ms, sentence, problems=list(problems))


def _about(
    kind: str, snapshot: Snapshot, address: Address, at_ms: int, sentence: str, **more: Any
) -> Announcement:
    detail = {
        "schema_version": SCHEMA_VERSION,
        "cluster_id": snapshot.cluster_id,
        "resource": address.resource,
        "public_ip": address.public_ip,
        "holder": _node(snapshot.nodes.get(address.holder) if address.holder else None),
        "term": address.term,
        "at_ms": at_ms,
        "sentence": sentence.translate(_SAFE),
        **more,
    }
    return Announcement(kind, detail)


def _node(node: Node | None) -> dict[str, str] | None:
    return {"node": node.name, "instance_id": node.instance_id} if node else None
