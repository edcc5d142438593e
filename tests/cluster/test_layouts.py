"""A year of a cluster whose nodes have no way to AWS but the address that a move takes away."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import pytest

from lab.contest.contenders import EipArbiter
from lab.embedded.ways import LAYOUTS
from lab.layouts.steps import Year
from lab.real_site import real_cluster

pytestmark = [pytest.mark.real_cluster, pytest.mark.timeout(900)]

PUBLIC = dataclasses.replace(LAYOUTS["public"], new_address_seconds=20.0)


@pytest.fixture(scope="module")
def year() -> Iterator[Year]:
    with real_cluster(layout=PUBLIC) as place:
        ours = EipArbiter()
        ours.join(place)
        yield Year(place, ours, PUBLIC)


@pytest.mark.parametrize(
    "step", ["planned_stop", "power_loss", "switchover_and_back", "forced_failover", "reboots"]
)
def test_it_ends_with_the_service_at_its_address_and_nobody_banned(year: Year, step: str) -> None:
    told = getattr(year, step)()
    assert (told.helped, told.problems) == ([], [])
    assert told.moves >= 1
