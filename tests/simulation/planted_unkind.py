"""Bugs that only an unkind world shows: tools that fail, orders to the dead, answers, tags, floods.

Each is the way in which one kind of fault came about, or would come about again.
"""

# ruff: noqa: ARG005 - planted bugs ignore what they should look at

from __future__ import annotations

import dataclasses
from typing import Any

from eip_agent.answer import operations as agent_operations
from eip_agent.conclude import verdicts
from eip_agent.followup import clean_up as followup
from eip_agent.followup import losses
from eip_agent.followup.clean_up import CleanUp
from eip_arbiter.arbitrate import lookups
from eip_arbiter.arbitrate.arbitration import Arbiter
from eip_arbiter.arbitrate.registering import Registry
from eip_arbiter.decision import case as case_module
from eip_arbiter.decision import claims, orders, rules
from eip_arbiter.decision.case import Case
from eip_arbiter.decision.outcome import Grant, Note, Release
from eip_arbiter.decision.snapshot import OrderKind, Phase, Refusal, Snapshot
from eip_arbiter.operate import operations, requests
from eip_arbiter.ports import LostRace

from simulation import acts_cluster
from simulation.mutant import Patch, cached, mutant
from simulation.planted_rules import replaced, with_policy


@mutant
def no_reading_is_a_release() -> list[Patch]:
    """A holder whose Pacemaker could not be asked has given up."""
    original = case_module.Case.__dict__["holder_gave_up"].func

    def gave_up(self: Case) -> str | None:
        report = self.holder.report if self.holder else None
        if report and report.pacemaker_state in ("unknown", "offline"):
            return f"says that its Pacemaker is {report.pacemaker_state}"
        found: str | None = original(self)
        return found

    return [cached(Case, "holder_gave_up", gave_up)]


@mutant
def no_claim_without_a_reading() -> list[Patch]:
    """A start is no claim while `crm_mon` does not answer."""
    return [(claims, "UNREAD_START_MS", -1)]


@mutant
def order_pins_until_it_expires() -> list[Patch]:
    """A failover whose target never takes the resource up pins the address for ten minutes."""

    def ended(case: Case, order: Any) -> str | None:
        target = case.snapshot.nodes.get(order.target)
        if case.now_ms >= order.until_ms:
            return "it expired"
        held = case.address.holder == order.target and not case.is_moving
        return "its target claims it" if target and held and case.claims(target) else None

    return [(orders, "ended", ended)]


@mutant
def refused_after_it_was_written() -> list[Patch]:
    """A write whose reply was lost is told as a refusal, though it stands."""
    original = Arbiter.on_order

    def on_order(self: Arbiter, *arguments: Any) -> Any:
        original(self, *arguments)
        return LostRace()

    return [(Arbiter, "on_order", on_order)]


@mutant
def author_is_forgotten() -> list[Patch]:
    """The history's line of an order does not say who gave it."""
    original = Arbiter.on_order

    def on_order(self: Arbiter, snapshot: Any, resource: str, order: Any, line: str) -> Any:
        return original(self, snapshot, resource, order, line.split(" (by ", maxsplit=1)[0])

    return [(Arbiter, "on_order", on_order)]


@mutant
def back_off_outlives_its_reason() -> list[Patch]:
    """A refused start is tried again blindly, ever more rarely, whatever becomes of the reason."""

    def untouched(*_: Any) -> None:
        """No change ends a pause."""

    return [
        (followup, "_FIRST_PAUSE_SECONDS", 60.0),
        (followup, "clean_up_reason", lambda *_: "a while has passed"),
        (CleanUp, "_mind_changes", untouched),
    ]


@mutant
def released_before_it_was_granted() -> list[Patch]:
    """How long a node has been without the resource counts from before its grant."""

    def unused(case: Case) -> Any:
        holder = case.holder
        if holder is None or holder.report is None or case.claimants or not case.is_fresh(holder):
            return None
        state = holder.report.resources.get(case.address.resource)
        if state is None or state.state != "stopped" or state.for_ms < case.policy.release_ms:
            return None
        return Release("R090", "it was released", case.rested_on)

    return replaced("r090", unused)


@mutant
def order_overtakes_a_call() -> list[Patch]:
    """An order does not wait for a move whose call is under way."""
    original = rules.r020_order

    def order(case: Case) -> Any:
        standing, holder = case.address.order, case.address.holder
        failover = standing and standing.kind is OrderKind.FAILOVER
        moving, nodes = case.address.phase is Phase.MOVING, case.snapshot.nodes
        target = standing.target if standing and failover and moving else None
        if target in nodes and holder not in (None, target):
            return Grant("R020", "an operator ordered it", (), holder=str(target))
        return original(case)

    return replaced("r020", order)


@mutant
def any_report_is_an_answer() -> list[Patch]:
    """A holder that reports, and says nothing of the resource, is waited for without end."""

    def owes(self: Case) -> int:
        report = self.holder.report if self.holder else None
        answered_at_ms = report.received_at_ms if report else self.address.changed_at_ms
        return max(answered_at_ms, self.opened_at_ms or 0)

    return [cached(Case, "holder_owes_since_ms", owes)]


@mutant
def tags_are_read_once() -> list[Patch]:
    """Neither an agent's new start nor the watch looks the tags up again."""
    return [
        (Arbiter, "_refresh", lambda self, report, node: None),
        (Registry, "agree_nodes", lambda self, snapshot, instances: snapshot),
        (Registry, "agree", lambda self, snapshot, tagged, elsewhere=(): (snapshot, ())),
    ]


@mutant
def lost_copy_is_never_told() -> list[Patch]:
    """A copy whose grant was of another table, or is over, is neither failed nor looked at."""

    def verdict(s: Any, resource: str, *rest: Any) -> Any:
        found = original(s, resource, *rest)
        return verdicts.Verdict("unknown", "") if found.outcome == "lost" else found

    original = verdicts.monitor_verdict
    return [
        (losses, "taken_away", lambda s, resource: False),
        (agent_operations, "monitor_verdict", verdict),
    ]


@mutant
def the_latest_of_a_name_wins() -> list[Patch]:
    """Of two nodes that say the same name, an order goes to the one that spoke last."""
    original = Snapshot.nodes_named

    def nodes_named(self: Snapshot, name: str) -> Any:
        named = original(self, name)
        latest = max(named, key=lambda n: n.report.received_at_ms if n.report else 0, default=None)
        return (latest,) if latest else ()

    return [(Snapshot, "nodes_named", nodes_named)]


@mutant
def later_pause_replaces_a_longer_one() -> list[Patch]:
    """A pause does not look at the one that stands."""
    original = requests.known_cluster

    def known(store: Any, cluster: str) -> Snapshot:
        return dataclasses.replace(original(store, cluster), paused_until_ms=0)

    return [(operations, "known_cluster", known)]


@mutant
def answer_time_that_no_start_outlasts() -> list[Patch]:
    """The holder may be silent for longer than a start waits."""
    return with_policy(answer_ms=17_500)


@mutant
def agent_is_gone_before_pacemaker() -> list[Patch]:
    """At a shutdown the agent's unit stops first, so nobody says that the resource stopped."""
    return [(acts_cluster, "agent_outlives_pacemaker", lambda: False)]


@mutant
def refusals_are_not_remembered() -> list[Patch]:
    """Each report of an instance without tag has EC2 asked again."""
    return [(lookups, "FIRST_PAUSE_MS", 0), (lookups, "LONGEST_PAUSE_MS", 0)]


@mutant
def split_brain_is_told_each_time() -> list[Patch]:
    """Each claim against a holder that answers is a notice of its own."""

    def split_brain(case: Case) -> Any:
        if case.claimant is None or not case.holder_answers:
            return None
        refusal = Refusal(claimant=case.claimant.instance_id, at_ms=case.now_ms)
        return Note("R072", "a split-brain", case.rested_on, refusal, case.address.order)

    return replaced("r072", split_brain)
