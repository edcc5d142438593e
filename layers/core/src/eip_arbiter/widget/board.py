"""What the dashboard's widget shows: every cluster as one page of HTML without JavaScript.

In five seconds: who holds which address and who runs its resource, whether a failover would work
now, what happened last and why. `page` turns what is gathered here into HTML.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from eip_contract.fields import NAME

from eip_arbiter.decision import readiness
from eip_arbiter.decision.case import Case
from eip_arbiter.decision.policy import Policy
from eip_arbiter.decision.snapshot import Node, Phase, Snapshot
from eip_arbiter.ports import Ec2Word, History, WatchReader
from eip_arbiter.widget.page import (
    AddressView,
    ClusterView,
    NodeView,
    Statement,
    TargetView,
    Tone,
    ago,
    page,
)

MOST_CLUSTERS, LINES = 20, 8
DESCRIPTION = """\
## EIP Arbiter
Who holds each Elastic IP, whether a failover would work now, and what happened last and why.

Parameters: `cluster`, to show one cluster only. A viewer needs `lambda:InvokeFunction` on this
function, and on the operate function for the buttons.
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
    memory: WatchReader
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
        now_ms = self.clock()
        views = [self._cluster(cluster_id, now_ms) for cluster_id in cluster_ids[:MOST_CLUSTERS]]
        return page(
            [view for view in views if view],
            left_out=max(0, len(cluster_ids) - MOST_CLUSTERS),
            dark=dark,
            operate_arn=self.operate_arn,
            now_ms=now_ms,
        )

    def _cluster(self, cluster_id: str, now_ms: int) -> ClusterView | None:
        snapshot = self.store.read(cluster_id)
        if snapshot is None:
            return None
        words = self.memory.seen(cluster_id).ec2
        cases = [Case(snapshot, a, self.policy, now_ms) for a in snapshot.addresses.values()]
        return ClusterView(
            cluster_id=cluster_id,
            paused_until_ms=snapshot.paused_until_ms if now_ms < snapshot.paused_until_ms else None,
            addresses=[_address(case, words.get(case.address.resource)) for case in cases],
            nodes=[_node(node, cases) for node in snapshot.nodes.values()],
            lines=self.history.newest(cluster_id, LINES),
        )


def _address(case: Case, word: Ec2Word | None) -> AddressView:
    """The address in words, from the state as it is now and from EC2's last word."""
    address = case.address
    tone, state = _state(case)
    if failed := _nodes_where(case, "failed"):
        tone, state = "bad", f"{state}; {address.resource} failed on {_listed(failed)}"
    return AddressView(
        resource=address.resource,
        public_ip=address.public_ip,
        holder=case.name(address.holder),
        term=address.term,
        state=Statement(tone, state),
        ready=_ready(case, word),
        targets=[
            TargetView(node.name, node.instance_id, follows=_can_switch_over(case, node))
            for node in readiness.standbys(case)
            if readiness.unfit(case, node) is None
        ],
    )


def _state(case: Case) -> tuple[Tone, str]:
    """How the address is: the first of these that is so."""
    address, holder, running = case.address, case.holder, _nodes_where(case, "started")
    if address.refusal:
        return "bad", "split-brain: another node's claim is refused"
    if len(running) > 1:
        return "bad", f"{_listed(running)} run {address.resource} at the same time"
    if address.phase is Phase.MOVING:
        stuck = case.now_ms >= address.deadline_ms
        return ("bad", "its move is stuck") if stuck else ("warn", "is being moved")
    return ("bad", "is with nobody") if holder is None else _held(case, holder, running)


def _held(case: Case, holder: Node, running: list[str]) -> tuple[Tone, str]:
    """How the address is at its holder, beside the one node that runs its resource, if any."""
    resource = case.address.resource
    if not case.is_fresh(holder):
        return "bad", f"{holder.name} is silent"
    if running and running != [holder.name]:
        apart = f"{running[0]} runs {resource}, {holder.name} has the address"
        follows = case.address.order is not None
        return ("warn", f"{apart}: Pacemaker is to follow") if follows else ("bad", apart)
    if not case.claims(holder):
        return "warn", f"{holder.name} does not run it"
    return ("good", "address is in place") if running else ("warn", f"{holder.name} is starting it")


def _ready(case: Case, word: Ec2Word | None) -> Statement:
    """Whether a failover would work; only what EC2 alone can tell is as old as its last look."""
    drift, refusals = list[str](), dict[str, str]()
    if word and word.at_ms >= case.address.changed_at_ms:
        seen = f"(seen at EC2 {ago(case.now_ms - word.at_ms)})"
        drift = [f"{what} {seen}" for what in word.drift]
        refusals = {node: f"{what} {seen}" for node, what in word.refusals.items()}
    found = (*drift, *readiness.problems(case, refusals))
    if len(_nodes_where(case, "started")) > 1:
        more_than_one = f"{case.address.resource} must run on one node only, first"
        return Statement("bad", "A failover is not safe now", (more_than_one, *found))
    if not readiness.order_works(case, found):
        return Statement("bad", "A failover would not work now", found)
    brake = case.holder is not None and readiness.brake_is_on(case)
    if brake:
        found = (*found, "the flap brake is on (the verb acknowledge takes it off)")
    if readiness.holds(case):
        return Statement("warn", "No automatic failover now; an order still works", found)
    if brake:
        # R040 keeps the address where the resource runs, and nowhere else.
        only = "No failover now off a node that runs it, only off a dead one; an order still works"
        return Statement("warn", only, found)
    return Statement("good", "A failover would work now")


def _can_switch_over(case: Case, node: Node) -> bool:
    """Whether Pacemaker there could be asked to move the resource; operate has the last word."""
    holder, report = case.holder, node.report
    if holder is None or report is None or _nodes_where(case, "started") != [holder.name]:
        return False
    calm = case.address.phase is Phase.SETTLED and case.address.order is None
    return calm and holder.name in report.members


def _nodes_where(case: Case, state: str) -> list[str]:
    """The nodes that freshly say so of the resource."""
    nodes = case.snapshot.nodes.values()
    return [n.name for n in nodes if case.is_fresh(n) and case.state_on(n) == state]


def _listed(names: list[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def _node(node: Node, cases: list[Case]) -> NodeView:
    report, case = node.report, cases[0]
    wrong, said = [], []
    if report is None:
        wrong.append("has never reported")
    else:
        said.append(f"reported {ago(case.now_ms - report.said_at_ms)}")
        online = report.pacemaker_state == "online"
        (said if online else wrong).append(f"Pacemaker {report.pacemaker_state}")
        wrong += [] if case.is_fresh(node) else ["silent"]
        wrong += [f"lost sight of {name}" for name in sorted(report.suspects)]
        wrong += [f"unhealthy: {what}" for what in report.failing]
    gone = case.instance_goes(node)
    wrong += [f"EC2: {gone}"] if gone else []
    lost = dict.fromkeys(own for case in cases if (own := case.would_lose(node)))
    wrong += [f"would lose its own Elastic IP {own}" for own in lost]
    said += ["nofailover"] if node.nofailover else []
    return NodeView(node.name, node.instance_id, [_part(c, node) for c in cases], wrong, said)


def _part(case: Case, node: Node) -> Statement:
    """The node's part in one address: whether its resource runs there, and who has the address."""
    resource, state = case.address.resource, case.state_on(node)
    held = case.address.holder == node.instance_id
    words = {
        "started": f"runs {resource}",
        "starting": f"is starting {resource}",
        "stopped": f"{resource} is stopped here",
        "failed": f"{resource} failed here",
    }.get(state, f"Pacemaker tells nothing of {resource}")
    words += ", holds its address" if held else ""
    if not case.is_fresh(node):
        return Statement("dim", f"last word: {words}" if node.report else words)
    alone = _nodes_where(case, "started") == [node.name]
    tones: dict[str, Tone] = {
        "started": "bad" if not alone else "good" if held else "warn",
        "starting": "warn",
        "failed": "bad",
    }
    return Statement(tones.get(state, "warn" if held else "dim"), words)
