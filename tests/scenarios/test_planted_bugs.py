"""The corpus finds bugs that are planted in the questions that rules ask."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import pytest
from eip_arbiter.decision import case as case_module
from eip_arbiter.decision import claims, orders, policy, rules
from eip_arbiter.decision.case import Case

from scenarios.reading import corpus, found


def failing() -> list[str]:
    return [name for name, each in corpus().items() if found(each) != each.expected]


def cached(function: Callable[[Case], Any], name: str) -> Any:
    replacement = cached_property(function)
    replacement.__set_name__(Case, name)
    return replacement


BUGS: dict[str, tuple[object, str, Any]] = {
    "any old claim counts": (Case, "is_fresh", lambda _, node: node.report is not None),
    "a claim is fresh for longer": (claims, "FRESH_SLACK_MS", policy.FRESH_SLACK_MS + 1),
    "a promise may be broken for longer": (
        case_module,
        "PROMISE_SLACK_MS",
        policy.PROMISE_SLACK_MS + 1,
    ),
    "silence lasts until now, whenever the claim was said": (
        Case,
        "holder_silent_ms",
        lambda case, _: case.now_ms - case.holder_owes_since_ms,
    ),
    "claims may be late by a little more": (claims, "LATE_MS", policy.LATE_MS + 1),
    "an unhealthy node claims": (
        claims,
        "is_claim",
        lambda node, resource: claims.state_on(node, resource) == "starting",
    ),
    "half a second to answer": (Case, "allowed_silence_ms", lambda _, __: 500),
    "a calm holder must answer like one in an alarm": (
        Case,
        "allowed_silence_ms",
        lambda case, _: case.policy.answer_ms,
    ),
    "any alarm opens the challenge": (Case, "_opening", lambda _, node: node.alarm_since_ms),
    "joining is giving up": (claims, "RUNNING_PACEMAKER", ("online", "standby")),
    "a release is not believed": (Case, "holder_gave_up", cached(lambda _: None, "holder_gave_up")),
    "the quorum of two nodes counts": (case_module, "REAL_QUORUM", ("two_node", "majority")),
    "moves are never forgotten": (
        Case,
        "moves_in_window",
        cached(lambda case: len(case.address.recent_moves_ms), "moves_in_window"),
    ),
    "a move that is never made binds the address": (rules, "_goes_on", lambda case: case.is_moving),
    "a node without the private address is granted": (
        Case,
        "passed_over",
        lambda _, n: n.nofailover,
    ),
    "what cannot be read is given up": (
        claims,
        "gave_up",
        lambda node, resource: None if claims.is_claim(node, resource) else "gave up",
    ),
    "any report is an answer": (
        claims,
        "spoke_at_ms",
        lambda node, _: node.report.received_at_ms if node.report else 0,
    ),
    "a start without a readable view is no claim": (claims, "UNREAD_START_MS", -1),
    "an order ends before the address is decided": (
        orders,
        "_hopeless",
        lambda *_: None,
    ),
    "a grant need not wait for the end of a move": (Case, "is_moving", property(lambda _: False)),
}


@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_fails_some_scenario(bug: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not failing()
    monkeypatch.setattr(*BUGS[bug])
    assert failing()
