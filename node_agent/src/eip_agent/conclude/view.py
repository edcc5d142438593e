"""What a node makes of what it sees: states, suspects, pending claims, cadence and cause.

Pure functions of one `Sight`; no clock, no input or output. The questions of the resource agent
and of clean-up are answered in `verdicts`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING

from eip_contract.state_item import SETTLED

if TYPE_CHECKING:
    from eip_contract.report import NodeReport
    from eip_contract.state_item import AddressStatus

    from eip_agent.remember.sight import Sight
    from eip_agent.settings import Settings

SETTLING_SECONDS = 15.0
"""For so long Pacemaker's view may contradict the resource agent's last word."""

ORDER_PATIENCE_SECONDS = 10.0
"""For so long a copy that runs here makes room for a failover order that sends its address away."""

URGENT_SECONDS, PRESSING_SECONDS = 30.0, 300.0
"""How long a claim is repeated at the claim's cadence, and at the alert one: then it is no news."""

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
    # Before Pacemaker's first settled word nothing is known, which is not that nothing runs.
    role = s.last_roles.get(resource, "unknown")
    if word is not None and word.state in ("starting", "stopped"):
        return word.state
    if s.pacemaker.state in ("offline", "unknown"):
        never = word is None and role == "stopped"
        return "stopped" if never and s.pacemaker.state == "offline" else "unknown"
    if word is None and role == "stopped" and s.pacemaker_trouble:
        # Pacemaker may have started it since the view that stands; it is not given up by that.
        return "unknown"
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
    """Whether the address is ours, on its way to another node by order, or also served there."""
    address = s.address(resource)
    if address is None or address.holder is None:
        return False
    if address.holder == s.instance_id or makes_room(s, address):
        return True
    return resource not in s.words and runs_there_as_well(s, resource, address)


def makes_room(s: Sight, address: AddressStatus) -> bool:
    """Whether an order takes the address away, and Pacemaker may well follow.

    Not for long, and not where the target is lost: if Pacemaker does not follow, this copy is the
    only one, and its claim is the only evidence on which the address can come back.
    """
    if address.holder != address.order_target:
        return False
    target = s.holder_name(address)
    since = s.orders_since.get(address.order_id or "", s.now)
    in_sight = target in s.pacemaker.members and target not in lost_peers(s)
    return in_sight and s.now - since < ORDER_PATIENCE_SECONDS


def runs_there_as_well(s: Sight, resource: str, address: AddressStatus) -> bool:
    """Whether Pacemaker runs a resource here and on the holder, both in its sight.

    Of one that is watched as it is, a clone that runs on every node, that is no split-brain.
    """
    running_on = s.pacemaker.running_on.get(resource, frozenset())
    return s.node_name in running_on and holder_runs_it(s, resource, address)


def holder_runs_it(s: Sight, resource: str, address: AddressStatus) -> bool:
    """Whether the holder is a member in sight on which Pacemaker already runs the resource."""
    name = s.holder_name(address)
    return (
        name != s.node_name
        and name in s.pacemaker.members
        and name not in lost_peers(s)
        and name in s.pacemaker.running_on.get(resource, frozenset())
    )


def cadence_seconds(
    s: Sight,
    settings: Settings,
    suspects: frozenset[str],
    pending: tuple[str, ...],
    pending_seconds: float = 0.0,
) -> float:
    """How soon the next report follows when nothing changes.

    `pending_seconds` is for how long the youngest of the pending claims has stood as it is.
    """
    if pending and pending_seconds < URGENT_SECONDS:
        return settings.claim_seconds
    if pending and pending_seconds < PRESSING_SECONDS:
        return settings.alert_seconds
    addresses = s.status.addresses.values() if s.status else ()
    mine = [address for address in addresses if address.holder == s.instance_id]
    # A move that was not finished is resumed by the next report.
    challenged = any(each.refused_claimant or each.phase != SETTLED for each in mine)
    # Who cannot see a cut might answer calmly while the other side counts on an answer each second.
    unseen = s.pacemaker_trouble or s.links_unread
    troubled = s.pacemaker.state in ("unknown", "pending") or unseen
    alert = suspects or challenged or troubled or any(_is_missed(s, name) for name in s.owed)
    return settings.alert_seconds if alert else settings.calm_seconds


def _is_missed(s: Sight, resource: str) -> bool:
    """Whether a refused start may be all that keeps a resource, which runs nowhere, from running.

    What refused it may end at any time, and each report is what the control plane acts upon.
    """
    return s.pacemaker.state in SETTLED_STATES and not s.pacemaker.running_on.get(resource)


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
