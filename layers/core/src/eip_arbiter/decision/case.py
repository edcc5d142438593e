"""One address of one snapshot at one instant, and the questions that rules ask about it.

Every question is answered from the arguments alone. A claim counts only while it is fresh: a
claimant that gave up, or died, must not leave its last word standing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

from eip_arbiter.decision import claims
from eip_arbiter.decision.outcome import ReportSeen, reports_of
from eip_arbiter.decision.policy import PROMISE_SLACK_MS, Policy
from eip_arbiter.decision.snapshot import Address, Node, Phase, Snapshot

REAL_QUORUM = ("majority", "device")
"""Where quorum means that no other side has it; in `two_node` both halves have it."""
MOST_DOUBLINGS = 4


@dataclass(frozen=True)
class Case:
    """The arguments of a decision, with their consequences computed once."""

    snapshot: Snapshot
    address: Address
    policy: Policy
    now_ms: int

    @cached_property
    def holder(self) -> Node | None:
        """The node that the address is granted to, if it is granted and registered."""
        holder = self.address.holder
        return None if holder is None else self.snapshot.nodes.get(holder)

    @cached_property
    def claimants(self) -> tuple[Node, ...]:
        """Other nodes than the holder that freshly claim the address, the best one first.

        A claim against a holder was said after the grant in force, and from a node that knows that
        it does not hold the address. Otherwise the last word of a holder that died, even one that
        EventBridge delivers late, would look like a split-brain, or take the address back.
        """
        claiming = [
            node
            for node in self.snapshot.nodes.values()
            if node.instance_id != self.address.holder
            and self.claims(node)
            and not self.instance_goes(node)
            and (self.address.holder is None or self._is_against_the_grant(node))
        ]
        return tuple(sorted(claiming, key=self._rank))

    def _is_against_the_grant(self, node: Node) -> bool:
        report = node.report
        return (
            report is not None
            and self.address.resource in report.awaiting
            and report.said_at_ms > self.address.changed_at_ms
        )

    @cached_property
    def claimant(self) -> Node | None:
        """The claimant to grant to: the best one that is not passed over."""
        return next((node for node in self.claimants if not self.passed_over(node)), None)

    def passed_over(self, node: Node) -> str | None:
        """Why the address never goes to this node by itself, or None."""
        if node.nofailover:
            return "is nofailover"
        if self.address.private_ip_index >= len(node.private_ips):
            return f"has no private address number {self.address.private_ip_index}"
        return None

    def would_lose(self, node: Node) -> str | None:
        """The node's own Elastic IP that EC2 would throw off for the address, or None."""
        return node.would_lose(self.address.private_ip_index)

    def _rank(self, node: Node) -> tuple[bool, bool, int, int, int, str]:
        """The least comes first.

        Who would lose an Elastic IP of its own is the last resort among those whose side is
        quorate, but not passed over: an outage of the service is worse than of that address.
        """
        report = node.report
        if report is None:
            raise ValueError("a claimant has reported")
        first_claimed_ms = report.received_at_ms - report.resources[self.address.resource].for_ms
        sides = not report.quorate, self.would_lose(node) is not None, -len(report.members)
        return (*sides, -node.priority, first_claimed_ms, node.instance_id)

    def state_on(self, node: Node) -> str:
        """The node's word about the resource, `unknown` where it has none."""
        return claims.state_on(node, self.address.resource)

    def is_fresh(self, node: Node) -> bool:
        """Whether the node's last report is young enough, by its own promise, to count."""
        return claims.is_fresh(node, self.now_ms)

    def claims(self, node: Node) -> bool:
        """Whether the node claims the address now."""
        return self.is_fresh(node) and claims.is_claim(node, self.address.resource)

    def claims_since_the_grant(self, node: Node) -> bool:
        """Whether the node claims the address by a word from after the grant in force."""
        report = node.report
        said_after = report is not None and report.said_at_ms > self.address.changed_at_ms
        return said_after and self.claims(node)

    @staticmethod
    def instance_goes(node: Node | None) -> str | None:
        """EC2's word that the node's instance goes away, or None."""
        return claims.instance_goes(node)

    def unfit(self, node: Node) -> str | None:
        """Why an operator should not send the address to this node now, or None."""
        own = self.would_lose(node)
        would_lose = f"would lose its own Elastic IP {own}" if own else None
        return self.unable(node) or self._lost(node) or would_lose

    def unable(self, node: Node) -> str | None:
        """Why this node could not serve with the address, or None."""
        report = node.report
        if report is None or not self.is_fresh(node):
            return "has not reported lately"
        if node.nofailover:
            return "is tagged nofailover"
        if self.instance_goes(node):
            return f"is {self.instance_goes(node)}, says EC2"
        if report.pacemaker_state != "online":
            return f"says that its Pacemaker is {report.pacemaker_state}"
        if report.failing:
            return f"is unhealthy ({', '.join(report.failing)})"
        return f"failed {self.address.resource}" if self.state_on(node) == "failed" else None

    def _lost(self, node: Node) -> str | None:
        """That another node lost sight of this one, which has said nothing since."""
        heard_at_ms = node.report.received_at_ms if node.report else 0
        for other in self.snapshot.nodes.values():
            theirs = other.report
            if other is node or theirs is None or not self.is_fresh(other):
                continue
            lost_ms = theirs.suspects.get(node.name)
            if lost_ms is not None and heard_at_ms < theirs.received_at_ms - lost_ms:
                return f"has not reported since {other.name} lost sight of it"
        return None

    @cached_property
    def holder_gave_up(self) -> str | None:
        """Why the holder's own last word lets the address go, or None."""
        return claims.gave_up(self.holder, self.address.resource) if self.holder else None

    @cached_property
    def holder_runs(self) -> bool:
        """Whether the resource freshly runs at the holder, be it healthy or not."""
        holder = self.holder
        return (
            holder is not None
            and self.is_fresh(holder)
            and self.state_on(holder) in claims.CLAIMING
            and holder.report is not None
            and holder.report.pacemaker_state in claims.RUNNING_PACEMAKER
        )

    @cached_property
    def moves_in_window(self) -> int:
        """How many automatic moves the flap brake counts now."""
        since_ms = self.now_ms - self.policy.brake_window_ms
        return sum(at_ms > since_ms for at_ms in self.address.recent_moves_ms)

    def alone_quorate(self, claimant: Node) -> bool:
        """Whether the claimant has a real quorum without the holder, and the holder none."""
        mine, theirs = claimant.report, self.holder.report if self.holder else None
        if mine is None or theirs is None or mine.quorum_mode not in REAL_QUORUM:
            return False
        # After a heal the holder's last word may still be from before it.
        apart = theirs.node_name not in mine.members
        return apart and mine.quorate and not theirs.quorate

    @cached_property
    def opened_at_ms(self) -> int | None:
        """When the challenge of the holder was opened, None while nobody challenges it."""
        openings = [
            opened
            for node in self.snapshot.nodes.values()
            if node.instance_id != self.address.holder and (opened := self._opening(node))
        ]
        return max(min(openings), self.address.changed_at_ms) if openings else None

    def _opening(self, node: Node) -> int | None:
        """Since when this node challenges the holder.

        The alarm's begin is the arbiter's own time. The node's duration can only make it later:
        an alarm that began about something else must not shorten the holder's time to answer.
        """
        report = node.report
        if report is None or node.alarm_since_ms is None or not self.is_fresh(node):
            return None
        durations = []
        if self.holder and self.holder.name in report.suspects:
            durations.append(report.suspects[self.holder.name])
        if self.address.resource in report.awaiting and self.claims(node):
            durations.append(report.resources[self.address.resource].for_ms)
        if not durations:
            return None
        return max(node.alarm_since_ms, report.received_at_ms - max(durations))

    @cached_property
    def holder_owes_since_ms(self) -> int:
        """Since when the holder owes an answer: its last claim, the challenge or its grant.

        A report that is no claim is no answer: a holder that says nothing of the resource, or
        cannot read its Pacemaker, is as silent as one that says nothing at all.
        """
        holder = self.holder
        answered_at_ms = claims.spoke_at_ms(holder, self.address.resource) if holder else 0
        return max(answered_at_ms, self.opened_at_ms or 0, self.address.changed_at_ms)

    def holder_silent_ms(self, claimant: Node) -> int:
        """How long the holder had owed an answer when this claim was said.

        Not until now: a claim that EventBridge kept back speaks of the time when it was said, and
        nothing newer of its node may have come through to take it back.
        """
        said_at_ms = claimant.report.said_at_ms if claimant.report else 0
        return said_at_ms - self.holder_owes_since_ms

    def holder_is_silent(self, claimant: Node) -> bool:
        """Whether the holder has owed an answer for too long for this claimant's claim."""
        return self.holder_silent_ms(claimant) >= self.allowed_silence_ms(claimant)

    def allowed_silence_ms(self, claimant: Node) -> int:
        """How long the holder may be silent before this claimant's claim prevails.

        If each was in sight of the other, and the claimant lost the holder, then the holder sees
        the same cut and reports at alert cadence. One that is still in sight, that never saw this
        claimant come, or was not challenged yet, may be at calm cadence: then its own promise
        counts. Where quorum is real, a claimant without it is the side that must lose: its holder
        gets twice the time, in case only reports were lost.
        """
        if self._both_see_the_cut(claimant) and self.opened_at_ms is not None:
            return self.policy.answer_ms * (2 if self._lacks_real_quorum(claimant) else 1)
        report = self.holder.report if self.holder else None
        promised_ms = report.next_report_within_ms if report else 0
        return max(self.policy.answer_ms, promised_ms + PROMISE_SLACK_MS)

    @staticmethod
    def _lacks_real_quorum(node: Node) -> bool:
        report = node.report
        return report is not None and report.quorum_mode in REAL_QUORUM and not report.quorate

    def _both_see_the_cut(self, claimant: Node) -> bool:
        mine, theirs = claimant.report, self.holder.report if self.holder else None
        if mine is None or theirs is None:
            return False
        lost_sight = theirs.node_name not in mine.members or theirs.node_name in mine.suspects
        return lost_sight and mine.node_name in theirs.members

    @cached_property
    def holder_answers(self) -> bool:
        """Whether the holder claimed after the challenge was opened, and freshly."""
        holder = self.holder
        if holder is None or holder.report is None or not self.claims(holder):
            return False
        return holder.report.received_at_ms > (self.opened_at_ms or 0)

    @cached_property
    def without_order(self) -> Case:
        """The same case as if no order stood."""
        return replace(self, address=replace(self.address, order=None))

    @cached_property
    def drift_pause_ms(self) -> int:
        """How long a grant is settled before drift is put right.

        Twice as long for each time in a row that EC2 had it there: a holder that denies its
        address costs less and less. One that was elsewhere indeed is put right at once again.
        """
        return self.policy.drift_ms << min(self.address.denials, MOST_DOUBLINGS)

    @property
    def is_moving_in_time(self) -> bool:
        """Whether a move is under way whose call may still be made or land."""
        return self.is_moving and self.now_ms < self.address.deadline_ms

    @property
    def is_moving(self) -> bool:
        """Whether a move is under way.

        A release that nobody finished does not count once another node is to have the address: it
        removes only the recorded association, so it cannot hurt a new one.
        """
        if self.address.phase is not Phase.MOVING:
            return False
        order = self.address.order
        next_holder = self.snapshot.nodes.get(order.target) if order else self.claimant
        if self.address.holder is not None or next_holder is None:
            return True
        return self.is_being_released_from(next_holder)

    def is_being_released_from(self, node: Node) -> bool:
        """Whether a release under way is about an association that this node still has.

        Granted to it now, it would be given just what the release still removes.
        """
        releasing = self.address.phase is Phase.MOVING and self.address.holder is None
        return releasing and node.interface_id == self.address.interface_id

    @property
    def rested_on(self) -> tuple[ReportSeen, ...]:
        """The reports that must still be the newest when the decision is committed."""
        nodes = [*([self.holder] if self.holder else []), *self.claimants]
        return reports_of(self.snapshot, [node.instance_id for node in nodes])

    def name(self, instance_id: str | None) -> str:
        """The Pacemaker name of an instance, for sentences."""
        node = self.snapshot.nodes.get(instance_id) if instance_id else None
        return node.name if node else (instance_id or "nobody")
