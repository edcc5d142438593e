"""What the dashboard's widget shows: every cluster as one page of HTML without JavaScript.

In five seconds: who holds which address, whether a failover would work now, what happened last and
why. `board_page` turns what is gathered here into HTML.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from eip_contract.fields import NAME

from eip_arbiter import readiness
from eip_arbiter.board_page import AddressView, ClusterView, NodeView, Tone, page
from eip_arbiter.decision.case import Case
from eip_arbiter.decision.policy import Policy
from eip_arbiter.decision.snapshot import Address, Node, Phase, Snapshot
from eip_arbiter.inspecting import History
from eip_arbiter.watching import Memory, Seen

MOST_CLUSTERS, LINES = 20, 8
DESCRIPTION = """\
## EIP Arbiter
Who holds each Elastic IP, whether a failover would work now, and what happened last and why.

Parameters: `cluster`, to show one cluster only. A viewer needs `lambda:InvokeFunction` on this
function, and on the operate function for the failover button.
"""


class Reader(Protocol):
    """Where the state of a cluster is read."""

    def read(self, cluster_id: str) -> Snapshot | None:
        """The newest state of a cluster, None if it is not registered."""
        ...


@dataclass(frozen=True)
class Board:
    """What the widget reads from; `operate_arn` is the function that its buttons call."""

    store: Reader
    memory: Memory
    history: History
    policy: Policy
    clock: Callable[[], int]
    operate_arn: str

    def show(self, event: Mapping[str, Any]) -> str:
        """The HTML for a dashboard's request, or the description that its editor asks for."""
        if event.get("describe"):
            return DESCRIPTION
        context = event.get("widgetContext")
        dark = isinstance(context, dict) and context.get("theme") == "dark"
        wanted = event.get("cluster")
        if isinstance(wanted, str) and NAME.match(wanted):
            cluster_ids = [wanted]
        else:
            cluster_ids = sorted(self.memory.clusters())
        views = [self._cluster(cluster_id) for cluster_id in cluster_ids[:MOST_CLUSTERS]]
        left_out = max(0, len(cluster_ids) - MOST_CLUSTERS)
        known = [view for view in views if view]
        return page(known, left_out=left_out, dark=dark, operate_arn=self.operate_arn)

    def _cluster(self, cluster_id: str) -> ClusterView | None:
        snapshot = self.store.read(cluster_id)
        if snapshot is None:
            return None
        now, seen = self.clock(), self.memory.seen(cluster_id)
        cases = [Case(snapshot, a, self.policy, now) for a in snapshot.addresses.values()]
        return ClusterView(
            cluster_id=cluster_id,
            addresses=[_address(case, seen) for case in cases],
            nodes=[_node(node, cases) for node in snapshot.nodes.values()],
            lines=self.history.newest(cluster_id, LINES),
        )


def _address(case: Case, seen: Seen) -> AddressView:
    """The address in words; the watch's last look adds what only EC2 can tell."""
    address = case.address
    found = list(readiness.problems(case, {}))
    lasting = seen.unready.get(address.resource)
    found += [problem for problem in lasting.problems if problem not in found] if lasting else []
    tone, state = _state(case, address)
    return AddressView(
        resource=address.resource,
        public_ip=address.public_ip,
        holder=case.name(address.holder),
        term=address.term,
        tone=tone,
        state=state,
        problems=found,
        targets=[
            (node.name, node.instance_id, readiness.unfit(case, node))
            for node in readiness.standbys(case)
        ],
    )


def _state(case: Case, address: Address) -> tuple[Tone, str]:
    if address.refusal:
        return "bad", "split-brain: another node's claim is refused"
    if address.phase is Phase.MOVING:
        stuck = case.now_ms >= address.deadline_ms
        return ("bad", "its move is stuck") if stuck else ("warn", "is being moved")
    if case.holder is None:
        return "bad", "is with nobody"
    if not case.is_fresh(case.holder):
        return "bad", f"{case.holder.name} is silent"
    if not case.claims(case.holder):
        return "warn", f"{case.holder.name} does not run it"
    return "good", "settled"


def _node(node: Node, cases: list[Case]) -> NodeView:
    report, case = node.report, cases[0]
    holds = [c.address.resource for c in cases if c.address.holder == node.instance_id]
    wrong, said = [], []
    if report is None:
        wrong.append("has never reported")
    else:
        age_s = max(0, case.now_ms - report.said_at_ms) // 1000
        said.append(f"reported {age_s} s ago")
        online = report.pacemaker_state == "online"
        (said if online else wrong).append(f"Pacemaker {report.pacemaker_state}")
        wrong += [] if case.is_fresh(node) else ["silent"]
        wrong += [f"lost sight of {name}" for name in sorted(report.suspects)]
        wrong += [f"unhealthy: {what}" for what in report.failing]
    gone = case.instance_goes(node)
    wrong += [f"EC2: {gone}"] if gone else []
    said += ["nofailover"] if node.nofailover else []
    return NodeView(node.name, node.instance_id, holds, wrong, said)
