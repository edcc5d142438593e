"""All that may happen next in the bounded world, each with a sentence.

A node may say anything at any time: that the resource runs there or not, that it awaits the address
or believes that it holds it, that it sees its peers or lost them. That is far wider than what
Pacemaker and the agent do, and needs no model of them. What is lost is as if it was never said, a
dead node and one that is cut off from AWS just say nothing: no step is ever due.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

from exploration import conditions, invoke, shipped
from exploration.world import (
    BACK,
    FOR_CAP,
    GOES,
    GOING,
    GONE,
    HERE,
    HERE_UNKNOWN,
    LOST_CAP,
    NOT_HERE,
    ORDER_TICKS,
    UP,
    Limits,
    Order,
    Said,
    Sent,
    State,
    after_a_tick,
    tidy,
)

Step = tuple[str, State, str | None]
"""A sentence, the state after it, and the invariant that it broke."""


def steps(state: State, limits: Limits) -> Iterator[Step]:
    """Everything that may happen next."""
    yield "one tick passes", after_a_tick(state), None
    for number in range(1, limits.nodes + 1):
        yield from _instance_steps(state, number, limits)
        if state.lives[number - 1] in (UP, BACK):
            yield from _report_steps(state, number, limits)
        yield from _arrivals(state, number, limits)
    yield from _invocation_steps(state)
    yield from _operator_steps(state, limits)


def _instance_steps(state: State, number: int, limits: Limits) -> Iterator[Step]:
    life, budget, name = state.lives[number - 1], state.budget, f"n{number}"
    if life in (UP, BACK) and budget.stops:
        left = budget._replace(stops=budget.stops - 1)
        yield f"{name} is stopped", with_life(state, number, GOING)._replace(budget=left), None
    if life in (GOING, GONE) and budget.starts:
        left = budget._replace(starts=budget.starts - 1)
        yield f"{name} boots", with_life(state, number, BACK)._replace(budget=left), None
    if life == GOING:
        known = state.item.known[number - 1]._replace(ec2=GOES)
        item = state.item._replace(
            known=(*state.item.known[: number - 1], known, *state.item.known[number:])
        )
        told = with_life(state, number, GONE)._replace(item=item)
        yield from _invoked(told, f"EC2 says that {name} is stopped", limits)


def _report_steps(state: State, number: int, limits: Limits) -> Iterator[Step]:
    late = state.budget.late
    for said in sayings(state, number):
        words, new = _words(number, said), Sent(said, 0)
        flight = state.flight[number - 1]
        left = conditions.left_in_flight((*flight, new), len(flight))
        taken = invoke.recorded(with_flight(state, number, left), number, new)
        yield from _invoked(taken, f"{words}, which arrives", limits)
        if late:
            sent = with_flight(state, number, (*flight, new))
            spent = state.budget._replace(late=late - 1)
            yield f"{words}, which is under way", sent._replace(budget=spent), None


def _arrivals(state: State, number: int, limits: Limits) -> Iterator[Step]:
    flight = state.flight[number - 1]
    for place, sent in enumerate(flight):
        left = with_flight(state, number, conditions.left_in_flight(flight, place))
        taken = invoke.recorded(left, number, sent)
        late = f"it arrives {sent.ticks} ticks late"
        yield from _invoked(taken, f"{late}: {_words(number, sent.said)}", limits)


def _words(number: int, said: Said) -> str:
    runs = "is stopped"
    if said.runs:
        runs = "starts, the address is awaited" if said.awaiting else "runs"
    lost = [f"n{peer}" for peer, since in enumerate(said.lost, 1) if since]
    return f"n{number} reports that it {runs}{', lost ' + ' and '.join(lost) if lost else ''}"


def sayings(state: State, number: int) -> Iterator[Said]:
    """All that a node may say now; it believes that it holds the address only if it once did."""
    last = state.item.known[number - 1].said
    may_believe = state.item.address.holder == number or (last.runs and not last.awaiting)
    peers = [[0] if n == number else [0, 1] for n in range(1, len(state.lives) + 1)]
    for lost in product(*peers):
        yield saying(state, number, lost, runs=False, awaiting=False)
        yield saying(state, number, lost, runs=True, awaiting=True)
        if may_believe:
            yield saying(state, number, lost, runs=True, awaiting=False)


def saying(state: State, number: int, lost: tuple[int, ...], *, runs: bool, awaiting: bool) -> Said:
    """A report that says this; what it has said before goes on for as long as it has.

    Args:
        state: when it is said.
        number: the node.
        lost: for each node 1 if it is out of sight, else 0.
        runs: whether the resource runs or starts there.
        awaiting: whether the agent does not know that it holds the address.
    """
    boot = int(state.lives[number - 1] == BACK)
    known = state.item.known[number - 1]
    flight = state.flight[number - 1]
    last, age = flight[-1] if flight else (known.said, known.age + known.late)
    if last.boot != boot:
        last, age = Said(False, 0, (0,) * len(lost), False, HERE_UNKNOWN, boot), 0
    here = HERE_UNKNOWN
    if runs and not awaiting:
        here = HERE if state.ec2 == number else NOT_HERE
    return Said(
        runs=runs,
        for_ticks=min(last.for_ticks + age, FOR_CAP) if last.runs == runs else 0,
        lost=tuple(
            now and (min(since + age, LOST_CAP) if since else 1)
            for now, since in zip(lost, last.lost, strict=True)
        ),
        awaiting=awaiting,
        here=here,
        boot=boot,
    )


def _invoked(state: State, label: str, limits: Limits) -> Iterator[Step]:
    """An invocation reads the item and stops before any of its calls, or goes on to its end."""
    standing = state.invocations
    left = state.budget._replace(stalls=state.budget.stalls - 1)
    may_stand = left.stalls >= 0 and len(standing) < limits.invocations
    state, broken = invoke.begin(state), None
    while len(state.invocations) > len(standing) and not broken:
        newest = state.invocations[-1]
        reads_already = newest.before == "decide" and any(each.item for each in standing)
        if may_stand and not reads_already:
            stands = tidy(state._replace(budget=left))
            yield f"{label}; its invocation stands before {newest.before}", stands, None
        state, broken = invoke.advanced(state, len(state.invocations) - 1)
    yield label, tidy(state), broken


def _invocation_steps(state: State) -> Iterator[Step]:
    for index, invocation in enumerate(state.invocations):
        others = (*state.invocations[:index], *state.invocations[index + 1 :])
        where = f"the invocation that stands before {invocation.before}"
        yield f"{where} crashes", state._replace(invocations=others), None
        after, broken = invoke.advanced(state, index)
        yield f"{where} makes that call", tidy(after), broken
        if len(after.invocations) < len(state.invocations):
            continue
        while len(after.invocations) == len(state.invocations) and not broken:
            after, broken = invoke.advanced(after, len(after.invocations) - 1)
        yield f"{where} goes on to its end", tidy(after), broken


def _operator_steps(state: State, limits: Limits) -> Iterator[Step]:
    item, budget = state.item, state.budget
    if item.paused:
        resumed = invoke.written(state, item._replace(paused=False))
        yield from _invoked(resumed, "an operator resumes the cluster", limits)
    elif budget.pauses:
        left = budget._replace(pauses=budget.pauses - 1)
        paused = invoke.written(state, item._replace(paused=True))
        yield "an operator pauses the cluster", paused._replace(budget=left), None
    if not budget.orders or item.address.order:
        return
    for target in range(1, limits.nodes + 1):
        if item.address.holder == target and not item.address.moving:
            continue
        force = not shipped.is_fit(item, target)
        order = Order(target, force, ORDER_TICKS)
        ordered = item._replace(address=item.address._replace(order=order))
        left = budget._replace(orders=budget.orders - 1)
        accepted = invoke.written(state, ordered)._replace(budget=left)
        how = "forces" if force else "orders"
        yield from _invoked(accepted, f"an operator {how} a failover to n{target}", limits)


def with_life(state: State, number: int, life: int) -> State:
    """The state with another life of a node's instance."""
    return state._replace(lives=(*state.lives[: number - 1], life, *state.lives[number:]))


def with_flight(state: State, number: int, flight: tuple[Sent, ...]) -> State:
    """The state with other reports of a node on their way."""
    lives, flights, item, ec2, invocations, budget = state
    flights = (*flights[: number - 1], flight, *flights[number:])
    return State(lives, flights, item, ec2, invocations, budget)
