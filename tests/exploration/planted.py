"""Planted bugs: each breaks a rule, a condition or a step of the move, and must be found.

Those of the rules and the move are the simulation's own; the conditions are this world's.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from simulation.mutants import MUTANTS

from exploration import conditions, shipped
from exploration.search import Found, explore
from exploration.shipped import Call
from exploration.world import Address, Budget, Invocation, Limits, Sent

Patch = tuple[Any, str, Any]


def _reports_only(invocation: Invocation, call: Call) -> bool:
    return not invocation.overtaken & call.rested


def _version_only(invocation: Invocation, _call: Call) -> bool:
    return invocation.version


def _always_settles(_invocation: Invocation, _now: Address) -> bool:
    return True


def _settles_without_term(invocation: Invocation, now: Address) -> bool:
    return now.moving or invocation.changed


def _all_stay_in_flight(flight: tuple[Sent, ...], taken: int) -> tuple[Sent, ...]:
    return (*flight[:taken], *flight[taken + 1 :])


CONDITIONS: dict[str, list[Patch]] = {
    "commit_without_version": [(conditions, "may_commit", _reports_only)],
    "commit_without_reports": [(conditions, "may_commit", _version_only)],
    "commit_without_conditions": [(conditions, "may_commit", lambda _invocation, _call: True)],
    "settle_without_conditions": [(conditions, "may_settle", _always_settles)],
    "settle_without_term": [(conditions, "may_settle", _settles_without_term)],
    "old_reports_are_taken": [(conditions, "left_in_flight", _all_stay_in_flight)],
}


def names() -> list[str]:
    """All planted bugs that this world can have."""
    return [*CONDITIONS, *(each.name for each in MUTANTS if each.name not in CONDITIONS)]


@contextmanager
def planted(name: str) -> Iterator[None]:
    """The shipped arbiter, or the store's conditions, with this bug in it."""
    patches = CONDITIONS.get(name)
    if patches is None:
        patches = next(each for each in MUTANTS if each.name == name).patches()
    shipped.forget()
    put = [patch.object(owner, attribute, value) for owner, attribute, value in patches]
    try:
        for each in put:
            each.start()
        yield
    finally:
        for each in reversed(put):
            each.stop()
        shipped.forget()


def hunted(name: str, limits: Limits, budget: Budget, depth: int) -> Found:
    """What the search finds with this bug."""
    with planted(name):
        return explore(limits, budget, depth)
