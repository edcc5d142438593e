"""What a simulated Pacemaker would do next on one side of a cluster: pure, one resource.

The classic set-up: stickiness INFINITY, migration-threshold 1, no-quorum-policy ignore, no fencing.
Between two copies it chooses at once, as with `multiple-active=stop_unexpected`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Role = Literal["Stopped", "Starting", "Started", "Stopping"]


@dataclass(frozen=True)
class Member:
    """One online member of a side: what the resource does there, and since when (seconds)."""

    name: str
    role: Role
    since: float
    banned: bool
    leaving: bool


@dataclass(frozen=True)
class Step:
    """One operation to begin now."""

    operation: Literal["start", "stop"]
    node: str


def next_step(members: Sequence[Member], last_on: str | None, wanted_on: str | None) -> Step | None:
    """The one operation that brings a side nearer to its goal, or None.

    Args:
        members: the side's members.
        last_on: where the resource ran last, which it sticks to.
        wanted_on: where an operator's move wants it, if anywhere.
    """
    active = [m for m in members if m.role != "Stopped"]
    if len(active) > 1:
        expected = min(active, key=lambda m: (m.role != "Started", m.since))
        stray = [m for m in active if m is not expected and m.role == "Started"]
        return Step("stop", stray[0].name) if stray else None
    fit = [m for m in members if not m.banned and not m.leaving]
    if len(active) == 1:
        here = active[0]
        elsewhere = wanted_on not in (None, here.name) and wanted_on in [m.name for m in fit]
        unwanted = here.banned or here.leaving or elsewhere
        return Step("stop", here.name) if here.role == "Started" and unwanted else None
    for name in (wanted_on, last_on, *sorted(m.name for m in fit)):
        if name in [m.name for m in fit]:
            return Step("start", str(name))
    return None


def crm_mon_xml(
    *,
    names: Sequence[str],
    online: Collection[str],
    left: Collection[str],
    roles: Mapping[str, Role],
    failed: Mapping[str, str],
    resource: str,
) -> str:
    """The part of `crm_mon --output-as=xml` that readers use, from one side's point of view.

    Args:
        names: all nodes of the cluster; their ids count from 1.
        online: the members of this side.
        left: nodes that said goodbye, as opposed to those that were lost.
        roles: the resource's role on each member.
        failed: the failed operation's key by node.
        resource: the resource's id.
    """
    dc = min(online)
    active = {name: roles[name] for name in sorted(online) if roles[name] != "Stopped"}
    pending = [role for role in active.values() if role != "Started"]
    role = pending[0] if pending else ("Started" if active else "Stopped")
    nodes = "".join(
        f'<node name="{name}" id="{number}" online="{_flag(name in online)}" standby="false"'
        ' maintenance="false" pending="false" unclean="false" health="green"'
        f' expected_up="{_flag(name not in left)}" is_dc="{_flag(name == dc)}" type="member"/>'
        for number, name in enumerate(names, 1)
    )
    where = "".join(
        f'<node name="{name}" id="{names.index(name) + 1}" cached="true"/>' for name in active
    )
    failures = "".join(
        f'<failure op_key="{key}" node="{name}" exitstatus="error" exitreason="" exitcode="1"'
        ' status="complete"/>'
        for name, key in sorted(failed.items())
    )
    return (
        '<pacemaker-result api-version="2.25" request="crm_mon -1 --output-as=xml">'
        f'<summary><current_dc present="true" name="{dc}" id="{names.index(dc) + 1}"'
        ' with_quorum="true"/><cluster_options stonith-enabled="false"'
        ' no-quorum-policy="ignore" maintenance-mode="false"/></summary>'
        f"<nodes>{nodes}</nodes><resources>"
        f'<resource id="{resource}" resource_agent="ocf:eip-arbiter:eip" role="{role}"'
        f' active="{_flag(bool(active))}" orphaned="false" blocked="false" managed="true"'
        f' failed="false" nodes_running_on="{len(active)}">{where}</resource></resources>'
        f"<failures>{failures}</failures>"
        '<status code="0" message="OK"/></pacemaker-result>\n'
    )


NOT_CONNECTED_XML = (
    '<pacemaker-result api-version="2.25" request="crm_mon -1 --output-as=xml">'
    '<status code="102" message="Not connected"/></pacemaker-result>\n'
)


def _flag(value: bool) -> str:
    return "true" if value else "false"
