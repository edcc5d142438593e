"""What an address becomes by a decision, and the invariants that every step must keep.

Pure like the rules. A step that would break an invariant raises instead: a bug must stop here, not
at EC2.
"""

from __future__ import annotations

from dataclasses import replace

from eip_arbiter.decision.outcome import Change, Grant, Note, Release, Resume
from eip_arbiter.decision.policy import DRIFT_RULE, Policy
from eip_arbiter.decision.snapshot import Address, Order, Phase

REMEMBERED_ORDERS = 5
"""So many of an address's orders are known after their end. Each takes 17 bytes of the item."""


class InvariantViolatedError(AssertionError):
    """A step that must never be committed; the message names the invariant."""


def apply(address: Address, change: Change, policy: Policy, now_ms: int) -> Address:
    """The address after the change is committed.

    Raises:
        InvariantViolatedError: when the step would break an invariant.
    """
    after = _next(address, change, policy, now_ms)
    granted = isinstance(change, Grant)
    if after.term != address.term + granted:
        raise InvariantViolatedError(f"I1: term {address.term} -> {after.term} by {change.rule}")
    if after.holder != address.holder and not granted and not isinstance(change, Release):
        raise InvariantViolatedError(f"I3: the holder changed without a grant by {change.rule}")
    if granted and not change.rested_on and change.rule != "R020":
        raise InvariantViolatedError(f"I3: a grant without a claim by {change.rule}")
    return after


def _next(address: Address, change: Change, policy: Policy, now_ms: int) -> Address:
    if isinstance(change, Note):
        return replace(ordered(address, change.order), refusal=change.refusal)
    if isinstance(change, Grant) and change.ends_order:
        address = ordered(address, None)
    deadline_ms = now_ms + policy.move_ms
    if isinstance(change, Resume):
        return replace(address, deadline_ms=deadline_ms)
    moving = replace(
        address,
        phase=Phase.MOVING,
        deadline_ms=deadline_ms,
        changed_at_ms=now_ms,
        rule=change.rule,
        refusal=None,
    )
    if isinstance(change, Release):
        return replace(moving, holder=None)
    granted = replace(moving, holder=change.holder, term=address.term + 1)
    by_order = address.order is not None and address.order.target == change.holder
    repeated = address.holder == change.holder and change.rule != DRIFT_RULE
    if address.holder is None or repeated or by_order:
        return granted  # The flap brake counts what was nobody's will.
    since_ms = now_ms - policy.brake_window_ms
    recent = [at_ms for at_ms in address.recent_moves_ms if at_ms > since_ms]
    return replace(granted, recent_moves_ms=(*recent[-policy.brake_moves :], now_ms))


def ordered(address: Address, order: Order | None) -> Address:
    """The address with this order in place of the one that stands, which is remembered."""
    before = address.order
    if before is None or (order and order.id == before.id):
        return replace(address, order=order)
    ended = (*address.ended_orders, before.mark)[-REMEMBERED_ORDERS:]
    return replace(address, order=order, ended_orders=ended)


def settle(
    address: Address, association_id: str | None, interface_id: str | None, now_ms: int
) -> Address:
    """The address after EC2 was seen to agree with the grant in force."""
    denied = address.rule == DRIFT_RULE and association_id == address.association_id
    return replace(
        address,
        phase=Phase.SETTLED,
        association_id=association_id,
        interface_id=interface_id,
        changed_at_ms=now_ms,
        denials=address.denials + 1 if denied else 0,
    )
