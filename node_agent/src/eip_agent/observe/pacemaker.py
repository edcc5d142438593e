"""What `crm_mon --output-as=xml` and `corosync-quorumtool -s` say, as plain values.

Pure parsing: no process is run here. Pacemaker's former role names are mapped in this module only.
"""

from __future__ import annotations

import dataclasses
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from eip_contract.fields import NAME

from eip_agent.remember.sight import PacemakerView

RC_DISCONNECTED = 102
"""`crm_mon`'s exit status and `<status code>` when no Pacemaker runs here."""

_RC_PENDING = 193
"""The `rc` that Pacemaker shows for an operation which is under way."""

_FAILED = re.compile(r"(?P<resource>[^:]+?)(?::[0-9]+)?_(?:start|monitor)_[0-9]+\Z")
"""The key of an operation, `eip_monitor_10000`; a clone's instance is `eip:0`."""

_OPERATION = re.compile(r"(?P<resource>[^:]+?)(?::[0-9]+)?_[a-z-]+_[0-9]+\Z")
"""The same of any action; `eip_metrics_monitor_0` is not one of `eip`."""

_CURRENT_ROLES = {"Master": "Promoted", "Slave": "Unpromoted"}
_UNDER_WAY = ("Starting", "Stopping", "Promoting", "Demoting", "Migrating")
_STATES = {
    "Started": "started",
    "Promoted": "started",
    "Stopping": "started",  # it runs until it has stopped
    "Demoting": "started",
    "Starting": "starting",
    "Promoting": "starting",
}

_REMOTE = "ocf:pacemaker:remote"
_LATER = {"leading": "started", "incomplete": "stopped"}
"""What a part that runs alone is called here, and what it is once no more of it has come."""

_BEST_FIRST = ("started", "starting", "leading", "incomplete", "failed", "stopped")


def parse_crm_mon(text: str, node_name: str, watched: Iterable[str]) -> PacemakerView:
    """Reads one output of `crm_mon -1 --output-as=xml`; whatever is unreadable is `unknown`."""
    try:
        root = ET.fromstring(text)  # noqa: S314 - see the import
    except ET.ParseError:
        return PacemakerView()
    status = root.find("status")
    if status is not None and status.get("code") == str(RC_DISCONNECTED):
        return PacemakerView(state="offline")
    # Pacemaker Remote, guest and bundle nodes are nobody's peers: they have no Corosync.
    nodes = {
        node.get("name", ""): node
        for node in root.iterfind("nodes/node")
        if node.get("type", "member") == "member" and NAME.match(node.get("name", ""))
    }
    if node_name not in nodes:
        return PacemakerView()
    dc = root.find("summary/current_dc")
    options = root.find("summary/cluster_options")
    view = PacemakerView(
        state=_own_state(nodes[node_name], options),
        dc=dc.get("name") if dc is not None and dc.get("name") in nodes else None,
        quorate=dc is not None and _true(dc, "with_quorum"),
        members=tuple(sorted(name for name, node in nodes.items() if _true(node, "online"))),
        lost=_offline(nodes, expected_up=True) - {node_name},
        left=_offline(nodes, expected_up=False) - {node_name},
        node_ids={
            name: int(node.get("id", "0"))
            for name, node in nodes.items()
            if node.get("id", "").isdigit()
        },
        failed_here=frozenset(
            failed["resource"]
            for failure in root.iterfind("failures/failure")
            if failure.get("node") == node_name
            and (failed := _FAILED.match(failure.get("op_key", "")))
        ),
        failing=("Pacemaker node health is red",)
        if nodes[node_name].get("health") == "red"
        else (),
    )
    view = dataclasses.replace(view, under_way=any(map(_is_under_way, root.iter("resource"))))
    return _with_resources(view, root, node_name, watched)


def _is_under_way(resource: ET.Element) -> bool:
    """Whether Pacemaker is changing where this runs; a monitor changes nothing."""
    return any(resource.get(name, "") in _UNDER_WAY for name in ("role", "pending"))


def parse_quorum_mode(text: str) -> str:
    """The report's `quorum_mode` from the flags that `corosync-quorumtool -s` prints."""
    for line in text.splitlines():
        if line.startswith("Flags:"):
            flags = line.split()[1:]
            if "Qdevice" in flags:
                return "device"
            return "two_node" if "2Node" in flags else "majority"
    return "unknown"


def _own_state(node: ET.Element, options: ET.Element | None) -> str:
    if not _true(node, "online") or _true(node, "pending"):
        return "pending"
    cluster_wide = options is not None and _true(options, "maintenance-mode")
    if cluster_wide or _true(node, "maintenance"):
        return "maintenance"
    return "standby" if _true(node, "standby") or _true(node, "standby_onfail") else "online"


def _offline(nodes: Mapping[str, ET.Element], *, expected_up: bool) -> frozenset[str]:
    return frozenset(
        name
        for name, node in nodes.items()
        if not _true(node, "online") and _true(node, "expected_up") == expected_up
    )


def _with_resources(
    view: PacemakerView, root: ET.Element, node_name: str, watched: Iterable[str]
) -> PacemakerView:
    roles: dict[str, str] = {}
    running_on: dict[str, frozenset[str]] = {}
    tops: dict[str, str] = {}
    incomplete: dict[str, str] = {}
    for name in watched:
        ways: list[_Way] = []
        for top in root.iterfind("resources/*"):
            found = _ways(top, name)
            ways += found
            if found:
                tops[name] = top.get("id", name)
        by_node = {node: _state_on(node, ways, root) for node in view.node_ids}
        roles[name] = by_node.get(node_name, "stopped")
        if roles[name] in _LATER:
            roles[name], incomplete[name] = "starting", _LATER[roles[name]]
        running_on[name] = frozenset(node for node, role in by_node.items() if role == "started")
    return dataclasses.replace(
        view, roles=roles, running_on=running_on, tops=tops, incomplete=incomplete
    )


@dataclass(frozen=True)
class _Way:
    """One way in which a resource can run: each of its primitives, in order, with its instances.

    A bundle has one for each replica; everything else has only one. In a replica the primitive runs
    on a node of its own, which `hosts` translates.
    """

    members: Mapping[str, list[ET.Element]]
    is_replica: bool = False
    hosts: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def places(self, instance: ET.Element) -> list[str]:
        """The cluster's nodes on which an instance is active."""
        names = [place.get("name", "") for place in instance.iterfind("node")]
        return [self.hosts.get(name, name) for name in names]


def _ways(top: ET.Element, name: str) -> list[_Way]:
    """The ways in which `name` can run, none where this element knows nothing of it."""
    replicas = top.findall("replica")
    if not replicas:
        copies = _copies(top, name)
        return [_Way(_by_name(copies))] if copies else []
    ways = []
    for replica in replicas:
        primitives = list(replica.iter("resource"))
        whole = top.get("id") == name
        copies = [copy for copy in primitives if whole or _name(copy) == name]
        hosts = {
            copy.get("id", ""): place.get("name", "")
            for copy in primitives
            if copy.get("resource_agent") == _REMOTE
            for place in copy.iterfind("node")
        }
        if copies:
            ways.append(_Way(_by_name(copies), True, hosts))
    return ways


def _copies(element: ET.Element, name: str) -> list[ET.Element]:
    """The primitives that `name` stands for: itself, its clones' copies, or a group's members."""
    if _name(element) == name:
        return list(element.iter("resource"))
    return [copy for child in element if child.tag != "node" for copy in _copies(child, name)]


def _name(element: ET.Element) -> str:
    return element.get("id", "").split(":")[0]


def _by_name(copies: Iterable[ET.Element]) -> dict[str, list[ET.Element]]:
    members: dict[str, list[ET.Element]] = {}
    for copy in copies:
        members.setdefault(_name(copy), []).append(copy)
    return members


def _state_on(node: str, ways: Iterable[_Way], root: ET.Element) -> str:
    """One state for a resource on one node: the best of the ways in which it can run there."""
    return min((_way_on(node, way, root) for way in ways), key=_BEST_FIRST.index, default="stopped")


def _way_on(node: str, way: _Way, root: ET.Element) -> str:
    """Started when all is that Pacemaker means to run: the members before the first disabled one.

    Where only the first members of a group run, and none starts, the others may follow; or this is
    all that Pacemaker can run of it. A replica without its service never is.
    """
    states = {name: _member_state(node, way, found, root) for name, found in way.members.items()}
    meant = list(states.values())
    for number, instances in enumerate(way.members.values()):
        if any(instance.get("target_role", "").lower() == "stopped" for instance in instances):
            meant = meant[:number]
            break
    counted = meant or list(states.values())
    if "failed" in counted:
        return "failed"
    if all(state == "started" for state in counted):
        return "started"
    if "starting" in meant:
        return "starting"
    if way.is_replica and "started" in meant:
        return "incomplete"
    return "leading" if meant[:1] == ["started"] else "stopped"


def _member_state(node: str, way: _Way, instances: Iterable[ET.Element], root: ET.Element) -> str:
    for instance in instances:
        places = way.places(instance)
        if node in places and len(places) > 1:
            return _state_by_history(node, instance.get("id", ""), root)
        if node in places:
            role = instance.get("role", "")
            state = _STATES.get(_CURRENT_ROLES.get(role, role), "stopped")
            if _true(instance, "failed") and not _true(instance, "failure_ignored"):
                return "failed"
            # A pending operation names what is about to be; only a start changes what we report.
            pending = _STATES.get(instance.get("pending", ""), "")
            return "starting" if state == "stopped" and pending == "starting" else state
    return "stopped"


def _state_by_history(node: str, resource: str, root: ET.Element) -> str:
    """The state of a resource that is active on several nodes, as after a partition.

    `crm_mon` then gives one role and one `failed` for all of them: a start that still waits or has
    failed on the other node would look like ours. Each node's own operations tell them apart.
    """
    for failure in root.iterfind("failures/failure"):
        operation = _OPERATION.match(failure.get("op_key", ""))
        named = operation["resource"] if operation else ""
        if failure.get("node") == node and named == resource.partition(":")[0]:
            return "failed"
    for history in root.iterfind(f"node_history/node[@name='{node}']/resource_history"):
        pending = history.find(f"operation_history[@task='start'][@rc='{_RC_PENDING}']")
        if history.get("id") == resource and pending is not None:
            return "starting"
    return "started"


def _true(element: ET.Element, attribute: str) -> bool:
    return element.get(attribute) == "true"
