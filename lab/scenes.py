"""The scenes of the story: one fault each, what must come of it, and what did.

The same scenes run on the simulated cluster and on the real one.
"""

from __future__ import annotations

import threading
import time

from lab.cluster.protocol import AwsCut
from lab.site import CLUSTER_ID, START_TIMEOUT_SECONDS
from lab.stage import Outcome, Stage

CALM_SECONDS = 11.0
HOLDER_CUT_SECONDS = 25.0
NOT_RUNNING = 7
"""OCF_NOT_RUNNING, what the resource agent's monitor says of an address that is not here."""


class Scenes(Stage):
    """The scenes. Each is a method that returns an `Outcome`."""

    def calm(self) -> Outcome:
        """Nothing happens: a heartbeat is one DynamoDB call, and nothing moves."""
        # So that no report is counted whose call is not, at either end.
        self.await_quiet()
        outcome, began = self.begin("calm heartbeats")
        reports = self.timeline.reports
        time.sleep(CALM_SECONDS)
        self.await_quiet()
        reports = self.timeline.reports - reports
        self.measure(outcome, began, began)
        used = sum(outcome.calls.values())
        self.expect(outcome, reports >= len(self.cluster.nodes), "every node reports when calm")
        self.expect(
            outcome,
            outcome.calls == {"UpdateItem": reports},
            f"{reports} heartbeats cost {reports} DynamoDB writes, not {used} calls",
        )
        self.timeline.note(f"{reports} heartbeats, {used} AWS calls of the control plane")
        return outcome

    def planned_stop(self) -> Outcome:
        """Pacemaker and Corosync are stopped on the active node."""
        active, standby = self.active()
        outcome, _ = self.begin(f"planned stop: Corosync is stopped on {active}")
        fault = self.timeline.fault(f"systemctl stop corosync on {active}")
        stopping = threading.Thread(target=self.cluster.stop, args=(active,), daemon=True)
        stopping.start()
        self.await_takeover(outcome, standby)
        stopping.join()
        self.measure(outcome, fault, fault)
        self.expect_one_move(outcome, fault, standby, "R061")
        self.expect(outcome, outcome.nobody_seconds == 0, "the address is never with nobody")
        self.failover_budget(outcome)
        self.cluster.start(active)
        self.whole(outcome, standby)
        return outcome

    def power_loss(self) -> Outcome:
        """The active node loses its power."""
        active, standby = self.active()
        self.rest()
        outcome, _ = self.begin(f"power loss: {active} is gone at once")
        fault = self.timeline.fault(f"power off {active}")
        self.cluster.power_off(active)
        self.await_takeover(outcome, standby)
        self.measure(outcome, fault, fault)
        self.expect_one_move(outcome, fault, standby, "R070")
        self.cluster.power_on(active)
        self.whole(outcome, standby)
        return outcome

    def split_brain(self) -> Outcome:
        """The ring is cut while both reach AWS, and healed after the loser's start was refused."""
        active, standby = self.active()
        self.rest()
        since = self.site.running_since(active)
        outcome, _ = self.begin(f"split-brain: the ring is cut, {active} holds the address")
        fault = self.timeline.fault("the link between the nodes is cut")
        self.cluster.partition(standby)
        self.wait_for(
            outcome,
            lambda: bool(self.timeline.since(fault, "claim", standby)),
            f"{standby} claims",
            20,
        )
        self.wait_for(
            outcome,
            lambda: self.stopped_on(standby),
            f"the refused start on {standby} is stopped by Pacemaker",
            START_TIMEOUT_SECONDS + 10,
        )
        self.expect(outcome, self.site.running_on() == [active], f"only {active} serves")
        self.timeline.note(f"{standby} gave up; the link heals")
        self.cluster.heal()
        self.whole(outcome, active)
        self.measure(outcome, fault, fault)
        self.expect(outcome, outcome.moves == 0, f"nothing moves, not {outcome.moves} times")
        self.expect(outcome, self.noted(fault, "R072"), "R072 refuses the claim")
        self.expect(
            outcome,
            self.site.running_since(active) == since,
            f"the service on {active} was not restarted",
        )
        outcome.rule = outcome.rule or "R072"
        self.wait_for(outcome, lambda: self.can_run(standby), f"{standby} may take over again", 20)
        return outcome

    def aws_outage(self, how: AwsCut = "refuse") -> Outcome:
        """AWS does not answer either node for a while."""
        active, _ = self.active()
        since = self.site.running_since(active)
        outcome, _ = self.begin(
            f"AWS outage: both nodes are cut from AWS for {self.outage_seconds:.0f} s"
        )
        fault = self.timeline.fault(f"AWS is cut from both nodes ({how})")
        for node in self.cluster.nodes:
            self.cluster.cut_aws(node, how)
        time.sleep(self.outage_seconds)
        self.expect(outcome, self.site.running_on() == [active], f"{active} serves throughout")
        for node in self.cluster.nodes:
            self.cluster.restore_aws(node)
        back = time.monotonic()
        self.timeline.note("AWS is back")
        self.wait_for(outcome, lambda: self.all_heard(back), "every node is heard again", 11)
        self.measure(outcome, fault, fault)
        self.expect(outcome, outcome.moves == 0, f"nothing moves, not {outcome.moves} times")
        self.expect(
            outcome, self.site.running_since(active) == since, "the service was not restarted"
        )
        return outcome

    def forced_failover(self) -> Outcome:
        """An operator orders the address to the other node; Pacemaker follows."""
        active, standby = self.active()
        outcome, _ = self.begin(f"forced failover: an operator orders the address to {standby}")
        fault = self.timeline.fault(f"invoke Operate: failover to {standby}")
        payload = {"verb": "failover", "cluster": CLUSTER_ID, "target": standby}
        answer = self.site.aws.invoke("Operate", payload).result
        self.expect(outcome, answer["outcome"] == "moved", f"the verb says moved, not {answer}")
        self.await_takeover(outcome, standby)
        self.wait_for(
            outcome,
            lambda: self.status()["addresses"][0]["order"] is None,
            "the order is closed once the target claims",
            20,
        )
        self.measure(outcome, fault, fault)
        self.expect_one_move(outcome, fault, standby, "R020")
        self.whole(outcome, standby)
        self.wait_for(outcome, lambda: self.can_run(active), f"{active} may take over again", 20)
        return outcome

    def heal_during_start(self) -> Outcome:
        """The ring is healed while the loser's start still waits."""
        active, standby = self.active()
        self.rest()
        since = self.site.running_since(active)
        outcome, _ = self.begin("early heal: the ring is cut and healed while a start waits")
        fault = self.timeline.fault("the link between the nodes is cut")
        self.cluster.partition(standby)
        self.wait_for(
            outcome,
            lambda: bool(self.timeline.since(fault, "claim", standby)),
            f"{standby} claims",
            20,
        )
        time.sleep(3)
        self.timeline.note(f"the link heals while the start on {standby} waits")
        self.cluster.heal()
        self.whole(outcome, active)
        self.measure(outcome, fault, fault)
        self.expect(outcome, outcome.moves == 0, f"nothing moves, not {outcome.moves} times")
        self.expect(
            outcome,
            self.site.running_since(active) == since,
            f"the service on {active} was not restarted",
        )
        self.wait_for(outcome, lambda: self.can_run(standby), f"{standby} may take over again", 30)
        return outcome

    def corosync_killed(self) -> Outcome:
        """Corosync dies under Pacemaker on the active node; the resource runs on there."""
        active, standby = self.active()
        outcome, _ = self.begin(f"kill -9 Corosync: on {active}, which runs on unmanaged")
        fault = self.timeline.fault(f"kill -9 of Corosync on {active}")
        self.cluster.kill_corosync(active)
        self.wait_for(
            outcome,
            lambda: self.world.holder() == standby and standby in self.site.running_on(),
            f"{standby} runs the resource and holds the address",
            30,
        )
        self.measure(outcome, fault, fault)
        # Without Corosync, crm_mon answers "not connected", which is a word of the holder's, or
        # nothing at all, which is silence.
        self.expect_one_move(outcome, fault, standby, "R061", "R070")
        self.wait_for(
            outcome,
            lambda: self.site.monitor(active) == NOT_RUNNING,
            f"{active} notices that it lost the address",
            30,
        )
        self.timeline.note(f"{active} knows that it lost the address; its cluster stack restarts")
        self.cluster.restart_cluster_stack(active)
        self.whole(outcome, standby)
        self.measure(outcome, fault, fault)
        self.expect(outcome, outcome.moves == 1, f"one move, not {outcome.moves}")
        return outcome

    def holder_without_aws(self, how: AwsCut = "blackhole") -> Outcome:
        """AWS swallows all that the holder sends; later the holder dies as well."""
        active, standby = self.active()
        since = self.site.running_since(active)
        outcome, begun = self.begin(f"AWS cut, holder: {active} alone loses AWS, then its power")
        self.timeline.fault(f"AWS is cut from {active} ({how})")
        self.cluster.cut_aws(active, how)
        time.sleep(HOLDER_CUT_SECONDS)
        moves = self.site.aws.journal.moves(since=begun)
        self.expect(outcome, not moves, f"nothing moves while only AWS is away, not {moves}")
        self.expect(
            outcome, self.site.running_since(active) == since, f"{active} serves undisturbed"
        )
        fault = self.timeline.fault(f"power off {active}, cut from AWS as it is")
        self.cluster.power_off(active)
        self.await_takeover(outcome, standby)
        self.measure(outcome, fault, fault)
        self.expect_one_move(outcome, fault, standby, "R070")
        self.cluster.restore_aws(active)
        self.cluster.power_on(active)
        self.whole(outcome, standby)
        return outcome
