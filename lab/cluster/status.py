"""What `crm_mon --output-as=xml` says, as values. Reading only: nothing here runs a program."""

from __future__ import annotations

from dataclasses import dataclass
from xml.etree import ElementTree as ET  # Pacemaker's own output, made in the lab


@dataclass(frozen=True)
class NodeView:
    """One node as another sees it; `expected_up` while offline means that it was lost."""

    name: str
    online: bool
    standby: bool
    unclean: bool
    expected_up: bool
    is_dc: bool


@dataclass(frozen=True)
class ResourceView:
    """One primitive; `pending` is the operation that is under way, such as `Starting`."""

    id: str
    role: str
    running_on: tuple[str, ...]
    managed: bool
    failed: bool
    blocked: bool
    pending: str | None


@dataclass(frozen=True)
class FailureView:
    """One failed operation that Pacemaker remembers."""

    operation: str
    node: str
    status: str
    exit_status: str
    exit_reason: str


@dataclass(frozen=True)
class ClusterView:
    """All that one node's Pacemaker says at one moment."""

    with_quorum: bool
    dc: str | None
    nodes: tuple[NodeView, ...]
    resources: tuple[ResourceView, ...]
    failures: tuple[FailureView, ...]

    @property
    def online(self) -> tuple[str, ...]:
        """Names of the nodes that are members, in order."""
        return tuple(sorted(node.name for node in self.nodes if node.online))

    def resource(self, resource_id: str) -> ResourceView | None:
        """Find a primitive by its id."""
        return next((r for r in self.resources if r.id == resource_id), None)

    def started_on(self, resource_id: str) -> tuple[str, ...]:
        """Name the nodes where the resource runs, without those where it only starts or stops."""
        resource = self.resource(resource_id)
        if resource is None or resource.pending is not None or resource.failed:
            return ()
        return resource.running_on if resource.role == "Started" else ()

    def __str__(self) -> str:
        resources = ", ".join(
            f"{r.id} {r.pending or r.role} {' '.join(r.running_on)}".strip()
            + (" FAILED" if r.failed else "")
            + (" blocked" if r.blocked else "")
            for r in self.resources
        )
        quorum = "quorate" if self.with_quorum else "no quorum"
        return f"online {' '.join(self.online)}; DC {self.dc}; {quorum}; {resources}"


def parse_crm_mon(xml: str) -> ClusterView | None:
    """Read one output of `crm_mon`; `None` when it says that the cluster does not answer."""
    root = ET.fromstring(xml)  # noqa: S314
    dc = root.find("summary/current_dc")
    if dc is None:
        return None
    return ClusterView(
        with_quorum=dc.get("with_quorum") == "true",
        dc=dc.get("name"),
        nodes=tuple(_node(element) for element in root.findall("nodes/node")),
        resources=tuple(_resource(element) for element in root.iterfind("resources//resource")),
        failures=tuple(_failure(element) for element in root.findall("failures/failure")),
    )


def _node(element: ET.Element) -> NodeView:
    return NodeView(
        name=element.get("name", ""),
        online=element.get("online") == "true",
        standby=element.get("standby") == "true",
        unclean=element.get("unclean") == "true",
        expected_up=element.get("expected_up") == "true",
        is_dc=element.get("is_dc") == "true",
    )


def _resource(element: ET.Element) -> ResourceView:
    return ResourceView(
        id=element.get("id", ""),
        role=element.get("role", ""),
        running_on=tuple(node.get("name", "") for node in element.findall("node")),
        managed=element.get("managed") == "true",
        failed=element.get("failed") == "true",
        blocked=element.get("blocked") == "true",
        pending=element.get("pending"),
    )


def _failure(element: ET.Element) -> FailureView:
    return FailureView(
        operation=element.get("op_key", ""),
        node=element.get("node", ""),
        status=element.get("status", ""),
        exit_status=element.get("exitstatus", ""),
        exit_reason=element.get("exitreason", ""),
    )
