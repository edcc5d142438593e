"""The bounded world's state: small tuples of small numbers, so that equal states are equal.

Nodes are 1, 2, 3; 0 is nobody. Times are ticks relative to now, and capped where more makes no
difference to any rule. `steps` tells what may happen, `shipped` what the arbiter makes of it.

Versions, terms, sequence numbers and association ids only grow, and are only ever compared with
those in force. So each is kept as whether it still is the one in force.
"""

from __future__ import annotations

from typing import NamedTuple

from eip_arbiter.decision.policy import Policy

TICK_MS = 3_000
POLICY = Policy(
    answer_ms=TICK_MS,
    move_ms=2 * TICK_MS,
    ec2_call_ms=TICK_MS,
    release_ms=2 * TICK_MS,
    drift_ms=TICK_MS,
    brake_moves=2,
    brake_window_ms=10**12,
)
"""Few ticks each, in the order of the deployed times; moves never leave the brake's window."""

ALERT_PROMISE_MS, CALM_PROMISE_MS = 1_000, 4_000
"""A report at alert cadence is fresh for 1 tick, a calm one for 3."""

HERE_UNKNOWN, HERE, NOT_HERE = 0, 1, 2
NO_ASSOCIATION, OLD_ASSOCIATION, THE_ASSOCIATION = 0, 1, 2
NO_EVIDENCE, GOES, GOES_BUT_CAME_BACK = 0, 1, 2
UP, GOING, GONE, BACK = 0, 1, 2, 3
"""A node's instance: up, stopped without EC2 having said so yet, stopped, and started again."""

FOR_CAP, LOST_CAP, AGE_CAP, CHANGED_CAP, ORDER_TICKS, MOVES_CAP = 2, 3, 4, 6, 3, 2


class Said(NamedTuple):
    """What a report says: whether the resource runs or starts there, and for how long so.

    `lost` has for each node 0, or one more than the ticks since it went out of sight; `awaiting` is
    whether the agent does not know that it holds the address; `here` what the metadata service has.
    """

    runs: bool
    for_ticks: int
    lost: tuple[int, ...]
    awaiting: bool
    here: int
    boot: int


class Sent(NamedTuple):
    """A report on its way, for so many ticks already."""

    said: Said
    ticks: int


class Known(NamedTuple):
    """What the item has of a node: its newest report, its age, its alarm (0, or ticks + 1).

    `late` is how many ticks the report was on its way before.
    """

    said: Said
    age: int
    alarm: int
    ec2: int
    late: int = 0


class Order(NamedTuple):
    """An operator's order and the ticks until it expires."""

    target: int
    force: bool
    left: int


class Address(NamedTuple):
    """The address on record; the term is the one in force, whatever its number."""

    holder: int
    moving: bool
    deadline: int
    changed: int
    association: int
    interface: int
    order: Order | None
    refused: int
    moves: int


class Item(NamedTuple):
    """The cluster's item in the store."""

    address: Address
    paused: bool
    known: tuple[Known, ...]


class Invocation(NamedTuple):
    """A function's invocation that stands before its next call.

    Args:
        before: `decide`, or the port call that comes next.
        plan: what was decided (`shipped.PLANS`), -1 before that; then `item` is what was read.
        answers: what the calls so far answered, each after how many ticks.
        ticks: how long it has stood there.
        overtaken: a bit for each node whose report is no longer the newest.
        version, term, changed: whether what it read of them is still in force.
        association: which association it would remove, or has made.
    """

    before: str
    plan: int
    item: Item | None
    answers: tuple[tuple[int, str], ...]
    ticks: int
    overtaken: int
    version: bool
    term: bool
    changed: bool
    association: int
    interface: int


class Budget(NamedTuple):
    """How often may still happen what would otherwise happen for ever.

    `late` is for reports that do not arrive at once, `stalls` for invocations that stand still
    before one of their calls while other things happen.
    """

    stops: int = 1
    starts: int = 1
    orders: int = 1
    pauses: int = 1
    late: int = 1
    stalls: int = 2


class State(NamedTuple):
    """The world at one instant.

    `lives` has each node's instance, `flight` each node's reports on their way, the oldest first,
    and `ec2` is the node that EC2 has the address on.
    """

    lives: tuple[int, ...]
    flight: tuple[tuple[Sent, ...], ...]
    item: Item
    ec2: int
    invocations: tuple[Invocation, ...]
    budget: Budget


class Limits(NamedTuple):
    """The bounds of a world."""

    nodes: int = 2
    invocations: int = 2


def calm_world(limits: Limits, budget: Budget) -> State:
    """n1 holds the address and runs the resource, all others stand by, and all have said so."""
    said = Said(False, FOR_CAP, (0,) * limits.nodes, False, HERE_UNKNOWN, 0)
    runs = said._replace(runs=True, here=HERE)
    known = [Known(each, 0, 0, NO_EVIDENCE) for each in (runs, *(said,) * (limits.nodes - 1))]
    address = Address(1, False, 0, CHANGED_CAP, THE_ASSOCIATION, 1, None, 0, 0)
    item = Item(address, False, tuple(known))
    return State((UP,) * limits.nodes, ((),) * limits.nodes, item, 1, (), budget)


def after_a_tick(state: State) -> State:
    """Everything is one tick older."""
    older = State(
        state.lives,
        tuple(tuple(map(_sent_older, flight)) for flight in state.flight),
        item_older(state.item),
        state.ec2,
        tuple(map(_invocation_older, state.invocations)),
        state.budget,
    )
    return tidy(older)


def _sent_older(sent: Sent) -> Sent:
    return sent._replace(ticks=min(sent.ticks + 1, AGE_CAP))


def tidy(state: State) -> State:
    """Invocations have no order among them."""
    if len(state.invocations) < 2:
        return state
    return state._replace(invocations=tuple(sorted(state.invocations, key=hash)))


def item_older(item: Item) -> Item:
    """The item as it looks one tick later."""
    return item._replace(
        address=address_older(item.address, 1),
        known=tuple(
            known._replace(
                age=min(known.age + 1, AGE_CAP),
                alarm=known.alarm and min(known.alarm + 1, AGE_CAP + 1),
            )
            for known in item.known
        ),
    )


def address_older(address: Address, ticks: int) -> Address:
    """The address as it looks so many ticks later."""
    if not ticks:
        return address
    order = address.order
    return address._replace(
        deadline=max(address.deadline - ticks, 0),
        changed=min(address.changed + ticks, CHANGED_CAP),
        order=order and order._replace(left=max(order.left - ticks, 0)),
    )


def _invocation_older(invocation: Invocation) -> Invocation:
    if invocation.item is not None:
        return invocation._replace(item=item_older(invocation.item))
    if invocation.before in ("associate", "disassociate"):
        return invocation  # Nothing that follows depends on how long EC2 took.
    return invocation._replace(ticks=min(invocation.ticks + 1, CHANGED_CAP))


def is_fresh(known: Known) -> bool:
    """Whether a report is young enough to count, by its own promise."""
    said = known.said
    return known.age <= (1 if said.awaiting or any(said.lost) else 3)


def claims(known: Known) -> bool:
    """Whether the newest word of a node is a claim."""
    return known.said.runs
