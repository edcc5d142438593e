"""The thin shell around the decision: record, decide, commit, move, settle.

Whoever calls this has a snapshot that it just wrote to or read. Each address is decided once per
call; a lost race ends it there, since the winner decides on the newer state. Nothing is caught here
but a failed move, which stays `moving` in the state until a later report resumes it, and a table
that does not take the history's lines, which wait in the state until it does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from eip_contract.report import NodeReport, ReportRejected

from eip_arbiter.arbitrate import announcing, narrating
from eip_arbiter.arbitrate.announcing import Announcer, Silent
from eip_arbiter.arbitrate.lookups import Lookups, NotTaggedError
from eip_arbiter.arbitrate.moving import ElasticIps, Look
from eip_arbiter.arbitrate.outbox import Outbox
from eip_arbiter.arbitrate.registering import Registry
from eip_arbiter.arbitrate.settling import Settler
from eip_arbiter.decision import decide
from eip_arbiter.decision.outcome import Change, Decision, Keep, Note, Resume
from eip_arbiter.decision.policy import Policy
from eip_arbiter.decision.snapshot import AHEAD_SECONDS, Address, Node, Order, Phase, Snapshot
from eip_arbiter.decision.transition import apply, ordered
from eip_arbiter.ports import (
    Committed,
    Inventory,
    LostRace,
    MoveFailedError,
    Recorded,
    StaleReport,
    Store,
    StoreUnansweredError,
    Telemetry,
    Unregistered,
)


@dataclass(frozen=True)
class Arbiter:
    """The parts that an arbitration uses; `clock` gives milliseconds since the epoch.

    `lookups` bounds, in this environment, how often EC2 is asked about an instance.
    """

    store: Store
    elastic_ips: ElasticIps
    inventory: Inventory
    telemetry: Telemetry
    policy: Policy
    clock: Callable[[], int]
    announcer: Announcer = field(default_factory=Silent)
    lookups: Lookups = field(default_factory=Lookups)
    ends_at_ms: int | None = None
    """When Lambda ends this invocation, where that is known."""

    def within(self, remaining_ms: int) -> Arbiter:
        """The same for one invocation, which Lambda ends after so long."""
        return replace(self, ends_at_ms=self.clock() + remaining_ms)

    @property
    def registry(self) -> Registry:
        """What makes the state agree with EC2's tags."""
        return Registry(self.store, self.inventory, self.telemetry, self.clock)

    def on_report(self, report: NodeReport, said_at_ms: int) -> None:
        """Takes in a node's report, which EventBridge took at that time, and does what follows.

        Raises:
            ReportRejected: reason `incarnation_ahead`, `stale`, `unknown_cluster`, `not_tagged`,
                `ambiguous_address` or `looked_up_lately`; nothing was changed.
        """
        self._refuse_ahead(report)
        outcome = self._record(report, said_at_ms)
        if isinstance(outcome, Unregistered):
            self._register(report)
            outcome = self._record(report, said_at_ms)
        if isinstance(outcome, StaleReport):
            raise ReportRejected(
                "stale",
                f"report {report.incarnation}.{report.seq} of {report.node_name} is not newer than "
                f"{outcome.incarnation}.{outcome.seq}, which is known",
            )
        if isinstance(outcome, Unregistered):
            # Another invocation has looked at EC2's tags since.
            text = (
                f"{report.instance_id} was taken out of {report.cluster_id} right after it joined"
            )
            raise ReportRejected("not_tagged", text)
        self.on_snapshot(outcome.snapshot)
        node = outcome.snapshot.nodes[report.instance_id]
        if node.registered_for != report.incarnation:
            self._refresh(report, node)

    def _refuse_ahead(self, report: NodeReport) -> None:
        """A counter far ahead would mute its node for ever: the next agent's is below it.

        Raises:
            ReportRejected: reason `incarnation_ahead`.
        """
        ahead_s = report.incarnation - self.clock() // 1000
        if ahead_s > AHEAD_SECONDS:
            raise ReportRejected(
                "incarnation_ahead",
                f"the incarnation of {report.node_name}, {report.incarnation}, is {ahead_s} s "
                f"ahead of the arbiter's clock; {AHEAD_SECONDS} s are allowed",
            )

    def _register(self, report: NodeReport) -> None:
        """Registers a node, or refuses it as before while EC2 must not be asked again."""
        self.lookups.begin(report, self.clock())
        self._look_up(report)

    def _look_up(self, report: NodeReport) -> None:
        try:
            self.registry.register(report)
        except ReportRejected as refusal:
            self.lookups.refused(report, refusal)
            raise
        self.lookups.taken_in(report)

    def _refresh(self, report: NodeReport, node: Node) -> None:
        """An agent has started anew: what was registered of its node is looked up again.

        Its interface may have been replaced, its tags or the cluster's addresses may have changed.
        Where EC2 must not be asked yet or does not answer, a later report has it looked up.
        """
        if not self.lookups.may_refresh(report, self.clock()):
            return
        self.lookups.refresh(report, self.clock())
        try:
            self._look_up(report)
        except (ReportRejected, MoveFailedError) as error:
            if isinstance(error, NotTaggedError) and error.tagged_for is not None:
                return  # It was taken out.
            if isinstance(error, ReportRejected):
                as_it_was = replace(node, registered_for=report.incarnation)
                self.store.register(report.cluster_id, as_it_was, ())
            self.telemetry.failed(
                f"{report.node_name} stays registered as it was: {error}",
                cluster=report.cluster_id,
                instance=report.instance_id,
            )

    def _record(self, report: NodeReport, said_at_ms: int) -> Recorded | StaleReport | Unregistered:
        now = self.clock()
        return self.store.record_report(report, now, max(now - said_at_ms, 0))

    def on_instance_state(self, instance_id: str, state: str, said_at_ms: int) -> None:
        """Takes in EC2's word about an instance; most instances belong to no cluster."""
        snapshot = self.store.record_instance_state(instance_id, state, said_at_ms)
        if snapshot is not None:
            self.on_snapshot(snapshot)

    def on_order(
        self, snapshot: Snapshot, resource: str, order: Order, sentence: str
    ) -> Committed | LostRace:
        """Accepts an operator's order and carries it out; `sentence` is its line of history.

        Raises:
            StoreUnansweredError: it may or may not have been accepted.
        """
        address = ordered(snapshot.addresses[resource], order)
        line = narrating.line(
            snapshot, address, kind="note", at_ms=order.issued_at_ms, sentence=sentence
        )
        outcome = self.store.commit(snapshot, address, (), line)
        if isinstance(outcome, Committed):
            return Committed(self.follow(outcome.snapshot))
        return outcome

    def follow(self, snapshot: Snapshot) -> Snapshot:
        """Decides after an operator's write, which stands whatever becomes of what follows it."""
        try:
            snapshot = self.on_snapshot(snapshot)
        except StoreUnansweredError as error:
            self.telemetry.failed(f"left to the next report: {error}", cluster=snapshot.cluster_id)
        return self.outbox.tell(snapshot, snapshot.waiting)

    def on_snapshot(self, snapshot: Snapshot) -> Snapshot:
        """Decides every address of the cluster; returns the newest snapshot it has.

        What is to be announced is sent at the end, when no address waits for it any more. Lines
        that whoever committed them did not live to tell are told here.
        """
        try:
            for resource in list(snapshot.addresses):
                if resource not in snapshot.addresses:
                    continue  # EC2's tags have renamed it meanwhile.
                decision = decide(snapshot, resource, self.policy, self.clock())
                snapshot = self._carry_out(snapshot, resource, decision)
        finally:
            self.announcer.send()
        left_ms = self.clock() - self.policy.function_timeout_ms
        return self.outbox.tell(
            snapshot, [line for line in snapshot.waiting if line.at_ms < left_ms]
        )

    @property
    def outbox(self) -> Outbox:
        """Tells the lines of history that wait in the state."""
        return Outbox(self.store, self.telemetry)

    @property
    def _settler(self) -> Settler:
        return Settler(
            store=self.store,
            elastic_ips=self.elastic_ips,
            telemetry=self.telemetry,
            announcer=self.announcer,
            outbox=self.outbox,
            policy=self.policy,
            clock=self.clock,
            ends_at_ms=self.ends_at_ms,
        )

    def _carry_out(self, snapshot: Snapshot, resource: str, decision: Decision) -> Snapshot:
        address = snapshot.addresses[resource]
        if isinstance(decision, Keep):
            if not decision.calm:
                self.telemetry.kept(
                    decision.rule, decision.sentence, **narrating.fields(snapshot, address)
                )
            if decision.rule == "R040":
                self.announcer.announce(
                    announcing.blocked(
                        snapshot, address, decision.rule, decision.sentence, self.clock()
                    )
                )
            return snapshot
        return self._commit(snapshot, address, decision)

    def _commit(self, snapshot: Snapshot, address: Address, change: Change) -> Snapshot:
        now = self.clock()
        after = apply(address, change, self.policy, now)
        line = None
        if not isinstance(change, Resume):  # The line of the grant says it all.
            kind = "note" if isinstance(change, Note) else "grant" if after.holder else "release"
            sentence = f"{change.rule}: {change.sentence}"
            line = narrating.line(snapshot, after, kind=kind, at_ms=now, sentence=sentence)
        outcome = self.store.commit(snapshot, after, change.rested_on, line)
        facts = narrating.fields(snapshot, after)
        if not isinstance(outcome, Committed):
            self.telemetry.kept(
                change.rule, f"not done, a newer report is there: {change.sentence}", **facts
            )
            return snapshot
        self.telemetry.decided(change.rule, change.sentence, **facts)
        if not isinstance(change, Note):
            overtook = Look.NONE if address.phase is Phase.MOVING else Look.RECORDED
            look = Look.RESUMED if isinstance(change, Resume) else overtook
            return self._settler.settle(outcome.snapshot, address.resource, change.sentence, look)
        if change.refusal and change.refusal != address.refusal:
            self.telemetry.count("SplitBrain", snapshot.cluster_id)
            self.announcer.announce(
                announcing.split_brain(
                    outcome.snapshot, after, change.rule, change.sentence, self.clock()
                )
            )
        return self.outbox.tell(outcome.snapshot, outcome.snapshot.waiting)
