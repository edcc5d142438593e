"""The scenes of the story: one fault each, what must come of it, and what did.

A scene never asserts: it measures, lists what was wrong, and the next scene goes on. The same scenes
run on the simulated cluster and on the real one.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from lab.cluster.protocol import AwsCut, ClusterError
from lab.embedded.journal import Move
from lab.site import CLUSTER_ID, START_TIMEOUT_SECONDS, Site
from lab.timeline import Timeline

CALM_SECONDS = 11.0
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


class Scenes:
    """The scenes on one site. Each is a method that takes no argument and returns an `Outcome`."""

    def __init__(self, site: Site, timeline: Timeline, *, outage_seconds: float) -> None:
        self.site, self.timeline = site, timeline
        self.cluster, self.world = site.cluster, site.world
        self.outage_seconds = outage_seconds

    def calm(self) -> Outcome:
        """Nothing happens: a heartbeat is one DynamoDB call, and nothing moves."""
        outcome, began = self._begin("calm heartbeats")
        reports = self.timeline.reports
        time.sleep(CALM_SECONDS)
        reports = self.timeline.reports - reports
        self._measure(outcome, began, began)
        used = sum(outcome.calls.values())
        self._expect(outcome, reports >= len(self.cluster.nodes), "every node reports when calm")
        self._expect(
            outcome,
            outcome.calls == {"UpdateItem": reports},
            f"{reports} heartbeats cost {reports} DynamoDB writes, not {used} calls",
        )
        self.timeline.note(f"{reports} heartbeats, {used} AWS calls of the control plane")
        return outcome

    def planned_stop(self) -> Outcome:
        """Pacemaker and Corosync are stopped on the active node."""
        active, standby = self._active()
        outcome, _ = self._begin(f"planned stop: Corosync is stopped on {active}")
        fault = self.timeline.fault(f"systemctl stop corosync on {active}")
        stopping = threading.Thread(target=self.cluster.stop, args=(active,))
        stopping.start()
        self._await_takeover(outcome, standby)
        stopping.join()
        self._measure(outcome, fault, fault)
        self._expect_one_move(outcome, fault, standby, "R061")
        self._expect(outcome, outcome.nobody_seconds == 0, "the address is never with nobody")
        self._failover_budget(outcome)
        self.cluster.start(active)
        self._whole(outcome, standby)
        return outcome

    def power_loss(self) -> Outcome:
        """The active node loses its power."""
        active, standby = self._active()
        outcome, _ = self._begin(f"power loss: {active} is gone at once")
        fault = self.timeline.fault(f"power off {active}")
        self.cluster.power_off(active)
        self._await_takeover(outcome, standby)
        self._measure(outcome, fault, fault)
        self._expect_one_move(outcome, fault, standby, "R070")
        self.cluster.power_on(active)
        self._whole(outcome, standby)
        return outcome

    def split_brain(self) -> Outcome:
        """The ring is cut while both reach AWS, and healed after the loser's start was refused."""
        active, standby = self._active()
        since = self.site.running_since(active)
        outcome, _ = self._begin(f"split-brain: the ring is cut, {active} holds the address")
        fault = self.timeline.fault("the link between the nodes is cut")
        self.cluster.partition(standby)
        self._await(
            outcome,
            lambda: bool(self.timeline.since(fault, "claim", standby)),
            f"{standby} claims",
            20,
        )
        self._await(
            outcome,
            lambda: self._stopped_on(standby),
            f"the refused start on {standby} is stopped by Pacemaker",
            START_TIMEOUT_SECONDS + 10,
        )
        self._expect(outcome, self.site.running_on() == [active], f"only {active} serves")
        self.timeline.note(f"{standby} gave up; the link heals")
        healed = time.monotonic()
        self.cluster.heal()
        self._whole(outcome, active, healed)
        self._measure(outcome, fault, fault)
        self._expect(outcome, outcome.moves == 0, f"nothing moves, not {outcome.moves} times")
        self._expect(outcome, self._noted(fault, "R072"), "R072 refuses the claim")
        self._expect(
            outcome,
            self.site.running_since(active) == since,
            f"the service on {active} was not restarted",
        )
        outcome.rule = outcome.rule or "R072"
        self._await(
            outcome, lambda: self._can_run(standby), f"{standby} may take over again", 20
        )
        return outcome

    def aws_outage(self, how: AwsCut = "refuse") -> Outcome:
        """AWS does not answer either node for a while."""
        active, _ = self._active()
        since = self.site.running_since(active)
        outcome, _ = self._begin(
            f"AWS outage: both nodes are cut from AWS for {self.outage_seconds:.0f} s"
        )
        fault = self.timeline.fault(f"AWS is cut from both nodes ({how})")
        for node in self.cluster.nodes:
            self.cluster.cut_aws(node, how)
        time.sleep(self.outage_seconds)
        self._expect(outcome, self.site.running_on() == [active], f"{active} serves throughout")
        for node in self.cluster.nodes:
            self.cluster.restore_aws(node)
        back = time.monotonic()
        self.timeline.note("AWS is back")
        self._await(outcome, lambda: self._all_heard(back), "every node is heard again", 11)
        self._measure(outcome, fault, fault)
        self._expect(outcome, outcome.moves == 0, f"nothing moves, not {outcome.moves} times")
        self._expect(
            outcome, self.site.running_since(active) == since, "the service was not restarted"
        )
        return outcome

    def forced_failover(self) -> Outcome:
        """An operator orders the address to the other node; Pacemaker follows."""
        active, standby = self._active()
        outcome, _ = self._begin(f"forced failover: an operator orders the address to {standby}")
        fault = self.timeline.fault(f"invoke Operate: failover to {standby}")
        payload = {"verb": "failover", "cluster": CLUSTER_ID, "target": standby}
        answer = self.site.aws.invoke("Operate", payload).result
        self._expect(outcome, answer["outcome"] == "moved", f"the verb says moved, not {answer}")
        self._await_takeover(outcome, standby)
        self._await(
            outcome,
            lambda: self._status()["addresses"][0]["order"] is None,
            "the order is closed once the target claims",
            20,
        )
        self._measure(outcome, fault, fault)
        self._expect_one_move(outcome, fault, standby, "R020")
        self._whole(outcome, standby)
        self._await(outcome, lambda: self._can_run(active), f"{active} may take over again", 20)
        return outcome

    def _begin(self, title: str) -> tuple[Outcome, float]:
        return Outcome(title.split(":")[0]), self.timeline.scene(title)

    def _active(self) -> tuple[str, str]:
        """The node that runs the resource and holds the address, and the other one."""
        self.cluster.wait_until(self._steady, "one node runs the resource and holds its address")
        (active,) = self.site.running_on()
        return active, next(node for node in self.cluster.nodes if node != active)

    def _steady(self) -> bool:
        running = self.site.running_on()
        return len(running) == 1 and self.world.holder() == running[0]

    def _await_takeover(self, outcome: Outcome, node: str) -> None:
        self._await(
            outcome,
            lambda: self.site.running_on() == [node] and self.world.holder() == node,
            f"{node} runs the resource and holds the address, alone",
            SETTLE_SECONDS,
        )

    def _whole(self, outcome: Outcome, active: str, since: float | None = None) -> None:
        """Waits for the membership, for Pacemaker's view, and for calm reports of every node."""
        nodes = tuple(sorted(self.cluster.nodes))
        since = time.monotonic() if since is None else since

        def whole() -> bool:
            views = [self.cluster.view(node) for node in nodes]
            return all(v and v.online == nodes and v.started_on("eip") == (active,) for v in views)

        self._await(outcome, whole, f"all nodes are members and {active} runs it", SETTLE_SECONDS)
        self._await(outcome, self._status_is_calm, "the control plane sees no alarm", 15)
        self._expect(outcome, self.world.holder() == active, f"{active} holds the address")

    def _status_is_calm(self) -> bool:
        status = self._status()
        return not any(a["split_brain"] for a in status["addresses"]) and not any(
            node["suspects"] for node in status["nodes"]
        )

    def _status(self) -> dict[str, list[dict[str, object]]]:
        result: dict[str, list[dict[str, object]]] = self.site.aws.invoke(
            "Operate", {"verb": "status", "cluster": CLUSTER_ID}
        ).result
        return result

    def _all_heard(self, since: float) -> bool:
        age_limit_ms = (time.monotonic() - since) * 1000
        return all(
            isinstance(age := node["report_age_ms"], int) and age < age_limit_ms
            for node in self._status()["nodes"]
        )

    def _can_run(self, node: str) -> bool:
        """Whether Pacemaker remembers no failure that bans this node."""
        view = self.cluster.view(node)
        return view is not None and not [f for f in view.failures if f.node == node]

    def _stopped_on(self, node: str) -> bool:
        view = self.cluster.view(node)
        resource = view.resource("eip") if view else None
        failed = view is not None and bool(view.failures)
        return failed and resource is not None and node not in resource.running_on

    def _noted(self, since: float, rule: str) -> bool:
        return any(h.rule == rule for h in self.timeline.since(since))

    def _await(
        self, outcome: Outcome, condition: Callable[[], bool], what: str, seconds: float
    ) -> None:
        try:
            self.cluster.wait_until(condition, what, seconds)
        except ClusterError as error:
            outcome.problems.append(str(error))

    def _expect(self, outcome: Outcome, holds: bool, what: str) -> None:
        if not holds:
            outcome.problems.append(f"expected: {what}")

    def _expect_one_move(self, outcome: Outcome, fault: float, to: str, rule: str) -> None:
        self._expect(outcome, outcome.moves == 1, f"one move, not {outcome.moves}")
        self._expect(outcome, outcome.rule == rule, f"rule {rule}, not {outcome.rule or 'none'}")
        moves = self.site.aws.journal.moves(since=fault)
        self._expect(
            outcome, bool(moves) and self.timeline.name(moves[-1].to_instance) == to, f"to {to}"
        )

    def _failover_budget(self, outcome: Outcome) -> None:
        """A failover: grant and settlement, one EC2 call, one line of history; reports apart."""
        calls = outcome.calls
        self._expect(
            outcome,
            calls.get("AssociateAddress") == 1 and calls.get("PutItem") == 1,
            f"one EC2 call and one line of history, not {calls}",
        )

    def _measure(self, outcome: Outcome, fault: float, since: float) -> None:
        """Reads off the timeline and the journal what happened since the fault."""
        journal = self.site.aws.journal

        def first(kind: str) -> float | None:
            found = self.timeline.since(since, kind)
            return round(found[0].at - fault, 3) if found else None

        moves = journal.moves(since=since)
        grants = self.timeline.since(since, "grant")
        outcome.suspicion_seconds, outcome.claim_seconds = first("suspicion"), first("claim")
        outcome.grant_seconds = first("grant")
        outcome.association_seconds = round(moves[-1].at - fault, 3) if moves else None
        outcome.started_seconds = self._started(since, fault)
        outcome.nobody_seconds = _nobody(moves)
        outcome.moves = len([m for m in moves if m.to_instance])
        outcome.rule, outcome.term = (grants[-1].rule, grants[-1].term) if grants else ("", 0)
        outcome.cold_starts = self.timeline.cold_starts
        for call in journal.calls(since=since, principal="Arbitrate"):
            outcome.calls[call.operation] = outcome.calls.get(call.operation, 0) + 1

    def _started(self, since: float, fault: float) -> float | None:
        """When the resource agent's start succeeded on the node that runs it now."""
        marks = [self.site.running_since(node) for node in self.site.running_on()]
        fault_wall = time.time() - (time.monotonic() - fault)
        late = [mark for mark in marks if mark is not None and mark >= fault_wall]
        return round(late[0] - fault_wall, 3) if late and since <= fault else None


def _nobody(moves: list[Move]) -> float:
    """Seconds between each disassociation and the association that followed it."""
    total = 0.0
    for before, after in zip(moves, moves[1:], strict=False):
        if not before.to_instance:
            total += after.at - before.at
    return round(total, 3)
