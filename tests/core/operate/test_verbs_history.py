"""What an operator changed is in the history, with who did it and why."""

from __future__ import annotations

from typing import Any

import pytest
from core.harness import Cluster
from eip_arbiter.arbitrate.narrating import EVERY_RESOURCE

AUTHOR = {"by": "alice", "reason": "kernel update"}


def newest(cluster: Cluster) -> dict[str, Any]:
    line = cluster.operate("history", limit=1)["lines"][0]
    assert isinstance(line, dict)
    return line


@pytest.mark.parametrize(
    ("author", "said"),
    [
        ({}, ""),
        ({"by": "alice"}, " (by alice)"),
        ({"reason": "kernel update"}, " (kernel update)"),
        (AUTHOR, " (by alice: kernel update)"),
    ],
    ids=["nobody", "by", "reason", "both"],
)
def test_a_pause_and_its_end_are_told(cluster: Cluster, author: dict[str, str], said: str) -> None:
    cluster.settle_on_n1()
    answer = cluster.operate("pause", minutes=5, **author)
    line = newest(cluster)
    assert (line["kind"], line["rule"]) == ("note", "pause")
    assert (line["resource"], line["term"]) == (EVERY_RESOURCE, 0)
    assert line["sentence"] == f"{answer['sentence']}{said}"
    answer = cluster.operate("resume", **author)
    line = newest(cluster)
    assert (line["kind"], line["rule"]) == ("note", "resume")
    assert line["sentence"] == f"{answer['sentence']}{said}"


def test_what_resume_lets_go_comes_after_it(cluster: Cluster) -> None:
    cluster.settle_on_n1()
    cluster.operate("pause", minutes=5)
    cluster.say(cluster.report("n1", cause="release"))
    cluster.say(cluster.claims("n2", lost=()))
    cluster.operate("resume", **AUTHOR)
    moved, resumed, paused, _ = cluster.operate("history")["lines"]
    assert [line["rule"] for line in (moved, resumed, paused)] == ["R061", "resume", "pause"]


def test_an_acknowledgement_is_told(cluster: Cluster) -> None:
    cluster.settle_on_n1()
    answer = cluster.operate("acknowledge", **AUTHOR)
    line = newest(cluster)
    assert (line["kind"], line["rule"], line["resource"]) == ("note", "acknowledge", "eip")
    assert line["sentence"] == f"{answer['sentence']} (by alice: kernel update)"


def test_an_accepted_order_is_told_before_its_grant(cluster: Cluster) -> None:
    cluster.settle_on_n1()
    cluster.operate("failover", target="n2", request_id="ops-1", force=True, **AUTHOR)
    grant, accepted, _ = cluster.operate("history")["lines"]
    assert (grant["kind"], grant["rule"]) == ("grant", "R020")
    assert (accepted["kind"], accepted["rule"], accepted["resource"]) == ("note", "failover", "eip")
    assert accepted["sentence"] == (
        f"order ops-1 is accepted: {cluster.public_ip} (eip) from n1 to n2, forced "
        "(by alice: kernel update)"
    )


def test_an_order_says_which_one_it_replaces(cluster: Cluster) -> None:
    cluster.settle_on_n1()
    cluster.operate("switchover", holder="n1", target="n2", request_id="ops-1")
    cluster.operate("failover", target="n2", request_id="ops-2", by="alice")
    _, replaced, first, _ = cluster.operate("history")["lines"]
    it = f"{cluster.public_ip} (eip) from n1 to n2"
    assert (first["rule"], first["sentence"]) == ("switchover", f"order ops-1 is accepted: {it}")
    assert replaced["sentence"] == (
        f"order ops-2 is accepted: {it}; it replaces order ops-1, a switchover to n2 (by alice)"
    )


def test_a_failover_to_the_holder_withdraws_an_order_that_stands(cluster: Cluster) -> None:
    cluster.settle_on_n1()
    cluster.operate("switchover", holder="n1", target="n2", request_id="ops-1")
    answer = cluster.operate("failover", target="n1", request_id="ops-2", by="alice")
    assert answer["outcome"] in ("moved", "ended"), answer
    lines = [line["sentence"] for line in cluster.operate("history")["lines"]]
    assert any(
        "order ops-2 is accepted" in line and "replaces order ops-1" in line for line in lines
    )


def test_what_changes_nothing_is_not_told(cluster: Cluster) -> None:
    cluster.settle_on_n1()
    before = cluster.history()
    cluster.operate("failover", target="n2", dry_run=True, **AUTHOR)
    cluster.operate("failover", target="n1", **AUTHOR)
    cluster.operate("status")
    assert cluster.history() == before
