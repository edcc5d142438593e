"""What must stay small, or one: calls, notices, entries. Predicates as in `invariants`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eip_arbiter.decision.snapshot import Address
from eip_contract.report import NodeReport

from simulation import truth

if TYPE_CHECKING:
    from simulation.node import Node
    from simulation.watch import Watch

UNTAGGED_SECONDS = 120.0
MOST_CALLS_A_MINUTE = {"associate": 30, "disassociate": 30, "locate": 60, "describe": 30}
MOST_NOTICES_A_MINUTE = 10
STARTING_MS = 90_000
"""A start takes 20 s at the most; its node may stand still for 40 s of it, by its own clock."""
OLD_NEWS_SECONDS, ALERT_MS = 60.0, 1_000
UNHEARD_SECONDS = 5.0
SEEN_SECONDS = 40.0
"""A claim is urgent for 30 s; so long what the holder runs in sight may be claimed beside it."""


def not_to_an_untagged_node(watch: Watch, old: Address, after: Address) -> str | None:
    """No address goes to an instance that EC2's tags do not count to the cluster."""
    since = watch.untagged_since.get(after.holder or "")
    if since is None or after.holder == old.holder:
        return None
    if watch.now - since < UNTAGGED_SECONDS:
        return None
    return f"{after.rule} gave {after.resource} to a node without tag for {watch.now - since:.0f} s"


def calls_are_bounded(watch: Watch) -> str | None:
    """Nobody makes EC2 work: so many calls of a kind for one cluster or instance in a minute."""
    for (kind, who, minute), count in watch.ec2_calls.items():
        if count > MOST_CALLS_A_MINUTE[kind]:
            return f"{count} calls of {kind} for {who or 'releases'} in minute {minute}"
    return None


def notices_are_bounded(watch: Watch) -> str | None:
    """Nobody is told the same again and again: so many notices of a kind in a minute."""
    for (kind, cluster_id, resource, minute), count in watch.notices.items():
        if count > MOST_NOTICES_A_MINUTE:
            return f"{count} of {kind!r} about {resource} of {cluster_id} in minute {minute}"
    return None


def one_entry_each(watch: Watch, cluster_id: str) -> str | None:
    """The state has each Elastic IP once, and no two on one private address."""
    snapshot = watch.world.region.store.read(cluster_id)
    addresses = snapshot.addresses.values() if snapshot else ()
    ids = [address.allocation_id for address in addresses]
    if len(set(ids)) < len(ids):
        return f"one Elastic IP is in the state of {cluster_id} twice"
    indexes = [address.private_ip_index for address in addresses]
    if len(set(indexes)) < len(indexes):
        return f"two Elastic IPs of {cluster_id} are to be on one private address"
    return None


class Sayings:
    """What nodes say again and again: nothing is "starting", urgent or claimed for ever."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._same: dict[str, tuple[object, float, float]] = {}
        self._claimed: dict[tuple[str, str], float] = {}
        self._told: set[tuple[str, str]] = set()

    def said(self, node: Node, report: NodeReport) -> None:
        """A report of the node's own agent leaves."""
        for resource, state in report.resources.items():
            if state.state == "starting" and state.for_ms > STARTING_MS:
                self._tell("neither_on_nor_off", node, f"{resource} starts since {state.for_ms} ms")
        self._judge_urgency(node, report)
        for resource in node.resources:
            self._judge_claim(node, report, resource)

    def _judge_urgency(self, node: Node, report: NodeReport) -> None:
        """A claim that is the same for long, against the same grants, is repeated more rarely."""
        terms = tuple(
            truth.address_of(self._watch, node.cluster_id, name).term for name in report.awaiting
        )
        suspects = tuple(suspect.node_name for suspect in report.suspects)
        status = node.agent.board.glance().status if node.agent else None
        # What it reads of the state for the first time is news to it.
        reads = None if status is None else tuple(map(status.addresses.get, report.awaiting))
        same = (report.awaiting, suspects, report.incarnation, terms, reads)
        now = self._watch.now
        before, since, said_at = self._same.get(node.instance_id, (None, now, now))
        # While none of its reports left, whom it could not reach may have come and gone.
        if before != same or now - said_at > UNHEARD_SECONDS:
            since = now
        self._same[node.instance_id] = (same, since, now)
        # Between two reports that arrived it may have given up and begun again.
        youngest_ms = min((report.resources[name].for_ms for name in report.awaiting), default=0)
        lasts = min(now - since, youngest_ms / 1000)
        urgent = report.awaiting and report.next_report_within_ms < ALERT_MS
        if urgent and lasts > OLD_NEWS_SECONDS:
            self._tell("old_news", node, f"claims {report.awaiting} urgently for {lasts:.0f} s")

    def _judge_claim(self, node: Node, report: NodeReport, resource: str) -> None:
        """What is watched as it is, and runs on the holder in sight as well, is not claimed."""
        watch, key = self._watch, (node.instance_id, resource)
        holder = truth.address_of(watch, node.cluster_id, resource).holder
        beside = holder not in (None, node.instance_id) and resource in report.awaiting
        if (
            not beside
            or not node.is_plain(resource)
            or not self._in_sight(report, holder, resource)
        ):
            self._claimed.pop(key, None)
            return
        since = self._claimed.setdefault(key, watch.now)
        if watch.now - since > SEEN_SECONDS:
            self._tell(
                "claims_beside_the_holder", node, f"{resource}, which {holder} runs in sight"
            )

    def _in_sight(self, report: NodeReport, holder: str | None, resource: str) -> bool:
        there = self._watch.node(holder or "")
        lost = [suspect.node_name for suspect in report.suspects]
        seen = there.name in report.pacemaker.members and there.name not in lost
        return seen and truth.runs(there, resource)

    def _tell(self, judge: str, node: Node, what: str) -> None:
        if (judge, node.instance_id) not in self._told:
            self._told.add((judge, node.instance_id))
            self._watch.violate(f"{judge}: {node.key}: {what}")
