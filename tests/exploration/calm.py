"""What comes of a state once nothing goes wrong any more: I5 and I6, from every state of rest.

Nothing stands and nothing flies; a state in which something does is on its way to such a state. A
pause ends, and from then on some of the nodes are dead and the others see each other. Pacemaker
runs the resource on one of them, and they report. In the end the address must be there, on record
and at EC2.
"""

from __future__ import annotations

from itertools import product

from exploration import invoke
from exploration.steps import saying
from exploration.world import BACK, UP, Sent, State, after_a_tick

ROUNDS = 16


def does_not_settle(state: State, good: set[int]) -> str | None:
    """Why the address is not where it belongs long after all faults ended, or None.

    Args:
        state: where the faults end.
        good: hashes of what is known to end well; grows.
    """
    if state.invocations or any(state.flight):
        return None
    mark = hash((state.item, state.ec2, state.lives))
    if mark in good:
        return None
    ended = _unpaused(state)
    living = [number for number, life in enumerate(state.lives, 1) if life in (UP, BACK)]
    for chosen in product((True, False), repeat=len(living)):
        up = tuple(number for number, stays in zip(living, chosen, strict=True) if stays)
        if up and (broken := _does_not_settle(ended, up, good)):
            return broken
    good.add(mark)
    return None


def _does_not_settle(state: State, up: tuple[int, ...], good: set[int]) -> str | None:
    runs = tuple(number for number in up if state.item.known[number - 1].said.runs)
    seen: list[int] = []
    for _ in range(ROUNDS):
        runs = _by_pacemaker(state, up, runs)
        mark = hash((state.item, state.ec2, state.lives, up, runs))
        if mark in good or _is_well(state, runs):
            good.update(seen)
            return None
        seen.append(mark)
        state = _round(state, up, runs)
    address = state.item.address
    return (
        f"I6: {ROUNDS} ticks after all faults it runs on n{runs[0]}, "
        f"n{address.holder} holds it{' in a move' if address.moving else ''}, "
        f"and EC2 has it on n{state.ec2}"
    )


def _is_well(state: State, runs: tuple[int, ...]) -> bool:
    address = state.item.address
    there = runs == (address.holder,) == (state.ec2,)
    return there and not address.moving and address.order is None


def _unpaused(state: State) -> State:
    if not state.item.paused:
        return state
    return _run(invoke.written(state, state.item._replace(paused=False)))


def _run(state: State) -> State:
    state = invoke.begin(state)
    while state.invocations:
        state, _ = invoke.advanced(state, 0)
    return state


def _round(state: State, up: tuple[int, ...], runs: tuple[int, ...]) -> State:
    """Each node reads the state and reports, twice, and a tick passes."""
    lost = tuple(int(number not in up) for number in range(1, len(state.lives) + 1))
    for _ in range(2):
        for number in up:
            address = state.item.address
            target = address.order.target if address.order else 0
            held = address.holder and address.holder in (number, target)
            awaiting = number in runs and not held
            said = saying(state, number, lost, runs=number in runs, awaiting=awaiting)
            state = _run(invoke.recorded(state, number, Sent(said, 0)))
    return state if _is_well(state, runs) else after_a_tick(state)


def _by_pacemaker(state: State, up: tuple[int, ...], runs: tuple[int, ...]) -> tuple[int, ...]:
    """One node runs it: an order's target, else where the address is, else where it runs."""
    address = state.item.address
    if address.order and address.order.target in up:
        return (address.order.target,)
    candidates = runs or up
    return (address.holder if address.holder in candidates else candidates[0],)
