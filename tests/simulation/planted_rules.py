"""Bugs planted in the rules and in the questions that they ask."""

# ruff: noqa: ARG001, ARG005 - planted bugs ignore what they should look at

from __future__ import annotations

import dataclasses
from typing import Any

import eip_arbiter.decision as decision_package
from eip_arbiter.arbitrate import arbitration
from eip_arbiter.arbitrate.arbitration import Arbiter
from eip_arbiter.decision import claims, rules
from eip_arbiter.decision.case import Case
from eip_arbiter.decision.outcome import Keep
from eip_arbiter.decision.snapshot import Order, Snapshot

from simulation.mutant import Patch, cached, mutant

# The questions that rules ask.


@mutant
def any_old_claim_counts() -> list[Patch]:
    """A claim counts for ever."""
    return [(Case, "is_fresh", lambda self, node: node.report is not None)]


@mutant
def claim_from_before_the_grant_counts() -> list[Patch]:
    """The last word of a node that just lost the address is a claim against the new holder."""

    def claimants(self: Case) -> Any:
        others = [n for n in self.snapshot.nodes.values() if n.instance_id != self.address.holder]
        return tuple(sorted((n for n in others if self.claims(n)), key=self._rank))

    return [cached(Case, "claimants", claimants)]


@mutant
def stale_answer_counts() -> list[Patch]:
    """Whatever the holder said last, however long ago, is an answer."""

    def holder_answers(self: Case) -> bool:
        return self.holder is not None and claims.is_claim(self.holder, self.address.resource)

    def silent(self: Case, claimant: Any) -> int:
        return 0 if self.holder_answers else 10**9

    return [
        cached(Case, "holder_answers", holder_answers),
        (Case, "holder_silent_ms", silent),
    ]


@mutant
def silence_lasts_until_now() -> list[Patch]:
    """A claim that EventBridge kept back counts as if it had just been said."""
    return [
        (Case, "holder_silent_ms", lambda self, claimant: self.now_ms - self.holder_owes_since_ms),
        (claims, "LATE_MS", 10**9),
    ]


@mutant
def no_time_to_answer() -> list[Patch]:
    """The holder has half a second to answer."""
    return [(Case, "allowed_silence_ms", lambda self, claimant: 500)]


@mutant
def joining_is_giving_up() -> list[Patch]:
    """A holder whose Pacemaker is just joining has given up."""
    fewer = tuple(s for s in claims.RUNNING_PACEMAKER if s != "pending")
    return [(claims, "RUNNING_PACEMAKER", fewer)]


@mutant
def release_is_not_believed() -> list[Patch]:
    """A holder that released the address is waited for as if it were silent."""
    return [cached(Case, "holder_gave_up", lambda self: None), *_rules_without("r070")]


@mutant
def ec2_word_stands_for_ever() -> list[Patch]:
    """That an instance was stopped once is held against it after it came back."""

    def goes(node: Any) -> str | None:
        return node.ec2.state if node and node.ec2 else None

    return [(claims, "instance_goes", goes)]


@mutant
def quorum_of_two() -> list[Patch]:
    """Each half of a two-node cluster has a quorum that counts."""

    def alone(self: Case, claimant: Any) -> bool:
        return claimant.report is not None and claimant.report.quorate

    return [(Case, "alone_quorate", alone)]


# The rules.


@mutant
def pause_forgotten() -> list[Patch]:
    """The pause is no rule."""
    return _rules_without("r010")


@mutant
def order_does_not_pin() -> list[Patch]:
    """An order grants, but does not hold the address until its target claims."""
    original = rules.r020_order

    def order(case: Case) -> Any:
        decided = original(case)
        return None if isinstance(decided, Keep) else decided

    return replaced("r020", order)


@mutant
def order_dropped() -> list[Patch]:
    """An order is answered as accepted, and never written."""

    def on_order(
        self: Arbiter, snapshot: Snapshot, resource: str, order: Order, _line: str
    ) -> Snapshot:
        address = dataclasses.replace(snapshot.addresses[resource], order=order)
        addresses = {**snapshot.addresses, resource: address}
        return dataclasses.replace(snapshot, addresses=addresses)

    return [(Arbiter, "on_order", on_order)]


@mutant
def never_resumed() -> list[Patch]:
    """A move that nobody finished stays unfinished."""
    return replaced("r031", lambda case: Keep("R031", "whatever") if case.is_moving else None)


@mutant
def silent_holder_kept() -> list[Patch]:
    """A holder that does not answer keeps the address."""
    return _rules_without("r070")


@mutant
def drift_kept() -> list[Patch]:
    """An address that is not where it belongs stays there."""
    return _rules_without("r080")


@mutant
def drift_without_patience() -> list[Patch]:
    """The metadata service's lag is taken for drift."""
    return with_policy(drift_ms=1)


@mutant
def unused_at_once() -> list[Patch]:
    """A released address is taken off at once, before anybody can claim it."""
    return with_policy(release_ms=1)


def _rules_without(*names: str) -> list[Patch]:
    left = tuple(rule for rule in rules.RULES if rule.__name__.split("_")[0] not in names)
    return [(decision_package, "RULES", left)]


def replaced(prefix: str, rule: Any) -> list[Patch]:
    """The patch that puts a rule in another one's place."""
    changed = tuple(rule if known.__name__.startswith(prefix) else known for known in rules.RULES)
    return [(decision_package, "RULES", changed)]


def with_policy(**changes: int) -> list[Patch]:
    """The patch that decides with other times than are deployed."""
    original = decision_package.decide

    def decide(snapshot: Snapshot, resource: str, policy: Any, now_ms: int) -> Any:
        return original(snapshot, resource, dataclasses.replace(policy, **changes), now_ms)

    return [(arbitration, "decide", decide)]
