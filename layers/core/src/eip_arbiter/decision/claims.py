"""What one node's last word amounts to: a claim of an address, a release, or no reading at all.

A *claim* says that Pacemaker runs or starts the resource on a healthy node. A holder's *answer* is
a claim, nothing else. `unknown` is the absence of a reading: it is neither an answer nor a release,
so a holder that says it counts as silent from then on.
"""

from __future__ import annotations

from eip_arbiter.decision.policy import FRESH_FACTOR, FRESH_SLACK_MS, LATE_MS
from eip_arbiter.decision.snapshot import GOING_INSTANCE, Node

CLAIMING = ("started", "starting")
RUNNING_PACEMAKER = ("online", "standby", "maintenance", "pending")
"""`pending` is a node that joins: after a heal the holder's Pacemaker says so for seconds while its
resource runs on, so it is no sign that the holder gave up."""
UNREAD_START_MS = 5_000
"""For so long a start is Pacemaker's own word although its view cannot be read."""


def state_on(node: Node, resource: str) -> str:
    """The node's word about the resource, `unknown` where it has none."""
    found = node.report and node.report.resources.get(resource)
    return found.state if found else "unknown"


def is_fresh(node: Node, now_ms: int) -> bool:
    """Whether the node's last report is young enough, by its own promise, to count."""
    report = node.report
    if report is None or report.late_ms > LATE_MS:
        return False
    allowed_ms = FRESH_FACTOR * report.next_report_within_ms + FRESH_SLACK_MS
    return now_ms - report.received_at_ms <= allowed_ms


def is_claim(node: Node, resource: str) -> bool:
    """Whether the node's last report, however old, was a claim.

    The resource agent's start is run by Pacemaker, so it stands for a view that cannot be read, for
    as long as a start may take without one.
    """
    report = node.report
    state = report.resources.get(resource) if report else None
    if report is None or state is None or report.failing or state.state not in CLAIMING:
        return False
    if report.pacemaker_state == "unknown":
        return state.state == "starting" and state.for_ms <= UNREAD_START_MS
    return report.pacemaker_state in RUNNING_PACEMAKER


def gave_up(node: Node, resource: str) -> str | None:
    """Why the node's own last word lets the address go, or None."""
    report = node.report
    if report is None:
        return None
    if report.failing:
        return f"is unhealthy ({', '.join(report.failing)})"
    if report.pacemaker_state == "offline":
        return "says that its Pacemaker is offline"
    return {"stopped": "released it", "failed": "failed it"}.get(state_on(node, resource))


def spoke_at_ms(node: Node, resource: str) -> int:
    """When the node last said something of the resource; 0 where its last report cannot tell.

    That is a claim, or a word that lets the address go. A node measures itself for how long its
    view has been unreadable. An agent that does not name the resource never did: which resources
    it watches is read when it starts, and its incarnation is that time in whole seconds.
    """
    report = node.report
    if report is None:
        return 0
    if is_claim(node, resource) or gave_up(node, resource):
        # One that EventBridge kept back is no answer to what was asked meanwhile.
        return report.received_at_ms if report.late_ms <= LATE_MS else report.said_at_ms
    state = report.resources.get(resource)
    if state is None:
        return min(report.received_at_ms, 1_000 * (report.incarnation + 1))
    if state.state == "unknown":
        return report.received_at_ms - state.for_ms
    if state.state == "starting" and report.pacemaker_state == "unknown":
        return report.received_at_ms - state.for_ms + UNREAD_START_MS
    return 0


def instance_goes(node: Node | None) -> str | None:
    """EC2's word that the node's instance goes away, or None.

    Void once the agent started anew on that instance, or spoke long after: the word may have come
    so late that it was kept as one about the instance's new life.
    """
    evidence = node.ec2 if node else None
    if node is None or evidence is None or evidence.state not in GOING_INSTANCE:
        return None
    report = node.report
    came_back = report is not None and (
        report.incarnation != evidence.incarnation or report.said_at_ms - evidence.at_ms > LATE_MS
    )
    return None if came_back else evidence.state
