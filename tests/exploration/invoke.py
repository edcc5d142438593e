"""Invocations of the shipped arbiter in the bounded world: one call of one invocation is one step.

A step's outcome is the next state, and what it broke.
"""

from __future__ import annotations

from exploration import conditions, invariants, shipped
from exploration.shipped import PLANS
from exploration.world import (
    GOES,
    GOES_BUT_CAME_BACK,
    NO_ASSOCIATION,
    OLD_ASSOCIATION,
    THE_ASSOCIATION,
    Invocation,
    Item,
    Known,
    Sent,
    State,
    address_older,
)

Outcome = tuple[State, str | None]
TICKS_THAT_MATTER = 2
"""After so many ticks a deadline has passed, however many more there are."""


def begin(state: State) -> State:
    """An invocation has just read the item; it is the last one."""
    made = Invocation(
        "decide",
        -1,
        state.item,
        (),
        0,
        0,
        True,
        True,
        True,
        NO_ASSOCIATION,
        0,
    )
    return _with(state, made)


def recorded(state: State, number: int, sent: Sent) -> State:
    """The store takes a node's report; decisions that rest on an older one are overtaken."""
    known, said = state.item.known[number - 1], sent.said
    evidence = known.ec2
    if evidence == GOES and said.boot != known.said.boot:
        evidence = GOES_BUT_CAME_BACK
    alarm = (known.alarm or 1) if said.awaiting or any(said.lost) else 0
    lives, flight, (address, paused, reports), ec2, invocations, budget = state
    reports = (
        *reports[: number - 1],
        Known(said, 0, alarm, evidence, sent.ticks),
        *reports[number:],
    )
    if invocations:
        invocations = tuple(
            each._replace(overtaken=each.overtaken | 1 << number)
            if each.before in ("decide", "commit")
            else each
            for each in invocations
        )
    return State(lives, flight, Item(address, paused, reports), ec2, invocations, budget)


def written(state: State, item: Item) -> State:
    """The item has a new version."""
    lives, flight, _, ec2, invocations, budget = state
    if invocations:
        invocations = tuple(
            each._replace(version=False) if each.version else each for each in invocations
        )
    return State(lives, flight, item, ec2, invocations, budget)


def advanced(state: State, index: int) -> Outcome:
    """One invocation makes its next call."""
    invocation = state.invocations[index]
    others = (*state.invocations[:index], *state.invocations[index + 1 :])
    lives, flight, item, ec2, _, budget = state
    rest = State(lives, flight, item, ec2, others, budget)
    return _STEPS[invocation.before](rest, invocation)


def _decide(state: State, invocation: Invocation) -> Outcome:
    item = invocation.item
    if item is None:
        raise AssertionError("an invocation decides what it has read")
    plan = shipped.decided(item)
    if plan < 0:
        return state, None
    call = PLANS[plan][0]
    made = Invocation(
        call.kind,
        plan,
        None,
        (),
        0,
        invocation.overtaken,
        invocation.version,
        invocation.term,
        invocation.changed,
        item.address.association,
        call.interface,
    )
    return _with(state, made), invariants.of_decision(item, call)


def _commit(state: State, invocation: Invocation) -> Outcome:
    call = PLANS[invocation.plan][0]
    if call.address is None or not conditions.may_commit(invocation, call):
        return state, None
    association = invocation.association if call.address.association else NO_ASSOCIATION
    after = address_older(call.address, invocation.ticks)._replace(association=association)
    before = state.item.address
    broken = invariants.of_commit(state.item, call, after)
    resumed = before.moving and after.moving and before.deadline != after.deadline
    renewed = bool(call.granted or (before.holder and not after.holder) or resumed)
    others = tuple(
        each._replace(term=each.term and not call.granted, changed=each.changed and not renewed)
        for each in state.invocations
    )
    state = state._replace(invocations=others)
    state = written(state, state.item._replace(address=after))
    made = invocation._replace(term=True, changed=True)
    return _follow(state, made, "ok", broken)


def _follow(state: State, invocation: Invocation, answer: str, broken: str | None) -> Outcome:
    """The invocation's call was answered; it stands before its next one."""
    answers = (*invocation.answers, (min(invocation.ticks, TICKS_THAT_MATTER), answer))
    call = shipped.continued(invocation.plan, answers)
    if call.kind == "end":
        return state, broken
    association = invocation.association
    if call.kind == "settle" and call.address and not call.address.association:
        association = NO_ASSOCIATION
    elif call.kind == "settle" and invocation.before == "locate":
        association = THE_ASSOCIATION
    if call.kind == "associate":
        broken = broken or invariants.of_associate(answers)
    made = Invocation(
        call.kind,
        invocation.plan,
        None,
        answers,
        0,
        0,
        False,
        invocation.term,
        invocation.changed,
        association,
        call.interface,
    )
    return _with(state, made), broken


def _locate(state: State, invocation: Invocation) -> Outcome:
    return _follow(state, invocation, str(state.ec2), None)


def _associate(state: State, invocation: Invocation) -> Outcome:
    state = _without_association(state)._replace(ec2=invocation.interface)
    return _follow(state, invocation._replace(association=THE_ASSOCIATION), "ok", None)


def _disassociate(state: State, invocation: Invocation) -> Outcome:
    """`interface` says here that EC2 was asked for the association to remove."""
    broken = None
    if state.ec2 and (invocation.association == THE_ASSOCIATION or invocation.interface):
        broken = invariants.of_disassociate(state, invocation)
        state = _without_association(state)._replace(ec2=0)
    return _follow(state, invocation, "ok", broken)


def _without_association(state: State) -> State:
    """The association that was EC2's is gone, wherever its id is remembered."""
    address = state.item.address
    if address.association == THE_ASSOCIATION:
        address = address._replace(association=OLD_ASSOCIATION)
    return state._replace(
        item=state.item._replace(address=address),
        invocations=tuple(
            each._replace(association=OLD_ASSOCIATION)
            if each.association == THE_ASSOCIATION
            else _item_without_association(each)
            for each in state.invocations
        ),
    )


def _item_without_association(invocation: Invocation) -> Invocation:
    item = invocation.item
    if item is None or item.address.association != THE_ASSOCIATION:
        return invocation
    address = item.address._replace(association=OLD_ASSOCIATION)
    return invocation._replace(item=item._replace(address=address))


def _settle(state: State, invocation: Invocation) -> Outcome:
    address = state.item.address
    if not conditions.may_settle(invocation, address):
        return state, None
    broken = invariants.of_settle(state, invocation)
    settled = address._replace(
        moving=False,
        changed=invocation.ticks,
        association=invocation.association,
        interface=invocation.interface,
    )
    others = tuple(each._replace(changed=False) for each in state.invocations)
    state = state._replace(invocations=others)
    return written(state, state.item._replace(address=settled)), broken


def _with(state: State, invocation: Invocation) -> State:
    lives, flight, item, ec2, invocations, budget = state
    return State(lives, flight, item, ec2, (*invocations, invocation), budget)


_STEPS = {
    "decide": _decide,
    "commit": _commit,
    "locate": _locate,
    "associate": _associate,
    "disassociate": _disassociate,
    "settle": _settle,
}
