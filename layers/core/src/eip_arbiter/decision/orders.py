"""When an operator's order stands no longer, and why: one sentence for each reason.

A failover that moved the address pins it until its target claims it. If the target never will, the
order ends as soon as another node claims, so that its end and the next grant are one step; where
nobody claims, it ends after the time in which Pacemaker follows.
"""

from __future__ import annotations

from eip_arbiter.decision.case import Case
from eip_arbiter.decision.snapshot import Node, Order, OrderKind

STARTS_ELSEWHERE_MS = 12_000
"""Longer than an agent has a start make room for an order: from then on one that waits holds
Pacemaker up, which has decided to run the resource there."""


def ended(case: Case, order: Order) -> str | None:
    """Why an order stands no longer, or None."""
    target, name = case.snapshot.nodes.get(order.target), case.name(order.target)
    if target is None:
        return f"{name} is gone"
    if case.now_ms >= order.until_ms:
        return f"it expired before {name} claimed {_it(case)}"
    if case.address.holder == order.target:
        # A move that EC2 does not make must not keep the service from where the address still is.
        under_way = case.is_moving and (case.is_moving_in_time or case.claims(target))
        return None if under_way else _target_has_it(case, order, target)
    if order.kind is OrderKind.SWITCHOVER:
        return _switchover_failed(case, order, target)
    return _not_to_be_waited_for(case, order, target)


def _not_to_be_waited_for(case: Case, order: Order, target: Node) -> str | None:
    """Why a failover that is not carried out yet never is, or None.

    It was accepted while a call was under way. Now that it could be made, it must not wait for its
    target to become able: by then nobody may want it any more. One that was lost just now may
    answer yet.
    """
    unable = None if order.force else case.unable(target)
    if unable is None or case.is_moving_in_time or case.is_being_released_from(target):
        return None
    return f"{target.name} {unable}"


def _target_has_it(case: Case, order: Order, target: Node) -> str | None:
    """Why the order of a target that holds the address is over, or None."""
    if case.claims_since_the_grant(target):
        return f"{target.name} claims {_it(case)}"
    claimant = case.claimant
    if claimant is None:
        return _claimed_by_nobody(case, order, target)
    hopeless = _hopeless(case, order, target, claimant)
    return f"{hopeless}, {claimant.name} claims {_it(case)}" if hopeless else None


def _claimed_by_nobody(case: Case, order: Order, target: Node) -> str | None:
    """Why an order is over though nobody claims, or None.

    Pacemaker may have banned every other node, since its start was refused for the order's sake:
    each is forgiven, and can claim, only when the order is over.
    """
    followed_not = _waited_ms(case) >= case.policy.follow_ms
    if order.force or not followed_not or any(map(case.claims, case.snapshot.nodes.values())):
        return None
    return f"Pacemaker did not follow to {target.name}, and nobody claims {_it(case)}"


def _waited_ms(case: Case) -> int:
    return case.now_ms - case.address.changed_at_ms


def _hopeless(case: Case, order: Order, target: Node, claimant: Node) -> str | None:
    """Why the target of a failover will not claim its address, or None."""
    if case.instance_goes(target):
        return f"EC2 says that {target.name} is {case.instance_goes(target)}"
    failed = _failed(target, order)
    if failed:
        return f"Pacemaker did not follow to {target.name}: {failed}"
    waited_ms = _waited_ms(case)
    if waited_ms >= case.policy.follow_ms:
        return f"Pacemaker did not follow to {target.name}"
    if waited_ms >= STARTS_ELSEWHERE_MS and case.state_on(claimant) == "starting":
        return f"Pacemaker does not follow to {target.name}"
    if not order.force and case.holder_is_silent(claimant):
        silent_s = case.holder_silent_ms(claimant) / 1000
        return f"{target.name} has said nothing of it for {silent_s:.1f} s"
    return None


def _switchover_failed(case: Case, order: Order, target: Node) -> str | None:
    """Why a switchover that has not come to its end never will, or None."""
    failed = _failed(target, order)
    if failed:
        return f"Pacemaker did not move it to {target.name}: {failed}"
    if case.instance_goes(target):
        return f"EC2 says that {target.name} is {case.instance_goes(target)}"
    if not case.is_fresh(target):
        return f"{target.name} has not reported lately"
    if case.address.changed_at_ms > order.issued_at_ms:
        return f"{case.name(case.address.holder)} was given {_it(case)} meanwhile"
    return None


def _failed(target: Node, order: Order) -> str | None:
    """What the target's agent says went wrong with this very order, or None."""
    progress = target.report.order if target.report else None
    if progress and progress.id == order.id and progress.state == "failed":
        return progress.detail
    return None


def _it(case: Case) -> str:
    return f"{case.address.public_ip} ({case.address.resource})"
