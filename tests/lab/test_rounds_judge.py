"""The judge of the fault rounds, fed with made rounds: each wrong one is complained about."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Sequence
from typing import Any

import builders
import pytest
from eip_arbiter.decision import decide
from eip_arbiter.decision.policy import Policy
from eip_arbiter.decision.snapshot import Phase
from needs import needed

from lab.rounds.facts import End, Facts, Line, Move, Operation, Put
from lab.rounds.judge import INVARIANTS, judge
from lab.rounds.outcome import from_json, outcome_of, timeline, to_json
from lab.rounds.plan import Fault, Plan
from spec.spinning import TOOLS

BEGAN = 1000.0


def put(kind: str, node: str, at: float, seconds: float, **more: Any) -> Put:
    began = BEGAN + at
    return Put(kind, node, began, began + 0.1, began + seconds, began + seconds + 0.2, **more)


def op(at: float, node: str, action: str, rc: int | None = None) -> Operation:
    return Operation(BEGAN + at, node, action, rc)


def move(at: float, source: str, target: str, **more: Any) -> Move:
    facts = {"operation": "AssociateAddress", "principal": "Arbitrate", **more}
    return Move(at=BEGAN + at, source=source, target=target, **facts)


def grant(at: float, term: int, node: str, rule: str = "R070") -> Line:
    return Line(BEGAN + at, "grant", term, rule, f"{node} gets 203.0.113.1 (eip)")


def told(version: int, term: int, node: str, rule: str = "R070") -> dict[str, Any]:
    sentence = f"{rule}: {node} gets 203.0.113.1 (eip) under term {term}: n1 did not answer for 3 s"
    at_ms = 1000 * version
    line = {"kind": "grant", "resource": "eip", "term": term, "sentence": sentence}
    return {**line, "version": version, "at_ms": at_ms, "cluster": "lab"}


def end(node: str, term: int, **more: Any) -> End:
    return dataclasses.replace(End(3.0, "", (node,), node, node, term, "settled"), **more)


def calm(*puts: Put, nodes: Sequence[str] = ("n1", "n2"), **more: Any) -> Facts:
    """A round on n1, term 4, in which nothing came of the faults."""
    faults = tuple(Fault(p.kind_name, 0, 0.0, 1.0) for p in puts)
    facts = Facts(
        plan=Plan(1, 1, len(nodes), faults),
        nodes=tuple(nodes),
        holder="n1",
        term=4,
        began_at=BEGAN,
        agents_ended=(),
        puts=puts,
        operations=(),
        moves=(),
        lines=(),
        heard=(),
        function_errors=(),
        calls=frozenset({("n1", "events:PutEvents"), ("Arbitrate", "ec2:AssociateAddress")}),
        mark_before=1.0,
        mark_after=1.0,
        end=end("n1", 4),
    )
    return dataclasses.replace(facts, **more)


def takeover(*puts: Put, at: float = 3.5, **more: Any) -> Facts:
    """The same, but n2 took over from n1, in good order."""
    changes: dict[str, Any] = {
        "operations": (op(at - 0.1, "n2", "start"), op(at + 0.3, "n2", "start", 0)),
        "lines": (grant(at, 5, "n2"),),
        "moves": (move(at + 0.1, "n1", "n2"),),
        "mark_after": None,
        "end": end("n2", 5),
    }
    return calm(*puts, **{**changes, **more})


POWER_LOSS = put("power_loss", "n1", 0, 8)
GOOD = {
    "a power loss that n2 takes over": takeover(POWER_LOSS),
    "a freeze that n2 takes over": takeover(put("freeze", "n1", 0, 8)),
    "a partition that moves nothing": calm(put("partition", "n1", 0, 8)),
    "AWS is away": calm(put("aws_away", "", 0, 8)),
    "the holder's quorum is lost": takeover(put("partition", "n1", 0, 8), nodes=("n1", "n2", "n3")),
    "a partition while the holder is not heard": takeover(
        put("partition", "n2", 0, 8), put("aws_blackhole", "n1", 0, 8)
    ),
    "a planned stop": takeover(
        put("stop", "n1", 0, 8),
        at=0.4,
        operations=(
            op(0.1, "n1", "stop"),
            op(0.2, "n1", "stop", 0),
            op(0.3, "n2", "start"),
            op(0.7, "n2", "start", 0),
        ),
    ),
    "services that fail fail functions": calm(
        put("aws_errors", "", 0, 8), function_errors=((BEGAN + 2, "Arbitrate: no"),)
    ),
}
BAD = {
    "a history that the specification does not allow": (
        "steps_are_specified",
        takeover(POWER_LOSS, export=json.dumps([told(1, 4, "n1", "R050"), told(2, 6, "n2")])),
    ),
    "a history that is none": ("steps_are_specified", takeover(POWER_LOSS, export="[1]")),
    "a move to a node that Pacemaker starts nothing on": (
        "moves_follow_claims",
        takeover(POWER_LOSS, operations=()),
    ),
    "a move to a node that has been without power": (
        "moves_follow_claims",
        takeover(
            POWER_LOSS,
            put("power_loss", "n2", 0.2, 12),
            at=9.0,
            operations=(op(0.1, "n2", "start"), op(14.0, "n2", "start", 0)),
        ),
    ),
    "a move to a node that has long been frozen": (
        "moves_follow_claims",
        takeover(
            POWER_LOSS,
            put("freeze", "n2", 1.0, 12),
            at=9.0,
            operations=(op(0.9, "n2", "start"), op(14.0, "n2", "start", 0)),
        ),
    ),
    "a move off a holder in a two-node partition": (
        "holders_are_kept",
        takeover(put("partition", "n1", 0, 8)),
    ),
    "a move off a holder before it could have answered": (
        "holders_are_kept",
        takeover(put("freeze", "n1", 0, 8), at=1.5),
    ),
    "a move off a quorate holder of three": (
        "holders_are_kept",
        takeover(put("partition", "n2", 0, 8), nodes=("n1", "n2", "n3")),
    ),
    "a move off a holder that is long heard again": (
        "holders_are_kept",
        takeover(put("freeze", "n1", 0, 4), at=20.0),
    ),
    "a move because AWS was away": (
        "healthy_service_is_left_alone",
        takeover(put("aws_away", "", 0, 8)),
    ),
    "a restart because the agent was killed": (
        "healthy_service_is_left_alone",
        calm(put("kill_agent", "n1", 0, 8), mark_after=2.0),
    ),
    "a monitor that fails because the metadata service is away": (
        "healthy_service_is_left_alone",
        calm(put("metadata_hangs", "n1", 0, 8), operations=(op(5, "n1", "monitor", 7),)),
    ),
    "a holder stopped by the heal": (
        "healthy_service_is_left_alone",
        calm(
            put("partition", "n2", 0, 8),
            operations=(op(9, "n1", "stop"), op(9.1, "n1", "stop", 0), op(9.2, "n1", "start")),
        ),
    ),
    "a move that comes twice": (
        "one_move_a_fault",
        takeover(
            POWER_LOSS,
            lines=(grant(3.5, 5, "n2"), grant(5, 6, "n1"), grant(6, 7, "n2")),
            moves=(move(3.6, "n1", "n2"), move(5.1, "n2", "n1"), move(6.1, "n1", "n2")),
            end=end("n2", 7),
        ),
    ),
    "a move back at the heal": (
        "one_move_a_fault",
        takeover(
            put("freeze", "n1", 0, 8),
            operations=(
                *(op(3.4, "n2", "start"), op(3.8, "n2", "start", 0)),
                *(op(9, "n2", "stop"), op(9.1, "n2", "stop", 0)),
            ),
            lines=(grant(3.5, 5, "n2"), grant(9.1, 6, "n1", "R061")),
            moves=(move(3.6, "n1", "n2"), move(9.2, "n2", "n1")),
            end=end("n1", 6),
        ),
    ),
    "an association without a grant": (
        "moves_are_told",
        takeover(POWER_LOSS, lines=(), end=end("n2", 4)),
    ),
    "an association elsewhere than granted": (
        "moves_are_told",
        takeover(POWER_LOSS, lines=(grant(3.5, 5, "n1"),)),
    ),
    "an association long after its grant": (
        "moves_are_told",
        takeover(POWER_LOSS, moves=(move(40, "n1", "n2"),)),
    ),
    "a term that is given twice": (
        "terms_grow",
        takeover(POWER_LOSS, lines=(grant(3.5, 4, "n2"),)),
    ),
    "a table that forgets a term": ("terms_grow", takeover(POWER_LOSS, end=end("n2", 4))),
    "a disassociation": (
        "never_with_nobody",
        takeover(
            POWER_LOSS,
            moves=(move(1, "n1", "", operation="DisassociateAddress"), move(3.6, "", "n2")),
        ),
    ),
    "a node that calls EC2": (
        "only_the_arbiter_calls_ec2",
        calm(put("aws_away", "", 0, 8), calls=frozenset({("n2", "ec2:AssociateAddress")})),
    ),
    "somebody else who moves the address": (
        "only_the_arbiter_calls_ec2",
        takeover(POWER_LOSS, moves=(move(3.6, "n1", "n2", principal="n2"),)),
    ),
    "a start that succeeds where the address is not": (
        "starts_succeed_where_granted",
        calm(
            put("partition", "n2", 0, 8), operations=(op(3, "n2", "start"), op(5, "n2", "start", 0))
        ),
    ),
    "a stop that nobody takes over": (
        "the_lost_is_taken_over",
        calm(put("stop", "n1", 0, 8), operations=(op(0.1, "n1", "stop"), op(0.2, "n1", "stop", 0))),
    ),
    "a long power loss that nobody takes over": (
        "the_lost_is_taken_over",
        calm(put("power_loss", "n1", 0, 16)),
    ),
    "two that run it at the end": (
        "all_is_well_again",
        calm(put("partition", "n1", 0, 8), end=end("n1", 4, started_on=("n1", "n2"))),
    ),
    "an address that lies elsewhere": (
        "all_is_well_again",
        calm(put("partition", "n1", 0, 8), end=end("n1", 4, ec2_holder="n2")),
    ),
    "a table that says something else": (
        "all_is_well_again",
        calm(put("partition", "n1", 0, 8), end=end("n1", 4, table_holder="n2")),
    ),
    "a failure that bans a node": (
        "all_is_well_again",
        calm(put("partition", "n1", 0, 8), end=end("n1", 4, failures=("eip_start_0 on n2",))),
    ),
    "a ban that is left": (
        "all_is_well_again",
        calm(put("partition", "n1", 0, 8), end=end("n1", 4, constraints=1)),
    ),
    "a cluster that does not become whole": (
        "all_is_well_again",
        calm(put("partition", "n1", 0, 8), end=end("n1", 4, trouble="n2 is offline")),
    ),
    "a function that fails while all services are well": (
        "functions_do_not_fail",
        calm(put("partition", "n1", 0, 8), function_errors=((BEGAN + 2, "Arbitrate: no"),)),
    ),
    "a dead letter": (
        "functions_do_not_fail",
        calm(put("aws_errors", "", 0, 8), end=end("n1", 4, dead_letters=1)),
    ),
    "an agent that ends by itself": (
        "agents_do_not_end",
        calm(put("partition", "n1", 0, 8), agents_ended=("n2",)),
    ),
    "a fault that was none": (
        "faults_were_real",
        calm(put("partition", "n1", 0, 8, not_real="the ring gave ['refused']")),
    ),
}


@pytest.mark.parametrize("facts", GOOD.values(), ids=GOOD.keys())
def test_a_round_that_went_as_it_must_is_not_complained_about(facts: Facts) -> None:
    assert judge(facts) == ()


@pytest.mark.parametrize(("invariant", "facts"), BAD.values(), ids=BAD.keys())
def test_a_round_that_went_wrong_is_complained_about(invariant: str, facts: Facts) -> None:
    if facts.export:
        for tool in TOOLS:
            needed(tool, there=shutil.which(tool) is not None)
    assert invariant in {violation.partition(":")[0] for violation in judge(facts)}


def test_a_resumed_move_is_the_grant_of_whom_its_sentence_names() -> None:
    stuck = builders.address(holder=builders.N2, phase=Phase.MOVING, deadline_ms=builders.NOW)
    said = decide(builders.snapshot(at=stuck), "eip", Policy(), builders.NOW + 1)
    assert said.rule == "R031"
    assert Line(BEGAN, "grant", 7, "R070", said.sentence).node == "n2"
    resumed = dataclasses.replace(grant(3.5, 5, "n2"), sentence=said.sentence)
    assert list(judge(takeover(POWER_LOSS, lines=(resumed,)))) == []


def test_every_invariant_is_seen_to_be_violated() -> None:
    assert {invariant for invariant, _ in BAD.values()} == set(INVARIANTS)


def test_the_timeline_tells_everything_in_the_order_of_time() -> None:
    told = list(timeline(takeover(POWER_LOSS)))
    seconds = [float(line.split()[0]) for line in told]
    assert seconds == sorted(seconds)
    marks = [line.split()[2] for line in told]
    assert marks == ["fault", "crm", "R070", "EC2", "crm", "fault"]


def test_an_outcome_survives_its_way_from_the_cluster_s_process() -> None:
    outcome = outcome_of(takeover(POWER_LOSS), ("a: b",), 12.0)
    assert from_json(to_json(outcome)) == outcome
    assert (outcome.moves, outcome.ok) == (1, False)
    assert outcome.faults == "power_loss n1 (holder) 7.9 s"
