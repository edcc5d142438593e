"""What a node makes of what it sees: states, suspects, pending claims, cadence and cause.

Pure functions of one `Sight`; no clock, no input or output. The questions of the resource agent
and of clean-up are answered in `verdicts`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from eip_contract.report import NodeReport

    from eip_agent.remember.sight import Sight
    from eip_agent.settings import Settings

SETTLING_SECONDS = 15.0
"""For so long Pacemaker's view may contradict the resource agent's last word."""

SETTLED_STATES = ("online", "standby", "maintenance")
"""States in which Pacemaker's view of resources here is to be believed; a node that is joining
shows an empty or another partition's view."""


def lost_peers(s: Sight) -> frozenset[str]:
    """Peers that Pacemaker lost, or that Corosync's links do not reach; a clean leave is neither.

    A peer that was never seen since this agent's start counts only if Pacemaker expects it up.
    """
    unreachable = {
        name
        for name, node_id in s.pacemaker.node_ids.items()
        if s.links is not None
        and s.links.get(node_id) is False
        and name != s.node_name
        and name not in s.pacemaker.left
        and name in s.ever_seen
    }
    return s.pacemaker.lost | unreachable


def resource_state(s: Sight, resource: str) -> str:
    """The report's state of a resource here.

    The resource agent's word goes before Pacemaker's view, which lags behind running operations;
    Pacemaker adds failures, and speaks alone for a resource without our resource agent.
    """
    word = s.words.get(resource)
    if word is not None and word.state in ("starting", "stopped"):
        return word.state
    if s.pacemaker.state in ("offline", "unknown"):
        never = word is None and s.last_roles.get(resource, "stopped") == "stopped"
        return "stopped" if never and s.pacemaker.state == "offline" else "unknown"
    role = s.last_roles.get(resource, "stopped")
    if word is None or role == "failed":
        return role
    since = max(word.at, s.contradicted_since.get(resource, s.pacemaker_at))
    return "stopped" if s.pacemaker_at - since > SETTLING_SECONDS else "started"


def awaiting(s: Sight, states: Mapping[str, str]) -> tuple[str, ...]:
    """Resources that run or start here without our knowing that the address is ours."""
    return tuple(
        resource
        for resource, state in sorted(states.items())
        if state == "starting" or (state == "started" and not _held(s, resource))
    )


def _held(s: Sight, resource: str) -> bool:
    """Whether the address is ours, or an order is taking it away and Pacemaker will follow."""
    address = s.address(resource)
    if address is None or address.holder is None:
        return False
    return address.holder in (s.instance_id, address.order_target)


def cadence_seconds(
    s: Sight, settings: Settings, suspects: frozenset[str], pending: tuple[str, ...]
) -> float:
    """How soon the next report follows when nothing changes."""
    if pending:
        return settings.claim_seconds
    challenged = s.status is not None and any(
        address.holder == s.instance_id and address.refused_claimant
        for address in s.status.addresses.values()
    )
    troubled = s.pacemaker.state in ("unknown", "pending")
    return settings.alert_seconds if suspects or challenged or troubled else settings.calm_seconds


def news(report: NodeReport) -> tuple[object, ...]:
    """What of a report is worth telling at once: all but counters, durations and clocks."""
    return (
        dataclasses.replace(report.pacemaker, dc=None),  # an election alone decides nothing
        tuple(suspect.node_name for suspect in report.suspects),
        tuple((name, entry.state) for name, entry in sorted(report.resources.items())),
        report.awaiting,
        report.failing,
        report.public_ips,
        report.order,
        report.next_report_within_ms,
    )


def cause(before: NodeReport | None, report: NodeReport) -> str:
    """Why a report is sent, the weightiest change first."""
    if before is None:
        return "claim" if report.awaiting else "membership"
    if set(report.awaiting) - set(before.awaiting):
        return "claim"
    running = ("started", "starting")
    for name, entry in report.resources.items():
        earlier = before.resources.get(name)
        if earlier is not None and earlier.state in running and entry.state == "stopped":
            return "release"
    peers = {entry.node_name for entry in before.suspects}
    checks = (
        ("operator", report.order != before.order),
        ("membership", report.pacemaker != before.pacemaker),
        ("membership", {entry.node_name for entry in report.suspects} != peers),
        ("resource", _states(report) != _states(before)),
        ("health", (report.failing, report.public_ips) != (before.failing, before.public_ips)),
    )
    return next((name for name, changed in checks if changed), "heartbeat")


def _states(report: NodeReport) -> dict[str, str]:
    return {name: entry.state for name, entry in report.resources.items()}
