"""The stage of the scenes: what they wait for, what they measure, and what they note as wrong.

A scene never asserts: it measures, lists what was wrong, and the next scene goes on.
"""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from lab.cluster.protocol import ClusterError
from lab.embedded.journal import Move
from lab.site import CLUSTER_ID, Site
from lab.timeline import Timeline

SETTLE_SECONDS = 45.0


@dataclass
class Outcome:
    """What came of a scene. Times are seconds after the fault, None for what did not happen."""

    scene: str
    suspicion_seconds: float | None = None
    claim_seconds: float | None = None
    grant_seconds: float | None = None
    association_seconds: float | None = None
    started_seconds: float | None = None
    nobody_seconds: float = 0.0
    rule: str = ""
    term: int = 0
    moves: int = 0
    cold_starts: int = 0
    calls: dict[str, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether all was as it must be."""
        return not self.problems


class Stage:
    """A site and its timeline, with the questions that scenes ask.

    Args:
        site: where it happens.
        timeline: what records it.
        outage_seconds: how long AWS is away in the scene about that.
    """

    def __init__(self, site: Site, timeline: Timeline, *, outage_seconds: float) -> None:
        self.site, self.timeline = site, timeline
        self.cluster, self.world = site.cluster, site.world
        self.outage_seconds = outage_seconds
        self._whole_since = time.monotonic()

    def begin(self, title: str) -> tuple[Outcome, float]:
        """Announces a scene; gives its outcome to fill in, and when it began."""
        return Outcome(title.partition(":")[0]), self.timeline.scene(title)

    def active(self) -> tuple[str, str]:
        """The node that runs the resource and holds the address, and the other one.

        A node that has just lost the address may have to wait for a public one of its own first.
        """
        self.cluster.wait_until(
            lambda: not self.world.own.mute(),
            "every node has a way to AWS",
            self.world.own.patience_seconds + 15,
        )
        self.cluster.wait_until(
            lambda: self.steady() and self.all_told() and self.all_joined(),
            "one node runs the resource and holds its address, and all have joined",
        )
        (active,) = self.site.running_on()
        return active, next(node for node in self.cluster.nodes if node != active)

    def rest(self) -> None:
        """Waits until the nodes' links are old enough for a fault's times to be usual ones."""
        time.sleep(max(0.0, self._whole_since + self.site.rest_seconds - time.monotonic()))

    def steady(self) -> bool:
        """Whether one node runs the resource and holds the address."""
        running = self.site.running_on()
        return len(running) == 1 and self.world.holder() == running[0]

    def await_quiet(self) -> None:
        """Waits until no report has come for a second."""
        seen = -1
        while seen != self.timeline.reports:
            seen = self.timeline.reports
            time.sleep(1.0)

    def all_told(self) -> bool:
        """Whether each move's grant has been told: a function's lines are known when it ends."""
        since = self.timeline.listens_since  # the first grant may be older
        moves = [move for move in self.site.aws.journal.moves(since=since) if move.to_instance]
        return len(self.timeline.since(0.0, "grant")) >= len(moves)

    def all_joined(self) -> bool:
        """Whether every node is registered and nothing is being decided.

        The calls of a join, which is slow on a cold start, would be counted as the next scene's.
        """
        if self.site.aws.functions.get("Arbitrate").is_busy:
            return False
        return len(self.status()["nodes"]) == len(self.cluster.nodes)

    def await_takeover(self, outcome: Outcome, node: str) -> None:
        """Waits until this node alone runs the resource and holds the address."""
        self.wait_for(
            outcome,
            lambda: self.site.running_on() == [node] and self.world.holder() == node,
            f"{node} runs the resource and holds the address, alone",
            SETTLE_SECONDS,
        )

    def whole(self, outcome: Outcome, active: str) -> None:
        """Waits for the membership, for Pacemaker's view, and for calm reports of every node."""
        nodes = tuple(sorted(self.cluster.nodes))

        def whole() -> bool:
            views = [self.cluster.view(node) for node in nodes]
            return all(v and v.online == nodes and v.started_on("eip") == (active,) for v in views)

        self.wait_for(outcome, whole, f"all nodes are members and {active} runs it", SETTLE_SECONDS)
        self.wait_for(outcome, self.status_is_calm, "the control plane sees no alarm", 15)
        self.expect(outcome, self.world.holder() == active, f"{active} holds the address")
        self._whole_since = time.monotonic()

    def status_is_calm(self) -> bool:
        """Whether the control plane knows of no challenge and no suspicion."""
        status = self.status()
        return not any(a["split_brain"] for a in status["addresses"]) and not any(
            node["suspects"] for node in status["nodes"]
        )

    def status(self) -> dict[str, list[dict[str, object]]]:
        """The operator's `status`."""
        result: dict[str, list[dict[str, object]]] = self.site.aws.invoke(
            "Operate", {"verb": "status", "cluster": CLUSTER_ID}
        ).result
        return result

    def all_heard(self, since: float) -> bool:
        """Whether the control plane has heard every node since then."""
        age_limit_ms = (time.monotonic() - since) * 1000
        return all(
            isinstance(age := node["report_age_ms"], int) and age < age_limit_ms
            for node in self.status()["nodes"]
        )

    def can_run(self, node: str) -> bool:
        """Whether Pacemaker remembers no failure that bans this node."""
        view = self.cluster.view(node)
        return view is not None and not [f for f in view.failures if f.node == node]

    def stopped_on(self, node: str) -> bool:
        """Whether a start failed on this node, and the resource is stopped there."""
        view = self.cluster.view(node)
        resource = view.resource("eip") if view else None
        failed = view is not None and bool(view.failures)
        return failed and resource is not None and node not in resource.running_on

    def noted(self, since: float, rule: str) -> bool:
        """Whether a rule was named since then."""
        return any(h.rule == rule for h in self.timeline.since(since))

    def wait_for(
        self, outcome: Outcome, condition: Callable[[], bool], what: str, seconds: float
    ) -> None:
        """Waits; what does not come true in time is noted as wrong."""
        try:
            self.cluster.wait_until(condition, what, seconds)
        except ClusterError as error:
            outcome.problems.append(str(error))

    def expect(self, outcome: Outcome, holds: bool, what: str) -> None:
        """Notes as wrong what does not hold."""
        if not holds:
            outcome.problems.append(f"expected: {what}")

    def expect_one_move(self, outcome: Outcome, fault: float, to: str, *rules: str) -> None:
        """Notes as wrong all but one move, by one of these rules, to this node."""
        self.expect(outcome, outcome.moves == 1, f"one move, not {outcome.moves}")
        wanted = " or ".join(rules)
        self.expect(outcome, outcome.rule in rules, f"rule {wanted}, not {outcome.rule or 'none'}")
        moves = self.site.aws.journal.moves(since=fault)
        self.expect(
            outcome, bool(moves) and self.timeline.name(moves[-1].to_instance) == to, f"to {to}"
        )

    def failover_budget(self, outcome: Outcome) -> None:
        """A failover: grant and settlement, one EC2 call, one line of history; reports apart."""
        calls = outcome.calls
        self.expect(
            outcome,
            calls.get("AssociateAddress") == 1 and calls.get("PutItem") == 1,
            f"one EC2 call and one line of history, not {calls}",
        )

    def measure(self, outcome: Outcome, fault: float, since: float) -> None:
        """Reads off the timeline and the journal what happened since the fault."""
        journal = self.site.aws.journal
        self.wait_for(outcome, self.all_told, "the grant of each move is told", 10)

        def first(kind: str) -> float | None:
            found = self.timeline.since(since, kind)
            return round(found[0].at - fault, 3) if found else None

        moves = journal.moves(since=since)
        grants = self.timeline.since(since, "grant")
        outcome.suspicion_seconds, outcome.claim_seconds = first("suspicion"), first("claim")
        outcome.grant_seconds = first("grant")
        outcome.association_seconds = round(moves[-1].at - fault, 3) if moves else None
        outcome.started_seconds = self.started(since, fault)
        outcome.nobody_seconds = _nobody(moves)
        outcome.moves = len([m for m in moves if m.to_instance])
        outcome.rule, outcome.term = (grants[-1].rule, grants[-1].term) if grants else ("", 0)
        outcome.cold_starts = self.timeline.cold_starts
        calls = journal.calls(since=since, principal="Arbitrate")
        outcome.calls = dict(Counter(call.operation for call in calls))

    def started(self, since: float, fault: float) -> float | None:
        """When the resource agent's start succeeded on the node that runs it now."""
        marks = [self.site.running_since(node) for node in self.site.running_on()]
        fault_wall = time.time() - (time.monotonic() - fault)
        late = [mark for mark in marks if mark is not None and mark >= fault_wall]
        return round(late[0] - fault_wall, 3) if late and since <= fault else None


def _nobody(moves: list[Move]) -> float:
    """Seconds between each disassociation and the association that followed it."""
    total = 0.0
    for before, after in itertools.pairwise(moves):
        if not before.to_instance:
            total += after.at - before.at
    return round(total, 3)
