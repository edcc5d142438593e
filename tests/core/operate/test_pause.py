"""The operator's verbs that hold moves back and let them go again: pause, resume, acknowledge."""

from __future__ import annotations

import pytest
from core.harness import Cluster
from core.local import Local
from core.observed import lines, rules
from eip_arbiter.operate.inspecting import moment
from eip_arbiter.operate.requests import RefusedError


def test_nothing_moves_while_paused_and_resume_decides_at_once(cluster: Cluster) -> None:
    cluster.settle_on_n1()
    assert cluster.operate("pause", minutes=5)["outcome"] == "paused"
    cluster.say(cluster.report("n1", cause="release"))
    held_back = cluster.say(cluster.claims("n2", lost=()))
    assert rules(held_back) == ["R010"]
    (line,) = lines(held_back)
    assert "R061: n2 gets" in line["message"]
    assert cluster.world.holder() == "n1"
    assert cluster.operate("resume")["outcome"] == "resumed"
    assert (cluster.holder, cluster.world.holder()) == ("n2", "n2")


def test_an_order_is_carried_out_while_paused(cluster: Cluster) -> None:
    cluster.settle_on_n1()
    cluster.operate("pause", minutes=5)
    assert cluster.operate("status")["paused_until_ms"] is not None
    assert cluster.operate("failover", target="n2")["outcome"] == "moved"
    assert cluster.world.holder() == "n2"


def test_a_pause_ends_by_itself(cluster: Cluster, local: Local) -> None:
    local.settle_on_n1(cluster)
    local.operate({"verb": "pause", "cluster": cluster.id, "minutes": 5})
    local.hear(cluster.report("n1", cause="release"))
    local.hear(cluster.claims("n2", lost=()), after_seconds=299)
    assert cluster.world.holder() == "n1"
    local.hear(cluster.claims("n2", lost=()), after_seconds=2)
    assert cluster.world.holder() == "n2"


def test_a_pause_is_never_shortened_without_a_word(cluster: Cluster, local: Local) -> None:
    local.settle_on_n1(cluster)
    pause = {"verb": "pause", "cluster": cluster.id}
    long = local.operate({**pause, "minutes": 120})
    before = cluster.table()
    local.wait(60)
    with pytest.raises(RefusedError) as refused:
        local.operate({**pause, "minutes": 1})
    assert str(refused.value) == (
        f"{cluster.id} is paused until {moment(long['until_ms'])} already, which is longer; "
        "`resume` ends it"
    )
    assert cluster.table() == before
    longer = local.operate({**pause, "minutes": 180})
    assert longer["sentence"].endswith(f"; it was paused until {moment(long['until_ms'])} before")
    assert cluster.snapshot.paused_until_ms == longer["until_ms"]
    local.operate({"verb": "resume", "cluster": cluster.id})
    assert "before" not in local.operate({**pause, "minutes": 1})["sentence"]
    local.wait(61)
    assert "before" not in local.operate({**pause, "minutes": 1})["sentence"], "it has ended"


def test_acknowledge_takes_the_flap_brake_off(cluster: Cluster, local: Local) -> None:
    local.settle_on_n1(cluster)
    old, new = "n1", "n2"
    while len(cluster.address.recent_moves_ms) < local.arbiter.policy.brake_moves:
        local.hear(cluster.report(old, cause="release"), after_seconds=5)
        local.hear(cluster.claims(new, lost=()))
        assert cluster.world.holder() == new
        old, new = new, old
    # The address is on `old` now, which runs it, although EC2 says that its instance stops.
    local.hear(cluster.runs(old), after_seconds=5)
    local.arbiter.on_instance_state(cluster.instance(old), "stopping", local.now_ms)
    local.forget()
    local.hear(cluster.claims(new, lost=()))
    assert local.told.of("kept") == ["R040"]
    assert cluster.holder == old
    answer = local.operate({"verb": "acknowledge", "cluster": cluster.id})
    assert answer["outcome"] == "acknowledged"
    assert (cluster.holder, cluster.world.holder()) == (new, new)
