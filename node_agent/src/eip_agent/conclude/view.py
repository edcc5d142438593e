"""What a node makes of what it sees: states, suspects, pending claims, cadence and cause.

Pure functions of one `Sight`; no clock, no input or output. The questions of the resource agent
and of clean-up are answered in `verdicts`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from eip_agent.observe.pacemaker import PacemakerView

if TYPE_CHECKING:
    from eip_contract.report import NodeReport
    from eip_contract.state_item import AddressStatus, ClusterStatus

    from eip_agent.settings import Settings

NEVER = float("-inf")
SETTLING_SECONDS = 15.0
"""For so long Pacemaker's view may contradict the resource agent's last word."""

SETTLED_STATES = ("online", "standby", "maintenance")
"""States in which Pacemaker's view of resources here is to be believed; a node that is joining
shows an empty or another partition's view."""


@dataclass(frozen=True)
class Word:
    """The resource agent's last word on a resource here: `starting`, `started` or `stopped`.

    `at` is monotonic. `claim` is the first (incarnation, seq) that can carry a start; `term` and
    `public_ip` are those of the grant, None and empty where none is remembered.
    """

    state: str
    at: float
    claim: tuple[int, int] = (0, 0)
    term: int | None = None
    public_ip: str = ""


@dataclass(frozen=True)
class Sight:
    """All that one look at the world rests on; times are this machine's monotonic seconds.

    `pacemaker_at` and `status_at` are when the reading that brought them began. `last_roles` are
    those of the last settled view, `contradicted_since` tells since when Pacemaker has shown a
    resource stopped that was started here, `link_changed_at` when a link went up or down.
    `advanced_at` tells for each instance when its last report was seen to advance, `absent`
    for each resource when the metadata service first and last said, in one row of reads, that its
    address is not here.
    `publish_trouble` and `status_trouble` are empty while the control plane answers.
    """

    node_name: str
    instance_id: str
    now: float
    pacemaker: PacemakerView = dataclasses.field(default_factory=PacemakerView)
    pacemaker_at: float = NEVER
    quorum_mode: str = "unknown"
    links: Mapping[int, bool] | None = None
    ever_seen: frozenset[str] = frozenset()
    last_roles: Mapping[str, str] = dataclasses.field(default_factory=dict)
    contradicted_since: Mapping[str, float] = dataclasses.field(default_factory=dict)
    link_changed_at: Mapping[int, float] = dataclasses.field(default_factory=dict)
    words: Mapping[str, Word] = dataclasses.field(default_factory=dict)
    status: ClusterStatus | None = None
    status_at: float = NEVER
    advanced_at: Mapping[str, float] = dataclasses.field(default_factory=dict)
    public_ips: tuple[str, ...] | None = None
    absent: Mapping[str, tuple[float, float]] = dataclasses.field(default_factory=dict)
    publish_trouble: str = ""
    status_trouble: str = ""

    def address(self, resource: str) -> AddressStatus | None:
        """What the control plane last said of a resource's address."""
        return None if self.status is None else self.status.addresses.get(resource)

    def holder_name(self, address: AddressStatus) -> str:
        """The holder's node name where the control plane knows it, else its instance id."""
        holder = address.holder or ""
        return holder if self.status is None else self.status.node_names.get(holder, holder)


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
