"""A committed grant or release is carried out at EC2, and what became of it is written and told.

Nothing is caught here but a failed move, which stays `moving` in the state until R031 resumes it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

from eip_arbiter.arbitrate import announcing, narrating
from eip_arbiter.arbitrate.announcing import Announcer
from eip_arbiter.arbitrate.moving import ElasticIps, Mover
from eip_arbiter.arbitrate.outbox import Outbox
from eip_arbiter.decision import transition
from eip_arbiter.decision.policy import Policy
from eip_arbiter.decision.snapshot import Address, Phase, Snapshot
from eip_arbiter.ports import Committed, MoveFailedError, Store, Telemetry

COMMITS_TRIED = 2


@dataclass(frozen=True)
class Settler:
    """The parts that carrying out takes; `clock` gives milliseconds since the epoch."""

    store: Store
    elastic_ips: ElasticIps
    telemetry: Telemetry
    announcer: Announcer
    outbox: Outbox
    policy: Policy
    clock: Callable[[], int]

    def settle(
        self,
        snapshot: Snapshot,
        resource: str,
        sentence: str,
        *,
        look: bool,
        again: bool = True,
    ) -> Snapshot:
        """Makes EC2 agree with the grant in force, then writes that it does.

        `again`: if it was overtaken, what it did at EC2 is put right.
        """
        address = snapshot.addresses[resource]
        facts = narrating.fields(snapshot, address)
        started_ms = self.clock()
        try:
            mover = Mover(self.elastic_ips, self.policy, self.clock)
            placed = mover.place(snapshot, address, look=look)
        except MoveFailedError as error:
            return self._failed(snapshot, address, error)
        # Before the settlement, which ends their waiting: so they cost no call of their own.
        told = self.outbox.put(snapshot.waiting)
        settled = transition.settle(
            address,
            placed.association_id if placed else None,
            placed.interface_id if placed else None,
            self.clock(),
        )
        outcome = self.store.settle(snapshot, settled, told)
        if not isinstance(outcome, Committed):
            self.telemetry.kept(
                address.rule, f"term {address.term} was overtaken while it moved", **facts
            )
            snapshot = self.outbox.drop(snapshot, told)
            return self._put_right(snapshot, address, sentence) if again else snapshot
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

    def _failed(self, snapshot: Snapshot, address: Address, error: MoveFailedError) -> Snapshot:
        """EC2 did not do it: told and left to R031, soon if nothing is under way there."""
        failure = (
            f"{address.public_ip} ({address.resource}) was not moved under term {address.term}: "
            f"{error}; it stays moving and is resumed by R031"
        )
        self.telemetry.count("MoveFailed", snapshot.cluster_id)
        self.telemetry.failed(failure, **narrating.fields(snapshot, address))
        self.announcer.announce(
            announcing.move_failed(snapshot, address, error.code, failure, self.clock())
        )
        # Now, while it is known that it was not done at once: a line's first writing stays.
        lines = [narrating.not_at_once(e, address, error.code) for e in snapshot.waiting]
        told = self.outbox.put(lines)
        sooner = self._soon_again(snapshot, address, told) if error.refused else None
        return sooner or self.outbox.drop(snapshot, told)

    def _soon_again(
        self, snapshot: Snapshot, address: Address, told: Collection[int]
    ) -> Snapshot | None:
        """The grant with a deadline soon from now; None where it is not this one any more.

        Another address of the cluster may be decided at the same time, which is no reason to wait.
        """
        now: Snapshot | None = snapshot
        for _ in range(COMMITS_TRIED):
            found = now.addresses.get(address.resource) if now else None
            soon_ms = self.clock() + self.policy.retry_ms
            if now is None or found is None or _move(found) != _move(address):
                return None
            if soon_ms >= found.deadline_ms:
                return None
            waits = replace(found, deadline_ms=soon_ms)
            outcome = self.store.commit(now, waits, (), told=told)
            if isinstance(outcome, Committed):
                return outcome.snapshot
            now = self.store.read(snapshot.cluster_id)
        return None

    def _put_right(self, snapshot: Snapshot, overtaken: Address, sentence: str) -> Snapshot:
        """A call to EC2 that ended after a newer grant was made may have displaced that one.

        Nobody else would look there before R080 does: whoever settles it has seen EC2 agree. While
        the newer move is still under way, its mover is made to look again at the end, and nothing
        is called: of two calls under one term, one could land after a later term is settled.
        """
        try:
            found = self.elastic_ips.locate(overtaken.allocation_id)
        except MoveFailedError as error:
            self.telemetry.failed(f"{overtaken.public_ip} was not looked for: {error}")
            return snapshot
        # What EC2 said stays true enough; the state may change between its read and the commit.
        for _ in range(COMMITS_TRIED):
            now = self.store.read(snapshot.cluster_id)
            address = now.addresses.get(overtaken.resource) if now else None
            node = now.nodes.get(address.holder or "") if now and address else None
            if now is None or address is None or node is None:
                break
            if self._is_to_look_again(overtaken, address):
                return self.settle(now, address.resource, sentence, look=True, again=False)
            if found and found.interface_id == node.interface_id:
                return now
            under_way = address.phase is Phase.MOVING and self.clock() < address.deadline_ms
            why = (
                f"{narrating.where(now, address)}, but a call of term {overtaken.term} ended late "
                "and took it away; "
                + ("whoever moves it looks again" if under_way else "it is put back")
            )
            again = self._commit_again(now, address, why)
            if again and under_way:
                return again
            if again:
                return self.settle(again, address.resource, why, look=True, again=False)
        return now or snapshot

    def _is_to_look_again(self, mine: Address, now: Address) -> bool:
        """Whether this very move is still under way, and somebody's late call may be in its way.

        Who resumes a move does so after its deadline, and gives it one that is later by the whole
        time of a move; who had a late call does so before it.
        """
        return (now.term, now.phase) == (
            mine.term,
            Phase.MOVING,
        ) and 0 < now.deadline_ms - mine.deadline_ms < self.policy.move_ms

    def _commit_again(self, snapshot: Snapshot, address: Address, why: str) -> Snapshot | None:
        """The grant in force is to be carried out once more, under its own term."""
        at_ms = self.clock()
        moving = replace(address, phase=Phase.MOVING, deadline_ms=at_ms + self.policy.move_ms)
        line = narrating.line(snapshot, moving, kind="note", at_ms=at_ms, sentence=f"R031: {why}")
        outcome = self.store.commit(snapshot, moving, (), line)
        if not isinstance(outcome, Committed):
            return None
        self.telemetry.decided("R031", why, **narrating.fields(snapshot, moving))
        return outcome.snapshot


def _move(address: Address) -> tuple[int, Phase, int]:
    """Which move is under way, if one is."""
    return address.term, address.phase, address.deadline_ms
