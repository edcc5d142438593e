"""What is said of a step: the fields of its log line, where an address is, its line of history."""

from __future__ import annotations

import json
from dataclasses import replace

from eip_arbiter.decision.snapshot import Address, HistoryEntry, Phase, Snapshot

EVERY_RESOURCE = "*"
"""The resource of a line of history that is about the whole cluster; no resource has this name."""


def fields(snapshot: Snapshot, address: Address) -> dict[str, str | int]:
    """What machines read beside the sentence."""
    return {
        "cluster": snapshot.cluster_id,
        "resource": address.resource,
        "public_ip": address.public_ip,
        "holder": address.holder or "",
        "term": address.term,
        "phase": address.phase.value,
    }


def where(snapshot: Snapshot, address: Address) -> str:
    """Where an address is, for a sentence."""
    if address.holder is None:
        return f"{address.public_ip} ({address.resource}) is with nobody"
    name = snapshot.nodes[address.holder].name
    state = "is being moved to" if address.phase is Phase.MOVING else "is on"
    return f"{address.public_ip} ({address.resource}) {state} {name} under term {address.term}"


def line(
    snapshot: Snapshot, address: Address | None, *, kind: str, at_ms: int, sentence: str
) -> HistoryEntry:
    """The line of a step that is about to be committed on this snapshot.

    Args:
        snapshot: what the step rests on; its reports are the line's evidence.
        address: as the step leaves it, None where the step is about the whole cluster.
        kind: grant, release or note.
        at_ms: when, by the arbiter's clock.
        sentence: the rule or verb, a colon, and what was done and why.
    """
    return HistoryEntry(
        cluster_id=snapshot.cluster_id,
        version=snapshot.version + 1,
        resource=address.resource if address else EVERY_RESOURCE,
        term=address.term if address else 0,
        at_ms=at_ms,
        kind=kind,
        sentence=sentence,
        evidence=evidence(snapshot),
    )


def not_at_once(entry: HistoryEntry, address: Address, code: str) -> HistoryEntry:
    """The line of the grant or release in force says that EC2 did not do it; others stay."""
    its_own = entry.kind != "note" and (entry.resource, entry.term, entry.at_ms) == (
        address.resource,
        address.term,
        address.changed_at_ms,
    )
    if not its_own:
        return entry
    return replace(entry, sentence=f"{entry.sentence} (not done at once: {code})")


def evidence(snapshot: Snapshot) -> str:
    """The reports that were known, by instance id, as JSON for people and machines."""
    return json.dumps(
        {
            node.instance_id: {
                "node": node.name,
                "report": f"{node.report.incarnation}.{node.report.seq}",
                "received_at_ms": node.report.received_at_ms,
                "late_ms": node.report.late_ms,
                "pacemaker": node.report.pacemaker_state,
                "members": node.report.members,
                "suspects": sorted(node.report.suspects),
                "resources": {r: s.state for r, s in node.report.resources.items()},
                "ec2": node.ec2.state if node.ec2 else None,
            }
            for node in snapshot.nodes.values()
            if node.report
        },
        separators=(",", ":"),
    )
