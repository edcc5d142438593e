"""The invariants, as predicates on the steps that write or call. Each says in words what broke.

They look at what is in force at that instant, not at what the invocation read.
"""

from __future__ import annotations

from exploration.shipped import Call
from exploration.world import (
    GOES,
    MOVES_CAP,
    POLICY,
    THE_ASSOCIATION,
    TICK_MS,
    Address,
    Invocation,
    Item,
    State,
    claims,
    is_fresh,
)

ANSWER_TICKS = POLICY.answer_ms // TICK_MS


def of_decision(item: Item, call: Call) -> str | None:
    """I3: no grant without a fresh claim, or an order. I9: no order ends before it is done."""
    before, after = item.address, call.address
    if after is None:
        return None
    if call.granted and call.rule != "R020":
        known = item.known[after.holder - 1]
        if not claims(known) or not is_fresh(known):
            return f"I3: {call.rule} grants n{after.holder}, which does not freshly claim"
        holder = item.known[before.holder - 1] if before.holder else None
        if call.rule == "R070" and holder and holder.age - known.age - known.late < ANSWER_TICKS:
            return f"I2: R070 by words of n{after.holder} from before n{before.holder} was silent"
    return _ended_early(item, call, before, after)


def _ended_early(item: Item, call: Call, before: Address, after: Address) -> str | None:
    """An order ends once its target claims; or, where it never did, with a grant to who does.

    One that is not carried out yet ends where its target is not heard of any more, or EC2
    says that it goes.
    """
    order = before.order
    if order is None or after.order or not order.left:
        return None
    carried_out = before.holder == order.target
    now_with = after.holder if call.granted else order.target
    if carried_out and claims(item.known[now_with - 1]):
        return None
    target = item.known[order.target - 1]
    if not carried_out and not order.force and (target.ec2 or not is_fresh(target)):
        return None  # its target could not serve, which the order's end says
    return f"I9: the order to n{order.target} ends before it was carried out"


def of_commit(item: Item, call: Call, after: Address) -> str | None:
    """What a commit must never do."""
    before = item.address
    checks = (
        _i1(before, after, call),
        _i2(item, before, after, call),
        _i3(item, before, after, call),
        _i4(item, call),
        _i9(before, after, call),
        _brake(item, call, after),
    )
    return next((broken for broken in checks if broken), None)


def _i1(before: Address, after: Address, call: Call) -> str | None:
    """Terms grow by one with each grant, and one grant has one holder."""
    if call.granted not in (0, 1):
        return f"I1: the term changed by {call.granted}"
    if not call.granted and after.holder not in (before.holder, 0):
        return f"I1: n{after.holder} holds it without a grant"
    return None


def _i2(item: Item, before: Address, after: Address, call: Call) -> str | None:
    """An address never leaves a holder that keeps answering."""
    if before.holder in (0, after.holder) or call.rule == "R020":
        return None
    holder = item.known[before.holder - 1]
    if holder.age or not claims(holder) or holder.ec2 == GOES:
        return None
    if after.holder and _alone_quorate(item, after.holder, before.holder):
        return None
    return f"I2: {call.rule} takes it off n{before.holder}, which has just claimed"


def _alone_quorate(item: Item, claimant: int, holder: int) -> bool:
    size = len(item.known)
    in_sight = [known.said.lost.count(0) for known in item.known]
    return size > 2 and 2 * in_sight[claimant - 1] > size >= 2 * in_sight[holder - 1]


def _i3(item: Item, before: Address, after: Address, call: Call) -> str | None:
    """The newest word of who gets it is a claim, or an operator ordered it."""
    if not call.granted:
        return None
    if call.rule == "R020":
        ordered = before.order is not None and before.order.target == after.holder
        return None if ordered else f"I3: R020 moves it to n{after.holder}, which nobody ordered"
    if claims(item.known[after.holder - 1]):
        return None
    return f"I3: {call.rule} gives it to n{after.holder}, which has stopped meanwhile"


def _i4(item: Item, call: Call) -> str | None:
    """Nothing moves while paused, orders excepted."""
    moves = call.granted or (call.address and not call.address.holder)
    if item.paused and moves and call.rule != "R020":
        return f"I4: {call.rule} while the cluster is paused"
    return None


def _i9(before: Address, after: Address, call: Call) -> str | None:
    """Only the rule of orders ends an order that stands and was not carried out."""
    pinned = after.order and before.holder == after.order.target
    if pinned and call.granted and after.holder != before.holder:
        return f"I9: {call.rule} moves it off n{before.holder}, to which an order pins it"
    over = before.order and (before.holder == before.order.target or not before.order.left)
    if before.order and not after.order and call.rule != "R020" and not over:
        return f"I9: {call.rule} overwrites the order to n{before.order.target}"
    return None


def _brake(item: Item, call: Call, after: Address) -> str | None:
    """With the flap brake on, nothing moves off a holder that runs the resource by its own will."""
    before = item.address
    if before.moves < MOVES_CAP or not call.granted or call.rule == "R020":
        return None
    if before.holder in (0, after.holder):
        return None
    holder = item.known[before.holder - 1]
    if claims(holder) and is_fresh(holder) and not holder.age:
        return f"brake: {call.rule} takes it off n{before.holder}, which runs it"
    return None


def of_associate(answers: tuple[tuple[int, str], ...]) -> str | None:
    """EC2 is asked to move an address only while the deadline covers the call."""
    waited = sum(ticks for ticks, _ in answers)
    if waited * TICK_MS + POLICY.ec2_call_ms <= POLICY.move_ms:
        return None
    return f"late call: EC2 is called {waited} ticks after the decision"


def of_disassociate(state: State, invocation: Invocation) -> str | None:
    """Only the association on record is ever removed, and never one that a holder relies on."""
    if invocation.association != THE_ASSOCIATION:
        return "removal: an association that is not the one on record is removed"
    if state.ec2 == state.item.address.holder:
        return f"removal: it is taken off n{state.ec2}, which holds it"
    if state.item.address.holder and invocation.changed:
        return "removal: a grant takes it off its old node first, and then nobody has it"
    return None


def of_settle(state: State, invocation: Invocation) -> str | None:
    """A settlement is that of the grant in force, and says where its holder is."""
    address = state.item.address
    if not (invocation.term and invocation.changed):
        return "overtaken: an old grant's settlement changes the state of a newer one"
    if address.holder != invocation.interface:
        return f"settled on n{invocation.interface}, while n{address.holder} holds it"
    return None
