"""The invariants of the design, judged from outside: EC2's journal and Pacemaker's own log.

Each is a function of a story that lists what is wrong, in sentences. The arbiter's history is only
asked for what it owes: a sentence for each move, under a term that grows. What is forgiven is said
where it is forgiven.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping

from lab.rounds.facts import Facts, Line, Move
from lab.rounds.story import LOGGED_SECONDS, SPEECH_SECONDS, Story
from spec.histories import NoHistoryError, read
from spec.spinning import ModelError, missing_tools
from spec.validate import validate

GRANTED_SECONDS = 22.0
"""A move's deadline of 10 s, resumed once."""

JUST_NOW_SECONDS = 3.0
"""What was granted may have been taken away while Pacemaker wrote the success down."""

TAKEN_OVER_SECONDS = 14.0
"""Detection, election of a DC, answer time and start, twice over."""

MOVERS = ("Arbitrate", "InstanceStates", "Watch")
NODES_MAY = (("events", "PutEvents"), ("dynamodb", "GetItem"))
_OK = 0


def faults_were_real(story: Story) -> Iterator[str]:
    """Each fault did what its name says."""
    for put in story.facts.puts:
        if put.not_real:
            yield f"{put} was no such fault: {put.not_real}"
    if len(story.facts.puts) != len(story.facts.plan.faults):
        yield f"only {len(story.facts.puts)} faults were put on"


def terms_grow(story: Story) -> Iterator[str]:
    """I1: terms only grow, one grant a term, and the table ends with the last of them."""
    facts = story.facts
    terms = [line.term for line in facts.grants]
    expected = [facts.term + 1 + index for index in range(len(terms))]
    if terms != expected:
        yield f"the grants' terms after {facts.term} are {terms}"
    if facts.end.table_term != (terms or [facts.term])[-1]:
        yield f"the table ends with term {facts.end.table_term}, the history with {terms}"


def moves_are_told(story: Story) -> Iterator[str]:
    """Every association is where the grant in force put it, and has its line in the history."""
    for move in story.facts.moves:
        grant = _grant_of(story.facts, move)
        if grant is None or grant.node != move.target:
            yield f"{_told(story, move)}, while the last grant before was {grant}"
        elif move.at - grant.at > GRANTED_SECONDS:
            yield f"{_told(story, move)}, {move.at - grant.at:.1f} s after its grant"


def only_the_arbiter_calls_ec2(story: Story) -> Iterator[str]:
    """I8, as far as there is no IAM here: nodes put events and read; the arbiter alone moves."""
    for principal, call in sorted(story.facts.calls):
        if principal in story.facts.nodes and tuple(call.split(":")) not in NODES_MAY:
            yield f"{principal} called {call}"
    for move in story.facts.moves:
        if move.principal not in MOVERS:
            yield f"{_told(story, move)} by {move.principal}"


def never_with_nobody(story: Story) -> Iterator[str]:
    """No address is taken off a node before another one has it: rounds are shorter than R090."""
    for move in story.facts.moves:
        if not move.target:
            yield f"{_told(story, move)}: nobody had it"


def moves_follow_claims(story: Story) -> Iterator[str]:
    """I3: an address goes only to a node whose Pacemaker starts or runs the resource.

    So it never goes to one that has been without power or frozen for longer than a claim counts.
    """
    for move in story.facts.moves:
        grant = _grant_of(story.facts, move)
        at = grant.at if grant else move.at
        if move.target and not story.claimed_at(move.target, at):
            yield f"{_told(story, move)}, but Pacemaker did not claim it there"


def holders_are_kept(story: Story) -> Iterator[str]:
    """I2: an address leaves only a node that does not run it, cannot speak, or is in a minority."""
    for move in story.facts.moves:
        grant = _grant_of(story.facts, move)
        at = grant.at if grant else move.at
        if move.source not in ("", move.target) and not story.excuse(move.source, at):
            yield f"{_told(story, move)}, which ran it and could speak"


def healthy_service_is_left_alone(story: Story) -> Iterator[str]:
    """I10 and more: where no fault is a reason, nothing moves, stops, fails or restarts."""
    facts = story.facts
    if story.disturbers():
        return
    for move in facts.moves:
        yield f"{_told(story, move)}, for no reason"
    for operation in story.of(facts.holder):
        if operation.action in ("start", "stop") or operation.rc not in (None, _OK):
            yield f"Pacemaker on {facts.holder}: {operation.action}, rc {operation.rc}"
    if facts.mark_before != facts.mark_after:
        yield f"the service on {facts.holder} was started anew"


def one_move_a_fault(story: Story) -> Iterator[str]:
    """I7: one fault causes at most one move, its end included; only moves off a node count."""
    moves = [move for move in story.facts.moves if move.source != move.target]
    movers = [p for p in story.facts.puts if p.kind.ends_service or p.kind.divides]
    if len(moves) > len(movers):
        yield f"{len(moves)} moves, and only {len(movers)} faults that may cause one"


def starts_succeed_where_granted(story: Story) -> Iterator[str]:
    """A start succeeds only on the node that EC2 has the address on: "Started" means it is there.

    A node that was frozen is forgiven: its start may end long after it was true.
    """
    for operation in story.facts.operations:
        if operation.action != "start" or operation.rc != _OK:
            continue
        node, at = operation.node, operation.at + LOGGED_SECONDS
        was_there = node in (story.location_at(at), story.location_at(at - JUST_NOW_SECONDS))
        frozen = any(
            put.put_at <= at <= put.lifted_at + SPEECH_SECONDS
            for put in story.puts_on(node, "freeze", "freeze_agent")
        )
        if not was_there and not frozen:
            yield f"{node} started it while {story.location_at(at)} had the address"


def the_lost_is_taken_over(story: Story) -> Iterator[str]:
    """What the fault is about does happen: without it, no invariant would have been tried."""
    if len(story.facts.puts) != 1:
        return
    (put,) = story.facts.puts
    if put.node != story.facts.holder:
        return
    lasted = put.lifting_at - put.in_force_at
    long_enough = put.kind_name in ("power_loss", "kill_corosync", "kill_pacemaker", "freeze")
    due = put.kind_name == "stop" or (long_enough and lasted >= TAKEN_OVER_SECONDS)
    if due and not any(move.at <= put.lifting_at for move in story.facts.moves):
        yield f"nobody took over from {put.node} while {put} lasted"


def all_is_well_again(story: Story) -> Iterator[str]:
    """I6: one node runs it, EC2 and the table have it there, and no failure or ban is left."""
    end = story.facts.end
    if end.trouble:
        yield f"not whole after {end.seconds:.0f} s: {end.trouble}"
    if len(end.started_on) != 1 or {end.ec2_holder, end.table_holder} != {*end.started_on}:
        yield (
            f"it runs on {' '.join(end.started_on) or 'nobody'}, EC2 has it on "
            f"{end.ec2_holder or 'nobody'}, the table on {end.table_holder or 'nobody'}"
        )
    if end.phase != "settled":
        yield f"the table says {end.phase}"
    yield from (f"a failure is left: {failure}" for failure in end.failures)
    if end.constraints:
        yield f"{end.constraints} constraints of moves are left"


def functions_do_not_fail(story: Story) -> Iterator[str]:
    """No function fails, and nothing is a dead letter.

    A service that answers with errors may fail an invocation: Lambda then tries again.
    """
    for at, error in story.facts.function_errors:
        if not any(
            put.kind_name in ("aws_errors", "aws_throttles", "ec2_errors")
            and put.put_at <= at
            and put.lifted_at + SPEECH_SECONDS >= at
            for put in story.facts.puts
        ):
            yield f"a function failed: {error}"
    if story.facts.end.dead_letters:
        yield f"{story.facts.end.dead_letters} dead letters"


def agents_do_not_end(story: Story) -> Iterator[str]:
    """No agent ends that nobody killed."""
    for node in story.facts.agents_ended:
        yield f"the agent on {node} ended by itself"


Invariant = Callable[[Story], Iterator[str]]


def steps_are_specified(story: Story) -> Iterator[str]:
    """The history so far is a run of the protocol's specification; not judged without Spin."""
    if not story.facts.export or missing_tools():
        return
    try:
        answer = validate(read(story.facts.export))
    except (ModelError, NoHistoryError) as error:
        yield f"no verdict: {error}"
        return
    if not answer.allowed:
        yield answer.sentence


INVARIANTS: Mapping[str, Invariant] = {
    invariant.__name__: invariant
    for invariant in (
        faults_were_real,
        terms_grow,
        moves_are_told,
        only_the_arbiter_calls_ec2,
        never_with_nobody,
        moves_follow_claims,
        holders_are_kept,
        healthy_service_is_left_alone,
        one_move_a_fault,
        starts_succeed_where_granted,
        the_lost_is_taken_over,
        all_is_well_again,
        functions_do_not_fail,
        agents_do_not_end,
        steps_are_specified,
    )
}


def judge(facts: Facts) -> tuple[str, ...]:
    """All that was wrong in a round, each with the name of the invariant that it violates."""
    story = Story(facts)
    return tuple(
        itertools.chain.from_iterable(
            (f"{name}: {sentence}" for sentence in invariant(story))
            for name, invariant in INVARIANTS.items()
        )
    )


def _grant_of(facts: Facts, move: Move) -> Line | None:
    """The last grant before a move, which is the one that it carries out."""
    before = [line for line in facts.grants if line.at <= move.at + LOGGED_SECONDS]
    return before[-1] if before else None


def _told(story: Story, move: Move) -> str:
    since = move.at - story.facts.began_at
    names = f"{move.source or 'nobody'} -> {move.target or 'nobody'}"
    return f"{move.operation} at {since:+.2f} s, {names}"
