"""The thin shell around the decision: record, decide, commit, move, settle.

Whoever calls this has a snapshot that it just wrote to or read. Each address is decided once per
call; a lost race ends it there, since the winner decides on the newer state. Nothing is caught here
but a failed move, which stays `moving` in the state until a later report resumes it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from eip_contract.report import NodeReport, ReportRejected

from eip_arbiter.arbitrate import announcing, narrating
from eip_arbiter.arbitrate.announcing import Announcer, Silent
from eip_arbiter.arbitrate.lookups import Lookups, NotTaggedError
from eip_arbiter.arbitrate.moving import ElasticIps, Mover
from eip_arbiter.arbitrate.registering import Registry
from eip_arbiter.decision import decide
from eip_arbiter.decision.outcome import Change, Decision, Keep, Note, Resume
from eip_arbiter.decision.policy import Policy
from eip_arbiter.decision.snapshot import Address, Node, Order, Snapshot
from eip_arbiter.decision.transition import apply, ordered, settle
from eip_arbiter.ports import (
    Committed,
    HistoryEntry,
    Inventory,
    MoveFailedError,
    Recorded,
    StaleReport,
    Store,
    Telemetry,
    Unregistered,
)

AHEAD_SECONDS = 300
"""An incarnation begins as the time in seconds, and no clock may be further ahead than this."""
EVERY_RESOURCE = "*"
"""The resource of a line of history that is about the whole cluster; no resource has this name."""


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
            raise RuntimeError(f"{report.instance_id} was registered, and yet is not known")
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
        try:
            self.registry.register(report)
        except ReportRejected as refusal:
            self.lookups.refused(report, refusal)
            raise

    def _refresh(self, report: NodeReport, node: Node) -> None:
        """An agent has started anew: what was registered of its node is looked up again.

        Its interface may have been replaced, its tags or the cluster's addresses may have changed.
        Where EC2 must not be asked yet or does not answer, a later report has it looked up.
        """
        if not self.lookups.may_ask(report, self.clock()):
            return
        try:
            self._register(report)
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
        self, snapshot: Snapshot, resource: str, order: Order, line: str
    ) -> Snapshot | None:
        """Accepts an operator's order and carries it out; None if the state changed meanwhile.

        The history's line comes before the move: whatever becomes of it, who ordered it is there.
        """
        address = ordered(snapshot.addresses[resource], order)
        outcome = self.store.commit(snapshot, address, ())
        if not isinstance(outcome, Committed):
            return None
        self.tell_history(
            outcome.snapshot, address, kind="note", at_ms=order.issued_at_ms, sentence=line
        )
        return self.on_snapshot(outcome.snapshot)

    def on_snapshot(self, snapshot: Snapshot) -> Snapshot:
        """Decides every address of the cluster; returns the newest snapshot it has.

        What is to be announced is sent at the end, when no address waits for it any more.
        """
        try:
            for resource in snapshot.addresses:
                decision = decide(snapshot, resource, self.policy, self.clock())
                snapshot = self._carry_out(snapshot, resource, decision)
        finally:
            self.announcer.send()
        return snapshot

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
        outcome = self.store.commit(snapshot, after, change.rested_on)
        facts = narrating.fields(snapshot, after)
        if not isinstance(outcome, Committed):
            self.telemetry.kept(
                change.rule, f"not done, a newer report is there: {change.sentence}", **facts
            )
            return snapshot
        self.telemetry.decided(change.rule, change.sentence, **facts)
        if not isinstance(change, Note):
            # A resumed move may have got as far as EC2 before.
            look = isinstance(change, Resume)
            return self._move(outcome.snapshot, address.resource, change.sentence, look=look)
        if change.refusal and change.refusal != address.refusal:
            self.telemetry.count("SplitBrain", snapshot.cluster_id)
            self.announcer.announce(
                announcing.split_brain(
                    outcome.snapshot, after, change.rule, change.sentence, self.clock()
                )
            )
        self.tell_history(
            outcome.snapshot,
            after,
            kind="note",
            at_ms=now,
            sentence=f"{change.rule}: {change.sentence}",
        )
        return outcome.snapshot

    def _move(self, snapshot: Snapshot, resource: str, sentence: str, *, look: bool) -> Snapshot:
        """Makes EC2 agree with the grant in force, then writes that it does."""
        address = snapshot.addresses[resource]
        facts = narrating.fields(snapshot, address)
        started_ms = self.clock()
        try:
            mover = Mover(self.elastic_ips, self.policy, self.clock)
            placed = mover.place(snapshot, address, look=look)
        except MoveFailedError as error:
            failure = (
                f"{address.public_ip} ({resource}) was not moved under term {address.term}: "
                f"{error}; it stays moving and is resumed by R031"
            )
            self.telemetry.count("MoveFailed", snapshot.cluster_id)
            self.telemetry.failed(failure, **facts)
            self.announcer.announce(
                announcing.move_failed(snapshot, address, error.code, failure, self.clock())
            )
            if not look:
                # Now, while it is known why it was granted: a resumed move keeps this line.
                self._tell_move(snapshot, address, f"{sentence} (not done at once: {error.code})")
            return snapshot
        # Before the settlement: if this invocation dies in between, the resumed move writes it.
        self._tell_move(snapshot, address, sentence)
        settled = settle(
            address,
            placed.association_id if placed else None,
            placed.interface_id if placed else None,
            self.clock(),
        )
        outcome = self.store.settle(snapshot, settled)
        if not isinstance(outcome, Committed):
            self.telemetry.kept(
                address.rule, f"term {address.term} was overtaken while it moved", **facts
            )
            return snapshot
        self.telemetry.decided(
            address.rule,
            f"settled: {narrating.where(snapshot, settled)}",
            **narrating.fields(snapshot, settled),
        )
        if settled.association_id != address.association_id:
            # EC2 changed something: an address that was found in its place has not moved.
            self.telemetry.count("Moves", snapshot.cluster_id)
            self.telemetry.count("MoveTime", snapshot.cluster_id, self.clock() - started_ms)
            self.announcer.announce(
                announcing.address_moved(outcome.snapshot, address, address.interface_id, sentence)
            )
        return outcome.snapshot

    def _tell_move(self, snapshot: Snapshot, address: Address, sentence: str) -> None:
        """The history's one line of the grant or release in force; its first writing stays."""
        self.tell_history(
            snapshot,
            address,
            kind="grant" if address.holder else "release",
            at_ms=address.changed_at_ms,
            sentence=f"{address.rule}: {sentence}",
        )

    def tell_history(
        self, snapshot: Snapshot, address: Address | None, *, kind: str, at_ms: int, sentence: str
    ) -> None:
        """Adds a line with the reports that were known; one about no address is about them all."""
        self.store.append_history(
            HistoryEntry(
                cluster_id=snapshot.cluster_id,
                resource=address.resource if address else EVERY_RESOURCE,
                term=address.term if address else 0,
                at_ms=at_ms,
                kind=kind,
                sentence=sentence,
                evidence=narrating.evidence(snapshot),
            )
        )
