"""What was given up on purpose keeps no alarm on: an address or a cluster that is no more."""

from __future__ import annotations

from dataclasses import replace

import pytest
from core.watch.watched import Watched

from lab.embedded.cloud import EmbeddedAws
from lab.embedded.world import CLUSTER_TAG

HOUR = 3600


@pytest.fixture
def untagged(aws: EmbeddedAws, watched: Watched) -> Watched:
    """A cluster that was looked at, whose address lost its tag since."""
    watched.calm()
    watched.look(1)
    set_tag(aws, watched, there=False)
    return watched


def set_tag(aws: EmbeddedAws, watched: Watched, *, there: bool) -> None:
    ec2, tag = aws.client("ec2", "looks"), {"Key": CLUSTER_TAG}
    allocation_id = watched.cluster.world.addresses["eip"].allocation_id
    if there:
        tagged = {**tag, "Value": watched.cluster.id}
        ec2.create_tags(Resources=[allocation_id], Tags=[tagged])
    else:
        ec2.delete_tags(Resources=[allocation_id], Tags=[tag])


def without_the_resource(watched: Watched, pacemaker: str = "online") -> None:
    """Both nodes report, and Pacemaker knows of no such resource any more."""
    for name in ("n1", "n2"):
        report = watched.cluster.stands_by(name)
        in_its_eyes = replace(report.pacemaker, state=pacemaker)
        watched.local.hear(replace(report, pacemaker=in_its_eyes, resources={}))


def test_a_cluster_whose_agents_are_silent_is_an_alarm_for_an_hour_and_then_forgotten(
    untagged: Watched,
) -> None:
    for _ in range(2):
        assert untagged.look() == {"clusters": 1, "not_ready": 1}
    assert untagged.look(HOUR) == {"clusters": 1, "not_ready": 0}
    said = f"{untagged.cluster.public_ip} (eip) is retired: EC2 has no tag of {untagged.cluster.id}"
    assert str(untagged.local.told).count(said) == 1
    assert untagged.gauges[-1] == ("NotReady", 0)
    assert untagged.watch.memory.clusters() == frozenset()
    counted = untagged.local.told.of("count").count("HolderSilent")
    assert untagged.look() == {"clusters": 0, "not_ready": 0}
    assert untagged.local.told.of("count").count("HolderSilent") == counted


def test_it_is_back_as_soon_as_its_address_is_tagged_again(
    aws: EmbeddedAws, untagged: Watched
) -> None:
    untagged.look(2 * HOUR)
    assert untagged.watch.memory.clusters() == frozenset()
    set_tag(aws, untagged, there=True)
    assert untagged.look() == {"clusters": 1, "not_ready": 1}
    assert untagged.watch.memory.clusters() == {untagged.cluster.id}


def test_an_address_whose_resource_was_deleted_is_retired_while_its_nodes_go_on(
    untagged: Watched,
) -> None:
    untagged.look()
    without_the_resource(untagged)
    assert untagged.look(1)["not_ready"] == 0
    assert "is retired" in str(untagged.local.told)


def test_a_tag_that_was_lost_by_mistake_stays_an_alarm(untagged: Watched) -> None:
    for _ in range(3):
        untagged.local.wait(HOUR)
        untagged.calm()
        assert untagged.look(1)["not_ready"] == 1


def test_a_pacemaker_that_is_down_says_nothing_of_what_it_knows(untagged: Watched) -> None:
    without_the_resource(untagged, pacemaker="offline")
    assert untagged.look(1)["not_ready"] == 1


def test_a_tagged_address_is_never_retired(watched: Watched) -> None:
    watched.calm()
    without_the_resource(watched)
    assert watched.look(2 * HOUR)["not_ready"] == 1
    assert watched.watch.memory.clusters() == {watched.cluster.id}
