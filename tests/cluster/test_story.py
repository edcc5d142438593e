"""The whole product on a real cluster: each scene of the story ends as it must.

Real Pacemaker and Corosync at token 1000, the real template and functions, the agent as its own
user, the classic two-node set-up. A scene that ends wrong says everything that was wrong.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lab.real_site import real_site
from lab.scenes import Scenes
from lab.stage import Outcome
from lab.timeline import Timeline

pytestmark = [pytest.mark.real_cluster, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def scenes() -> Iterator[Scenes]:
    """The stage, with a cluster on it that the scenes share one after the other."""
    with real_site(token_ms=1000) as site:
        yield Scenes(site, Timeline(site.aws, site.world), outage_seconds=60.0)


def as_it_must_be(outcome: Outcome) -> Outcome:
    assert outcome.ok, "\n".join(outcome.problems)
    return outcome


def test_a_planned_stop_moves_the_address_once_and_it_is_never_with_nobody(scenes: Scenes) -> None:
    outcome = as_it_must_be(scenes.planned_stop())
    assert (outcome.moves, outcome.rule, outcome.nobody_seconds) == (1, "R061", 0.0)


def test_a_calm_heartbeat_costs_one_aws_call(scenes: Scenes) -> None:
    as_it_must_be(scenes.calm())


def test_a_power_loss_moves_the_address_once_after_the_holder_could_answer(scenes: Scenes) -> None:
    outcome = as_it_must_be(scenes.power_loss())
    assert (outcome.moves, outcome.rule) == (1, "R070")
    # The pictures a person gets must be in order, whatever the machine's speed.
    times = (outcome.suspicion_seconds, outcome.claim_seconds, outcome.association_seconds)
    assert None not in times
    assert sorted(time for time in times if time is not None) == list(times)


def test_a_split_brain_moves_nothing_and_its_heal_restarts_nothing(scenes: Scenes) -> None:
    assert as_it_must_be(scenes.split_brain()).moves == 0


def test_a_heal_while_the_losers_start_waits_leaves_the_holder_alone(scenes: Scenes) -> None:
    assert as_it_must_be(scenes.heal_during_start()).moves == 0


def test_aws_away_for_a_minute_stops_nothing_and_moves_nothing(scenes: Scenes) -> None:
    assert as_it_must_be(scenes.aws_outage()).moves == 0


def test_a_holder_cut_from_aws_serves_on_and_its_death_still_fails_over(scenes: Scenes) -> None:
    assert as_it_must_be(scenes.holder_without_aws()).moves == 1


def test_a_killed_corosync_moves_the_address_and_the_old_node_notices(scenes: Scenes) -> None:
    assert as_it_must_be(scenes.corosync_killed()).moves == 1


def test_a_forced_failover_moves_the_address_and_pacemaker_follows(scenes: Scenes) -> None:
    assert as_it_must_be(scenes.forced_failover()).moves == 1
