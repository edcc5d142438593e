"""Both stores through the same random steps: whatever they answer must be the same."""

# ruff: noqa: S311 - a run must be repeatable, nothing is secret

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import builders
import pytest
from eip_arbiter.decision.snapshot import (
    GOING_INSTANCE,
    HistoryEntry,
    Order,
    OrderKind,
    Phase,
    Refusal,
    Snapshot,
)
from eip_arbiter.ports import Store

from lab.embedded.cloud import EmbeddedAws
from simulation.both_stores import (
    NOW,
    Subject,
    in_dynamodb,
    in_memory,
    line,
    nothing,
    report,
    seen,
    unheld,
)

STEPS = {
    "record": 4,
    "state": 4,
    "register": 3,
    "commit": 3,
    "settle": 2,
    "pause": 1,
    "forget": 1,
    "tell": 2,
    "readdress": 1,
    "read": 1,
    "history": 1,
}
"""How often each is taken, so that most of them find what they are about."""
RETRIED = ("record", "commit", "settle", "pause", "forget")
"""Steps of one conditional write, which the client may have to send twice."""


class Twins:
    """Both stores through the same random steps; whatever they answer must be the same."""

    def __init__(self, one: Subject, other: Subject, seed: int) -> None:
        self.subjects = one, other
        self.cluster_id, self.rng = f"twins-{seed}", random.Random(seed)
        # An instance points to one cluster, and all tests share a table: each seed has its own.
        self._first = 16 * (seed + 64)
        self.old: list[Snapshot] = []
        self.at_ms = NOW

    def step(self) -> None:
        rng = self.rng
        self.at_ms += rng.randint(0, 3)
        number = rng.randint(1, 3)
        (name,) = rng.choices(list(STEPS), list(STEPS.values()))
        retried = name in RETRIED and rng.random() < 0.2
        answers = [self._answer(subject, name, number, retried) for subject in self.subjects]
        rng.random()
        assert answers[0] == answers[1], name
        snapshot = getattr(answers[0], "snapshot", answers[0])
        if isinstance(snapshot, Snapshot):
            self.old.append(snapshot)

    def _answer(self, subject: Subject, name: str, number: int, retried: bool) -> Any:
        state = self.rng.getstate()

        def act() -> Any:
            return getattr(self, name)(subject.store, number, state)

        return subject.retried(act, nothing) if retried and self.old else act()

    def _again(self, state: Any) -> random.Random:
        rng = random.Random()
        rng.setstate(state)
        return rng

    def _old(self, rng: random.Random) -> Snapshot | None:
        if not self.old:
            return None
        return self.old[-1] if rng.random() < 0.6 else rng.choice(self.old[-6:])

    def record(self, store: Store, number: int, state: Any) -> Any:
        rng = self._again(state)
        said = report(
            self.cluster_id,
            number,
            seq=rng.randint(0, 12),
            incarnation=rng.randint(1, 2),
            lost=rng.choice(((), ("n2",))),
            awaiting=rng.choice(((), ("eip",))),
            state=rng.choice(("started", "starting", "stopped", "failed")),
            public_ips=rng.choice((None, (), ("203.0.113.1",))),
        )
        said = replace(said, instance_id=self._instance(number))
        return store.record_report(said, self.at_ms, rng.choice((0, 40_000)))

    def state(self, store: Store, number: int, state: Any) -> Any:
        rng = self._again(state)
        return store.record_instance_state(
            self._instance(number),
            rng.choice(GOING_INSTANCE),
            (self.at_ms // 1000 - rng.randint(0, 1)) * 1000,  # EC2's events tell whole seconds
        )

    def _instance(self, number: int) -> str:
        return builders.instance_id(self._first + number)

    def register(self, store: Store, number: int, state: Any) -> Any:
        rng = self._again(state)
        node = replace(
            builders.node(number, None),
            instance_id=self._instance(number),
            priority=rng.randint(0, 1),
            nofailover=rng.random() < 0.2,
        )
        addresses = rng.choice(((unheld(),), (unheld(), unheld("vip", 1))))
        store.register(self.cluster_id, node, addresses)
        return store.read(self.cluster_id)

    def readdress(self, store: Store, number: int, state: Any) -> Any:
        snapshot = self._old(self._again(state))
        if snapshot is None:
            return None
        turned = {
            resource: replace(address, private_ip_index=number % 2)
            for resource, address in snapshot.addresses.items()
        }
        return store.readdress(snapshot, turned)

    def commit(self, store: Store, number: int, state: Any) -> Any:
        rng = self._again(state)
        snapshot = self._old(rng)
        if snapshot is None:
            return None
        resource = rng.choice(sorted(snapshot.addresses))
        address = replace(
            snapshot.addresses[resource],
            holder=rng.choice((None, self._instance(number))),
            term=snapshot.addresses[resource].term + rng.randint(0, 1),
            phase=rng.choice((Phase.MOVING, Phase.MOVING, Phase.SETTLED)),
            changed_at_ms=self.at_ms,
            deadline_ms=self.at_ms + 9,
            rule=rng.choice(("R050", "R070")),
            recent_moves_ms=rng.choice(((), (self.at_ms,))),
            refusal=rng.choice((None, Refusal(self._instance(1), self.at_ms))),
            order=rng.choice((None, *self._orders())),
            ended_orders=rng.choice(((), ("0123456789abcdef", "0123456789"))),
        )
        rested_on = rng.choice(((), seen(snapshot)))
        return store.commit(
            snapshot, address, rested_on, self._line(snapshot, rng), self._told(rng)
        )

    def _line(self, snapshot: Snapshot, rng: random.Random) -> HistoryEntry | None:
        return line(snapshot, at_ms=self.at_ms) if rng.random() < 0.7 else None

    def _told(self, rng: random.Random) -> list[int]:
        """Lines that wait, of which some wait no longer."""
        waiting = self.old[-1].waiting if self.old else ()
        return [entry.version for entry in waiting if rng.random() < 0.5]

    def _orders(self) -> list[Order]:
        target = self._instance(2)
        return [
            Order("o", target, True, self.at_ms, NOW, kind, holder)
            for kind in OrderKind
            for holder in ("", self._instance(1))
        ]

    def settle(self, store: Store, number: int, state: Any) -> Any:
        rng = self._again(state)
        snapshot = self._old(rng)
        if snapshot is None:
            return None
        address = snapshot.addresses[rng.choice(sorted(snapshot.addresses))]
        association = rng.choice((None, f"eipassoc-{number}"))
        return store.settle(
            snapshot,
            replace(
                address,
                phase=Phase.SETTLED,
                association_id=association,
                interface_id=association and f"eni-{number}",
                changed_at_ms=self.at_ms,
            ),
            self._told(rng),
        )

    def pause(self, store: Store, number: int, state: Any) -> Any:
        rng = self._again(state)
        snapshot = self._old(rng)
        if snapshot is None:
            return None
        return store.pause(snapshot, self.at_ms * (number % 2), self._line(snapshot, rng))

    def forget(self, store: Store, number: int, state: Any) -> Any:
        rng = self._again(state)
        snapshot = self._old(rng)
        return snapshot and store.forget(
            snapshot, (self._instance(number),), self._line(snapshot, rng)
        )

    def tell(self, store: Store, number: int, state: Any) -> Any:  # noqa: ARG002
        told = self._told(self._again(state))
        if told:
            store.drop_waiting(self.cluster_id, told)
        return store.read(self.cluster_id)

    def read(self, store: Store, number: int, state: Any) -> Any:  # noqa: ARG002
        return store.read(self.cluster_id)

    def history(self, store: Store, number: int, state: Any) -> Any:  # noqa: ARG002
        store.append_history(
            HistoryEntry(self.cluster_id, 1, "eip", number, NOW, "grant", "a sentence", "{}")
        )
        return store.read(self.cluster_id)


@pytest.mark.parametrize("seed", range(12))
def test_both_stores_answer_every_step_the_same(aws: EmbeddedAws, seed: int) -> None:
    twins = Twins(in_memory(), in_dynamodb(aws), seed)
    for _ in range(90):
        twins.step()
    assert len({type(answer) for answer in twins.old}) == 1
