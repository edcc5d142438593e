"""Questions about a round that its facts answer: where it ran, who was cut off, who could speak.

Times of grace are for what is on its way when a fault ends; each is said where it is defined.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import inf

from lab.rounds.facts import Facts, Operation, Put
from lab.rounds.plan import HOLDER, role_name

LOGGED_SECONDS = 0.05
"""Pacemaker's log takes its time from a coarse clock."""

FRESH_SECONDS = 2.5
"""A claim counts for so long after it was received: twice the 0.25 s that it promised, plus 2 s."""

DELIVERY_SECONDS = 3.0
"""From the bus into the state, on a loaded machine, cold starts included."""

LATE_SECONDS = 5.0
"""So late are events at the most in a round that delays them."""

SPEECH_SECONDS = 5.0
"""What could not speak is heard again so long after the end of its fault at the latest."""

CHALLENGED_SECONDS = 1.0
"""A challenged holder reports so often: its last word may be so old when a fault begins."""

ANSWER_SECONDS = 3.0
"""How long a challenged holder may be silent."""

START_SECONDS = 20.0
"""Pacemaker's time-out of a start: what a cut has set off may go on for so long after it."""

REAL_QUORUM = 3
"""From so many nodes on, only one side of a cut is quorate."""

_OK = 0


class Story:
    """One round's facts, asked by the judge."""

    def __init__(self, facts: Facts) -> None:
        self.facts = facts

    def role(self, node: str) -> str:
        """A node's role when the round began, in words."""
        others = [n for n in self.facts.nodes if n != self.facts.holder]
        return role_name(HOLDER if node == self.facts.holder else 1 + others.index(node))

    def runs_at(self, node: str, at: float) -> bool:
        """Whether the resource runs on a node, by what Pacemaker did there and whether it lives."""
        runs = node == self.facts.holder
        for when, now in sorted(self._turns(node)):
            if when <= at:
                runs = now
        return runs

    def _turns(self, node: str) -> Iterator[tuple[float, bool]]:
        for operation in self.of(node):
            if operation.rc == _OK and operation.action in ("start", "monitor", "probe"):
                yield operation.at, True
            elif operation.action == "stop" and operation.rc is None:
                yield operation.at, False
            elif operation.rc not in (None, _OK) and operation.action in ("start", "monitor"):
                # The agent has said so to the control plane before Pacemaker wrote it down.
                yield operation.at - 1.0 - LOGGED_SECONDS, False
        for put in self.facts.puts:
            if put.kind.takes_power and put.node == node:
                yield put.in_force_at if put.kind_name == "reboot" else put.put_at, False

    def of(self, node: str) -> list[Operation]:
        """What Pacemaker did on a node, in order."""
        return [operation for operation in self.facts.operations if operation.node == node]

    def claimed_at(self, node: str, at: float) -> bool:
        """Whether Pacemaker on a node was starting or running the resource a fresh claim ago."""
        late = FRESH_SECONDS + DELIVERY_SECONDS
        if any(put.kind_name == "events_late" for put in self.facts.puts):
            late += LATE_SECONDS
        return any(
            since - LOGGED_SECONDS <= at <= until + late for since, until in self._claims(node)
        )

    def _claims(self, node: str) -> Iterator[tuple[float, float]]:
        """The times in which Pacemaker on a node starts or runs it, and the node is alive."""
        since = -inf if node == self.facts.holder else None
        for when, now in sorted([*self._attempts(node), *self._standstills(node)]):
            if now and since is None:
                since = when
            elif not now and since is not None:
                yield since, when
                since = None
        if since is not None:
            yield since, inf

    def _attempts(self, node: str) -> Iterator[tuple[float, bool]]:
        for operation in self.of(node):
            if operation.action == "start" and operation.rc is None:
                yield operation.at, True
        yield from self._turns(node)

    def _standstills(self, node: str) -> Iterator[tuple[float, bool]]:
        for put in self.puts_on(node, "freeze"):
            yield put.in_force_at, False
            # It goes on where it stood, if with a start or a copy that will have to end.
            yield put.lifting_at, True

    def puts_on(self, node: str, *kinds: str) -> list[Put]:
        """The faults of these kinds that hit a node."""
        return [p for p in self.facts.puts if p.kind_name in kinds and p.hits(node)]

    def location_at(self, at: float) -> str:
        """Where EC2 had the address."""
        where = self.facts.holder
        for move in self.facts.moves:
            if move.at <= at:
                where = move.target
        return where

    def was_muted(self, node: str, at: float) -> Put | None:
        """The fault that kept a node's words from the control plane, long enough by then."""
        silent = ANSWER_SECONDS - CHALLENGED_SECONDS
        for put in self.facts.puts:
            muted = put.hits(node) and put.kind.mutes
            if muted and put.put_at + silent <= at <= put.lifted_at + SPEECH_SECONDS:
                return put
        return None

    def was_divided(self, at: float) -> Put | None:
        """A fault that may have kept nodes out of each other's sight until then."""
        for put in self.facts.puts:
            until = put.lifted_at + START_SECONDS + SPEECH_SECONDS
            if put.kind.divides and put.put_at <= at <= until:
                return put
        return None

    def lost_quorum(self, node: str, at: float) -> Put | None:
        """The cut that left a node on the side without a real quorum."""
        if len(self.facts.nodes) < REAL_QUORUM:
            return None
        for put in self.puts_on(node, "partition", "loss_in", "loss_out"):
            if put.put_at <= at <= put.lifted_at + START_SECONDS:
                return put
        return None

    def excuse(self, node: str, at: float) -> str:
        """Why an address may leave a node then, by the faults and by Pacemaker; else empty."""
        if not self.runs_at(node, at):
            return "it does not run there"
        for put in self.puts_on(node, "kill_corosync", "kill_pacemaker"):
            if put.put_at <= at <= put.lifted_at + SPEECH_SECONDS:
                return f"{put}: its Pacemaker is gone"
        divided, muted = self.was_divided(at), self.was_muted(node, at)
        if divided and muted:
            return f"{divided}, and it was not heard: {muted}"
        alone = self.lost_quorum(node, at)
        return f"{alone}: without a quorum" if alone else ""

    def disturbers(self) -> list[Put]:
        """The faults on account of which the holder's service may rightly be stopped."""
        holder, puts = self.facts.holder, self.facts.puts
        real_quorum = len(self.facts.nodes) >= REAL_QUORUM
        found = []
        for put in puts:
            on_holder = put.node == holder
            isolates = real_quorum and put.kind.divides
            if on_holder and (put.kind.ends_service or isolates):
                found.append(put)
            divided = any(
                other.kind.divides and other.overlaps(put.put_at - START_SECONDS, put.lifted_at)
                for other in puts
                if other is not put
            )
            if put.hits(holder) and put.kind.mutes and divided:
                found.append(put)
        return found
