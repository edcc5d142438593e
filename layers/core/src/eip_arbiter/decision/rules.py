"""The rule table: ordered, first match wins, ids are stable and never used again.

A rule is a function of a `Case` that returns its decision, or None where it does not apply. It asks
the case questions and writes the sentence a person reads at night; it computes nothing itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from eip_arbiter.decision import orders
from eip_arbiter.decision.case import Case
from eip_arbiter.decision.outcome import Decision, Grant, Keep, Note, Release, Resume
from eip_arbiter.decision.snapshot import Node, OrderKind, Phase, Refusal

Rule = Callable[[Case], Decision | None]


def r010_paused(case: Case) -> Decision | None:
    """The cluster is paused: only an order, or a move that was granted before, goes on."""
    until_ms, order = case.snapshot.paused_until_ms, case.address.order
    if case.now_ms >= until_ms or _goes_on(case) or r020_order(case):
        return None
    would = first_of(AUTOMATIC, case)
    if order and isinstance(would, Grant) and would.holder == order.target:
        return None
    left_s = (until_ms - case.now_ms) // 1000
    calm = isinstance(would, Keep) and would.calm
    return Keep(
        "R010", f"paused for {left_s} s more; else, by {would.rule}: {would.sentence}", calm
    )


def r020_order(case: Case) -> Decision | None:
    """An operator's order stands for this address."""
    order = case.address.order
    if order is None:
        return None
    ended = orders.ended(case, order)
    if ended:
        return _end(case, f"order {order.id} ends: {ended}")
    if order.kind is OrderKind.SWITCHOVER:
        return None  # Pacemaker moves the resource; release and claim move the address.
    target = case.snapshot.nodes[order.target]
    if case.address.holder == order.target:
        pinned = f"order {order.id} pins it until {target.name} claims it"
        keep = Keep("R020", f"{target.name} keeps {_it(case)}: {pinned}")
        return None if case.is_moving else keep
    # Two calls at once could land in either order.
    waits = case.is_moving_in_time or case.is_being_released_from(target)
    if waits or (not order.force and case.unfit(target)):
        return None
    why = f"an operator ordered it (order {order.id})"
    return Grant("R020", _to(case, target, why), rested_on=(), holder=order.target)


def _end(case: Case, sentence: str) -> Decision | None:
    """The end of an order, and in the same step where the address goes without it.

    In between, the copy that runs elsewhere would be told that it lost its address. So an order
    whose end would move it stands as long as the cluster is paused, or the call of a move that is
    under way may still land.
    """
    would = first_of(AUTOMATIC, case.without_order)
    if isinstance(would, Grant):
        if case.now_ms < case.snapshot.paused_until_ms or case.is_moving_in_time:
            return None
        return replace(would, sentence=f"{sentence}; {would.sentence}", ends_order=True)
    return Note("R020", sentence, case.rested_on, refusal=case.address.refusal, order=None)


def r030_moving(case: Case) -> Decision | None:
    """A move is under way and its deadline has not passed."""
    if not case.is_moving_in_time:
        return None
    left_s = (case.address.deadline_ms - case.now_ms) / 1000
    return Keep("R030", f"{_it(case)} is being moved; whoever does it has {left_s:.1f} s left")


def r031_resume(case: Case) -> Decision | None:
    """A move is under way, its deadline has passed, and it still goes to the right node."""
    if not _goes_on(case):
        return None
    name, term = case.name(case.address.holder), case.address.term
    return Resume(
        "R031", f"the move of {_it(case)} to {name} (term {term}) was not finished; it is resumed"
    )


def _goes_on(case: Case) -> bool:
    """Whether a move is under way that is to be finished.

    One that could not be made in time must not bind the address to its node for ever: where the
    rules would by now give it to another one, and no order wants it there, that one gets it.
    """
    address = case.address
    if not case.is_moving or case.now_ms < address.deadline_ms:
        return case.is_moving
    if address.holder is None or (address.order and address.order.target == address.holder):
        return True
    would = first_of(AUTOMATIC, case)
    return not isinstance(would, Grant) or would.holder == address.holder


def r040_flap_brake(case: Case) -> Decision | None:
    """Too many automatic moves lately, another one is due, and the holder still runs it."""
    moves = case.moves_in_window
    if moves < case.policy.brake_moves or not case.holder_runs:
        return None
    would = first_of(AUTOMATIC[1:], case)
    if not isinstance(would, Grant) or would.holder == case.address.holder:
        return None
    if case.claimant and case.holder_is_silent(case.claimant):
        return None
    minutes = case.policy.brake_window_ms // 60_000
    return Keep(
        "R040",
        f"{_holder(case)} keeps {_it(case)}, blocked: {moves} moves in {minutes} min put the flap "
        f"brake on until time passes or `acknowledge`; else, by {would.rule}: {would.sentence}",
    )


def r050_unclaimed(case: Case) -> Decision | None:
    """Nobody holds the address, and somebody claims it."""
    if case.address.holder is not None or case.claimant is None:
        return None
    return _grant(case, "R050", case.claimant, "nobody held it")


def r060_instance_goes(case: Case) -> Decision | None:
    """EC2 says that the holder's instance goes away, and another node claims."""
    state = case.instance_goes(case.holder)
    if state is None or case.claimant is None:
        return None
    return _grant(case, "R060", case.claimant, f"EC2 says that {_holder(case)} is {state}")


def r061_gave_up(case: Case) -> Decision | None:
    """The holder released it, failed, is unhealthy or lost its Pacemaker, and another claims."""
    reason = case.holder_gave_up
    if reason is None or case.claimant is None:
        return None
    return _grant(case, "R061", case.claimant, f"{_holder(case)} {reason}")


def r070_silent(case: Case) -> Decision | None:
    """Another node claims, and the holder did not answer in time."""
    if case.address.holder is None or case.claimant is None:
        return None
    if not case.holder_is_silent(case.claimant):
        return None
    silent_s = case.holder_silent_ms(case.claimant) / 1000
    return _grant(
        case, "R070", case.claimant, f"{_holder(case)} did not answer for {silent_s:.1f} s"
    )


def r071_quorate_side(case: Case) -> Decision | None:
    """Another node claims with a real quorum, and the holder answers without."""
    if case.claimant is None or not case.holder_answers:
        return None
    if not case.alone_quorate(case.claimant):
        return None
    why = f"only its side is quorate, {_holder(case)} is cut off"
    return _grant(case, "R071", case.claimant, why)


def r080_drift(case: Case) -> Decision | None:
    """The holder claims, and its own metadata service says that the address is not there.

    Another node's claim that no rule before this one grants does not change that, once the holder
    has answered it.
    """
    holder = case.holder
    if holder is None or holder.report is None or not case.claims(holder):
        return None
    if case.claimants and not case.holder_answers:
        return None
    ips = holder.report.public_ips
    if ips is None or case.address.public_ip in ips:
        return None
    settled_for_ms = holder.report.said_at_ms - case.address.changed_at_ms
    if case.address.phase is not Phase.SETTLED or settled_for_ms <= case.drift_pause_ms:
        return None
    return _grant(case, "R080", holder, f"{holder.name} holds it, but it was not there (drift)")


def r072_split_brain(case: Case) -> Decision | None:
    """Another node claims, and the holder answers."""
    if case.claimant is None or not case.holder_answers:
        return None
    claimant, holder = case.claimant, _holder(case)
    sentence = (
        f"{holder} keeps {_it(case)}: it answers, so {claimant.name}'s claim is a split-brain and "
        f"is refused; Pacemaker will stop the resource on {claimant.name}"
    )
    if case.address.refusal and case.address.refusal.claimant == claimant.instance_id:
        return Keep("R072", sentence)
    refusal = Refusal(claimant=claimant.instance_id, at_ms=case.now_ms)
    return Note("R072", sentence, case.rested_on, refusal=refusal, order=case.address.order)


def r090_unused(case: Case) -> Decision | None:
    """The holder released it long ago, and nobody claims it."""
    holder = case.holder
    if holder is None or holder.report is None or case.claimants or not case.is_fresh(holder):
        return None
    state = holder.report.resources.get(case.address.resource)
    if state is None or state.state != "stopped":
        return None
    # A grant is not released by what was before it.
    released_ms = min(state.for_ms, holder.report.received_at_ms - case.address.changed_at_ms)
    if released_ms < case.policy.release_ms:
        return None
    since_s = released_ms // 1000
    return Release(
        "R090",
        f"{_it(case)} is taken off {holder.name}, which released it {since_s} s ago; "
        "nobody claims it",
        case.rested_on,
    )


def r999_keep(case: Case) -> Decision:
    """No other rule applies: the address stays where it is."""
    challenged = case.opened_at_ms is not None or bool(case.claimants)
    if case.address.refusal and not challenged:
        return Note(
            "R999",
            f"the challenge of {_holder(case)} is over; {_holder(case)} keeps {_it(case)}",
            case.rested_on,
            refusal=None,
            order=case.address.order,
        )
    if case.claimant is None:
        why = "no other node claims it"
        if case.claimants:
            why = f"its claimant {case.passed_over(case.claimants[0])}"
        calm = not case.claimants
        return Keep("R999", f"{_holder(case)} keeps {_it(case)}: {why}", calm=calm)
    left_s = (case.allowed_silence_ms(case.claimant) - case.holder_silent_ms(case.claimant)) / 1000
    return Keep(
        "R999",
        f"{_holder(case)} keeps {_it(case)} for now: {case.claimant.name} claims it, "
        f"and {_holder(case)} has {left_s:.1f} s left to answer",
    )


AUTOMATIC: tuple[Rule, ...] = (
    r040_flap_brake,
    r050_unclaimed,
    r060_instance_goes,
    r061_gave_up,
    r070_silent,
    r071_quorate_side,
    r080_drift,
    r072_split_brain,
    r090_unused,
    r999_keep,
)
RULES: tuple[Rule, ...] = (r010_paused, r020_order, r030_moving, r031_resume, *AUTOMATIC)


def first_of(rules: tuple[Rule, ...], case: Case) -> Decision:
    """The decision of the first rule that applies."""
    for rule in rules:
        decision = rule(case)
        if decision is not None:
            return decision
    raise AssertionError("the last rule always applies")


def _grant(case: Case, rule: str, node: Node, why: str) -> Grant:
    return Grant(rule, _to(case, node, why), case.rested_on, node.instance_id)


def _to(case: Case, node: Node, why: str) -> str:
    return f"{node.name} gets {_it(case)} under term {case.address.term + 1}: {why}"


def _it(case: Case) -> str:
    return f"{case.address.public_ip} ({case.address.resource})"


def _holder(case: Case) -> str:
    return case.name(case.address.holder)
