"""Plans of fault rounds: repeatable, varied, and never two faults at the same part of the site."""

from __future__ import annotations

import pytest

from lab.rounds.injections import INJECTIONS
from lab.rounds.plan import HOLDER, KINDS, Fault, draw

MANY = [draw(1, number) for number in range(1, 1001)]


def test_the_same_seed_and_number_are_the_same_round() -> None:
    assert draw(7, 3) == draw(7, 3)
    assert draw(7, 3) != draw(8, 3)
    assert draw(7, 3) != draw(7, 5)


def test_every_kind_of_fault_is_drawn_and_can_be_put_on() -> None:
    assert {fault.kind for plan in MANY for fault in plan.faults} == set(KINDS) == set(INJECTIONS)


def test_both_sizes_every_role_and_pairs_are_drawn() -> None:
    assert {plan.size for plan in MANY} == {2, 3}
    for size in (2, 3):
        plans = [plan for plan in MANY if plan.size == size]
        assert {fault.role for plan in plans for fault in plan.faults} == set(range(size))
        assert {len(plan.faults) for plan in plans} == {1, 2}


def test_a_second_fault_begins_while_the_first_one_lasts_and_does_not_touch_it() -> None:
    for plan in MANY:
        if len(plan.faults) > 1:
            first, second = plan.faults
            assert first.at == 0.0 <= second.at <= first.seconds
            assert not first.excludes(second)
            assert not second.excludes(first)


def test_times_are_those_of_the_kind() -> None:
    for plan in MANY:
        for fault in plan.faults:
            low, high = KINDS[fault.kind].seconds
            assert low <= fault.seconds <= high


@pytest.mark.parametrize(
    ("first", "second", "excluded"),
    [
        (("power_loss", HOLDER), ("freeze", HOLDER), True),
        (("power_loss", HOLDER), ("freeze", 1), False),
        (("power_loss", HOLDER), ("loss_in", 1), True),
        (("partition", HOLDER), ("loss_out", 1), True),
        (("aws_away", HOLDER), ("aws_blackhole", 1), True),
        (("aws_refused", HOLDER), ("aws_blackhole", 1), False),
        (("freeze", 1), ("kill_agent", 1), True),
        (("stop", 1), ("kill_agent", 1), False),
    ],
)
def test_what_would_undo_each_other_is_excluded(
    first: tuple[str, int], second: tuple[str, int], *, excluded: bool
) -> None:
    assert Fault(*first, 0.0, 1.0).excludes(Fault(*second, 0.0, 1.0)) is excluded
