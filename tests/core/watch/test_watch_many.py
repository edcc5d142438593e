"""The look of each minute at many clusters: turns, and what one of them does to the others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from core.watch.watched import OnlyOne, Watched
from eip_arbiter.watch import watching
from eip_arbiter.watch.watching import CLUSTERS_PER_RUN, _in_turn


def test_a_cluster_of_another_stack_is_left_alone(watched: Watched, new_cluster: Any) -> None:
    other = new_cluster()
    watched.watch = replace(watched.watch, preflight=OnlyOne(watched.local.ec2, other.id))
    assert watched.look(1) == {"clusters": 0, "not_ready": 0}


def test_more_clusters_than_one_run_takes_get_their_turn_each() -> None:
    most = frozenset(f"c{number}" for number in range(2 * CLUSTERS_PER_RUN + 1))
    looks: Mapping[int, list[str]] = {turn: _in_turn(most, turn * 60_000) for turn in range(3)}
    assert all(len(look) == CLUSTERS_PER_RUN for look in looks.values())
    assert {*looks[0], *looks[1], *looks[2]} == most
    few = frozenset(f"c{number}" for number in range(CLUSTERS_PER_RUN))
    assert sorted(_in_turn(few, 60_000)) == sorted(few)
    assert _in_turn(frozenset(), 0) == []


def test_what_is_unready_or_silent_counts_each_minute_though_others_have_their_turn(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "CLUSTERS_PER_RUN", 1)
    watched.watch.memory.keep_clusters(frozenset({watched.cluster.id, "0-without-a-state"}))
    for _ in range(6):
        watched.look()
    counts = [value for metric, value in watched.gauges if metric == "NotReady"]
    assert counts[-4:] == [1, 1, 1, 1]
    silent = [each for each in watched.local.told.of("count") if each == "HolderSilent"]
    assert len(silent) >= 5
    for _ in range(2):  # whoever's turn it is
        watched.local.wait(59)
        watched.calm()
        watched.look(1)
    assert watched.gauges[-1] == ("NotReady", 0)


def test_a_cluster_that_cannot_be_looked_at_keeps_no_other_one_from_it(
    watched: Watched,
) -> None:
    broken = watched.local.arbiter.store
    watched.watch.memory.keep_clusters(frozenset({"0-broken", watched.cluster.id}))

    class Store:
        def __getattr__(self, name: str) -> Any:
            return getattr(broken, name)

        def read(self, cluster_id: str) -> Any:
            if cluster_id == "0-broken":
                raise ValueError("its item cannot be read")
            return broken.read(cluster_id)

    arbiter = replace(watched.local.arbiter, store=Store())
    watched.watch = replace(watched.watch, arbiter=arbiter)
    with pytest.raises(ValueError, match="its item cannot be read"):
        watched.look()
    assert watched.gauges[-1][0] == "NotReady"
    assert "0-broken could not be looked at" in str(watched.local.told)
    assert watched.seen.silent_since_ms, "the other one was looked at"
