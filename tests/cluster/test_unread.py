"""What cannot be read is no evidence: crm_mon fails on either side of real trouble.

Played and judged as the fault rounds are, by plans made by hand: chance seldom draws these pairs.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lab.rounds.facts import Facts
from lab.rounds.injections import Lab
from lab.rounds.judge import judge
from lab.rounds.plan import HOLDER, Fault, Plan
from lab.rounds.play import play
from lab.rounds.recorder import Recorder
from lab.rounds.worker import lab_of

pytestmark = [pytest.mark.real_cluster, pytest.mark.timeout(300)]

STANDBY = 1
SPLIT = Fault("partition", HOLDER, 0.0, 16.0)


@pytest.fixture(scope="module")
def place() -> Iterator[tuple[Lab, Recorder]]:
    with lab_of(2) as place:
        yield place


def played(place: tuple[Lab, Recorder], *faults: Fault) -> Facts:
    facts = play(*place, Plan(0, 1, 2, faults))
    assert judge(facts) == (), facts.lines
    return facts


@pytest.mark.parametrize(
    ("kind", "seconds"),
    [("crm_mon_hangs", 9.0), ("crm_mon_fails", 7.0), ("crm_mon_not_connected", 2.0)],
)
def test_a_holder_in_a_split_brain_keeps_its_address_though_pacemaker_cannot_be_read(
    place: tuple[Lab, Recorder], kind: str, seconds: float
) -> None:
    facts = played(place, SPLIT, Fault(kind, HOLDER, 5.0, seconds))
    assert facts.moves == ()


@pytest.mark.parametrize("kind", ["crm_mon_hangs", "crm_mon_fails"])
def test_a_survivor_takes_over_in_time_though_pacemaker_cannot_be_read(
    place: tuple[Lab, Recorder], kind: str
) -> None:
    dies = Fault("power_loss", HOLDER, 1.0, 15.0)
    facts = played(place, Fault(kind, STANDBY, 0.0, 14.0), dies)
    (power,) = (put for put in facts.puts if put.kind.takes_power)
    (move,) = facts.moves
    assert move.at < power.lifting_at
