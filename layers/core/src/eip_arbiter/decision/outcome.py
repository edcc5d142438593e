"""What a decision can be. Each is a type of its own and says its rule and one plain sentence."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from eip_arbiter.decision.snapshot import Order, Refusal, Snapshot


@dataclass(frozen=True, slots=True)
class ReportSeen:
    """A report that a decision rested on: if a newer one is there, the decision must not stand."""

    instance_id: str
    incarnation: int
    seq: int


def reports_of(snapshot: Snapshot, instance_ids: Collection[str]) -> tuple[ReportSeen, ...]:
    """The newest reports of these nodes, of those that have one."""
    nodes = [snapshot.nodes[i] for i in instance_ids if i in snapshot.nodes]
    return tuple(
        ReportSeen(node.instance_id, node.report.incarnation, node.report.seq)
        for node in nodes
        if node.report
    )


@dataclass(frozen=True, slots=True)
class Keep:
    """Nothing changes; `calm` where nothing is going on either, so that nobody need be told."""

    rule: str
    sentence: str
    calm: bool = False


@dataclass(frozen=True, slots=True)
class Note:
    """The address stays; what is remembered of a refused challenge or of an order changes."""

    rule: str
    sentence: str
    rested_on: tuple[ReportSeen, ...]
    refusal: Refusal | None
    order: Order | None


@dataclass(frozen=True, slots=True)
class Grant:
    """The address goes, or goes again, to `holder` under a new term.

    `ends_order`: an order that stood is over by this very step.
    """

    rule: str
    sentence: str
    rested_on: tuple[ReportSeen, ...]
    holder: str
    ends_order: bool = False


@dataclass(frozen=True, slots=True)
class Release:
    """The address is taken off the node that released it."""

    rule: str
    sentence: str
    rested_on: tuple[ReportSeen, ...]


@dataclass(frozen=True, slots=True)
class Resume:
    """A move that nobody finished is carried on under its own term, by whoever commits this."""

    rule: str
    sentence: str
    rested_on: tuple[ReportSeen, ...] = ()


Decision = Keep | Note | Grant | Release | Resume
"""A decision about one address."""

Change = Note | Grant | Release | Resume
"""A decision that has to be committed before anything is done."""
