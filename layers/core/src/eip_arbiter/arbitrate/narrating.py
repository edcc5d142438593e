"""What is said of a decision: the fields of its log line, where an address is, the evidence."""

from __future__ import annotations

import json

from eip_arbiter.decision.snapshot import Address, Phase, Snapshot


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


def evidence(snapshot: Snapshot) -> str:
    """The reports that were known, as JSON for people and machines."""
    return json.dumps(
        {
            node.name: {
                "instance": node.instance_id,
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
