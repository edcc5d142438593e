"""A modelled Corosync: links that are seen to go, and memberships that follow later.

Times are those measured on a real cluster (token 1000): a link is seen down after 0.24 to 0.65 s,
a young one later; a node is dropped after token + consensus (2.2 token); a link is seen up after
0.84 to 1.2 s and the membership is whole after 1.0 to 1.6 s. A cut in one direction takes the link
down on both sides, as knet's pings need their pongs.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from simulation.clock import Loop, Process

YOUNG_LINK_SECONDS = 5.0
RETURNED_SECONDS = 0.9
LEFT_OUT_SECONDS = (4.0, 13.0)
"""A node of a partial mesh that the others leave out learns so much later of its membership."""


class Member(Protocol):
    """What Corosync needs of a node."""

    name: str
    number: int
    stack: str
    process: Process
    view: tuple[str, ...]
    left_cleanly: bool


@dataclass
class Pair:
    """Two nodes' link: whether it works, and what either end has seen of it."""

    ends: tuple[Member, Member]
    works: bool = False
    changed_at: float = -100.0
    cuts: int = 0
    clean: bool = False
    seen: dict[str, bool] = field(default_factory=dict)


class Corosync:
    """All links and memberships of one cluster.

    Args:
        saw_link: called in the name of a node when one of its links changed for it.
        reformed: called with (members, nodes) for each new membership.
    """

    def __init__(
        self,
        loop: Loop,
        rng: random.Random,
        members: Sequence[Member],
        *,
        token_seconds: float,
        saw_link: Callable[[Member], None],
        reformed: Callable[[tuple[str, ...], list[Member]], None],
    ) -> None:
        self._loop, self._rng, self._members = loop, rng, members
        self._loss_seconds = 2.2 * token_seconds
        self._link_factor = max(1.0, 0.6 * token_seconds)
        self._saw_link, self._reformed = saw_link, reformed
        self._late: dict[tuple[str, ...], float] = {}
        self.pairs = {
            frozenset((a.name, b.name)): Pair((a, b)) for a, b in itertools.combinations(members, 2)
        }

    def cut(self, a: str, b: str, by: int) -> None:
        """Adds (by=1) or takes back (by=-1) one cut between two nodes."""
        self.pairs[frozenset((a, b))].cuts += by

    def heal(self) -> None:
        """Takes back all cuts."""
        for pair in self.pairs.values():
            pair.cuts = 0
        self.refresh()

    def forget(self, node: Member) -> None:
        """A Corosync that starts has seen no link yet."""
        for pair in self.pairs.values():
            pair.seen.pop(node.name, None)

    def sees(self, node: Member, peer: str) -> bool:
        """Whether this node's links reach the peer, by its own knowledge."""
        return peer == node.name or self.pairs[frozenset((node.name, peer))].seen.get(
            node.name, False
        )

    def refresh(self) -> None:
        """Looks at every link again, after something changed that links depend on."""
        for pair in self.pairs.values():
            a, b = pair.ends
            works = _speaks(a) and _speaks(b) and pair.cuts <= 0
            if works != pair.works:
                self._changed(pair, works=works)

    def woke(self) -> None:
        """A node stood still and goes on: it finds its own membership out, whoever is gone."""
        self.refresh()
        self._loop.at(self._loss_seconds + 0.2, self.reform)

    def _changed(self, pair: Pair, *, works: bool) -> None:
        rng, loop = self._rng, self._loop
        young = loop.now - pair.changed_at < YOUNG_LINK_SECONDS
        pair.works, pair.changed_at = works, loop.now
        pair.clean = any(end.left_cleanly for end in pair.ends)
        if works:
            seen_after, formed_after = rng.uniform(0.84, 1.2), rng.uniform(1.0, 1.6)
        else:
            seen_after = rng.uniform(0.6, 1.6) if young else rng.uniform(0.24, 0.65)
            seen_after *= self._link_factor
            formed_after = 0.2 if pair.clean else self._loss_seconds + rng.uniform(0.0, 0.15)
        for end in pair.ends:
            loop.at(
                seen_after + rng.uniform(0.0, 0.04),
                lambda end=end, at=loop.now: self._see(pair, end, at),  # type: ignore[misc]
                end.process,
            )
        loop.at(formed_after, self.reform)

    def _see(self, pair: Pair, end: Member, changed_at: float) -> None:
        if pair.changed_at != changed_at or pair.seen.get(end.name) == pair.works:
            return
        pair.seen[end.name] = pair.works
        self._saw_link(end)

    def reform(self) -> None:
        """Forms memberships of what is connected now; partial connectivity yields cliques."""
        left, formed = list(self._members), list[Member]()
        late, self._late = self._late, {}
        while left:
            clique: list[Member] = []
            for node in left:
                if all(self._together(node, other) for other in clique):
                    clique.append(node)
            left = [node for node in left if node not in clique]
            members = tuple(node.name for node in clique)
            if self._is_left_out(clique, formed) and self._is_late(members, late):
                continue
            formed += clique
            changed = [n for n in clique if _speaks(n) and n.view != members]
            if changed:
                for node in changed:
                    node.view = members
                self._reformed(members, [n for n in clique if _speaks(n)])

    def _is_left_out(self, clique: list[Member], formed: list[Member]) -> bool:
        """Whether these are dropped by others whom some of them still hear."""
        members = {node.name for node in clique}
        shrinks = any(members < set(node.view) for node in clique)
        pairs = ((a, b) for a in clique for b in formed) if shrinks else ()
        return any(self.pairs[frozenset((a.name, b.name))].works for a, b in pairs)

    def _is_late(self, members: tuple[str, ...], late: dict[tuple[str, ...], float]) -> bool:
        """Whether those that were left out do not know it yet: they go on asking for a token."""
        now = self._loop.now
        until = late.get(members)
        if until is None:
            until = now + self._rng.uniform(*LEFT_OUT_SECONDS)
            self._loop.at(until - now, self.reform)
        self._late[members] = until
        return now < until

    def _together(self, a: Member, b: Member) -> bool:
        pair = self.pairs[frozenset((a.name, b.name))]
        age = self._loop.now - pair.changed_at
        known = a.name in b.view or b.name in a.view
        if pair.works:
            return known or age >= RETURNED_SECONDS
        return known and not pair.clean and age < self._loss_seconds - 0.01


def _speaks(node: Member) -> bool:
    return node.stack == "up" and node.process.alive and not node.process.frozen
