"""A node that is taken out of a running cluster, and one that joins it, by plans made by hand.

Played and judged as the fault rounds are. The quorum mode changes both times.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lab.rounds.injections import Lab
from lab.rounds.judge import judge
from lab.rounds.plan import HOLDER, Fault, Plan
from lab.rounds.play import play
from lab.rounds.recorder import Recorder
from lab.rounds.worker import lab_of

pytestmark = [pytest.mark.real_cluster, pytest.mark.timeout(300)]

STANDBY = 2


@pytest.fixture(scope="module")
def place() -> Iterator[tuple[Lab, Recorder]]:
    with lab_of(3) as place:
        yield place


def test_a_standby_that_leaves_and_joins_moves_nothing(place: tuple[Lab, Recorder]) -> None:
    facts = play(*place, Plan(0, 2, 3, (Fault("leaves_and_joins", STANDBY, 0.0, 2.0),)))
    assert judge(facts) == (), facts.lines
    assert facts.moves == ()


def test_the_address_leaves_a_holder_that_is_taken_out_and_stays_when_one_joins(
    place: tuple[Lab, Recorder],
) -> None:
    facts = play(*place, Plan(0, 4, 3, (Fault("leaves_and_joins", HOLDER, 0.0, 4.0),)))
    assert judge(facts) == (), facts.lines
    assert len(facts.moves) == 1
