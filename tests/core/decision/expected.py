"""What a test expects of a decision, and an order to decide on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from builders import N2, NOW
from eip_arbiter.decision.outcome import Decision, Grant, Keep
from eip_arbiter.decision.snapshot import Order


def granted_to(decision: Decision, rule: str) -> str:
    assert isinstance(decision, Grant), decision
    assert decision.rule == rule, decision
    return decision.holder


def kept(decision: Decision) -> str:
    assert isinstance(decision, Keep), decision
    return decision.rule


def order(**changes: Any) -> Order:
    made = Order("ops-1", target=N2, force=False, issued_at_ms=NOW - 1_000, until_ms=NOW + 60_000)
    return replace(made, **changes)
