"""What an operator's request may say, and in which words one that is not whole is refused."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from core.harness import Cluster
from core.local import Local
from core.observed import refused
from eip_arbiter.operate.operations import operate
from eip_arbiter.operate.requests import RefusedError

from lab.embedded.cloud import EmbeddedAws

VERBS = "acknowledge, doctor, failover, forget, history, pause, plan, resume, status, switchover"
NAME = "at most 64 letters, digits, dots, dashes and underscores"
A_TIME = "it is a time like 2026-11-22T23:00:00Z"


def test_a_mistyped_dry_run_moves_nothing(aws: EmbeddedAws, cluster: Cluster) -> None:
    cluster.settle_on_n1()
    before, since = cluster.table(), aws.journal.now()
    assert refused(cluster.operate("failover", target="n2", dryrun=True)) == (
        "failover does not know 'dryrun': "
        "it knows by, cluster, dry_run, force, reason, request_id, resource, target"
    )
    assert cluster.table() == before
    assert cluster.moves(since) == []


@pytest.mark.parametrize(
    ("verb", "request_", "knows"),
    [
        ("status", {}, "cluster"),
        ("history", {}, "cluster, limit"),
        ("plan", {"node": "n1"}, "cluster, node"),
        ("doctor", {}, "cluster"),
        ("resume", {}, "by, cluster, reason"),
        ("pause", {"minutes": 1}, "by, cluster, minutes, reason, until"),
        ("acknowledge", {}, "by, cluster, reason, resource"),
        ("forget", {"node": "n2"}, "by, cluster, node, reason"),
        (
            "switchover",
            {"holder": "n1", "target": "n2"},
            "by, cluster, dry_run, holder, reason, request_id, resource, target",
        ),
    ],
)
def test_no_verb_takes_a_field_that_it_does_not_know(
    cluster: Cluster, verb: str, request_: dict[str, Any], knows: str
) -> None:
    cluster.settle_on_n1()
    before = cluster.table()
    odd = {"odd": 1, "b": 2, "a": 3, "c" * 100: 4, "\u0007": 5}
    reason = refused(cluster.operate(verb, **request_, **odd))
    assert reason.startswith(f"{verb} does not know '\\x07', 'a', 'b' and 2 more: ")
    assert reason.endswith(f": it knows {knows}")
    assert cluster.table() == before


def test_a_button_of_the_dashboard_is_no_unknown_field(cluster: Cluster) -> None:
    cluster.settle_on_n1()
    context = {"dashboardName": "eip-arbiter", "theme": "dark"}
    answer = cluster.operate("failover", target="n2", dry_run=True, widgetContext=context)
    assert answer["outcome"] == "would move"


@pytest.mark.parametrize(
    ("payload", "problems"),
    [
        (
            {"verb": "pause", "cluster": "web", "until": "2026-01-01T00:00:00Z", "minutes": 1},
            ["until is given beside minutes: only one can say when the pause ends"],
        ),
        (
            {"verb": "history", "limit": 101},
            [
                "cluster is missing: it names the cluster",
                "limit is 101: it is a whole number from 1 to 100",
            ],
        ),
        (
            {"verb": "plan", "cluster": "web"},
            ["node is missing: it names the node that would fail"],
        ),
        (
            {"verb": "doctor", "cluster": "<b>"},
            [f"cluster is '<b>': it names the cluster, {NAME}"],
        ),
        (
            {"verb": "switchover", "cluster": "web", "target": "n2"},
            ["holder is missing: it names the node that holds the address"],
        ),
        (
            {"verb": "failover", "cluster": "a b", "resource": 7, "target": "", "force": "yes"},
            [
                f"cluster is 'a b': it names the cluster, {NAME}",
                f"resource is 7: it names Pacemaker's resource, {NAME}",
                f"target is '': it names the node that is to get the address, {NAME}",
                "force is 'yes': it is true or false",
            ],
        ),
        (
            {"verb": "failover", "cluster": "web", "target": "n2", "request_id": {}},
            [f"request_id is {{}}: it names this order, {NAME}"],
        ),
        (
            {"verb": "resume", "cluster": "web", "by": "a\n", "reason": "x" * 121},
            [
                "by is 'a\\n': it names who asks, at most 120 printable ASCII characters",
                f"reason is '{'x' * 47}...: it says why, at most 120 printable ASCII characters",
            ],
        ),
        (
            {"verb": "pause", "cluster": "web", "minutes": 10**9},
            ["minutes is 1000000000: it is a whole number from 1 to 10080"],
        ),
        (
            {"verb": "pause", "cluster": "web"},
            ["minutes is missing: it is a whole number from 1 to 10080"],
        ),
        (
            {"verb": "acknowledge", "resource": "<b>", "x": 1},
            [
                "acknowledge does not know 'x': it knows by, cluster, reason, resource",
                "cluster is missing: it names the cluster",
                f"resource is '<b>': it names Pacemaker's resource, {NAME}",
            ],
        ),
    ],
)
def test_all_that_is_wrong_with_a_request_is_said_at_once(
    aws: EmbeddedAws, payload: dict[str, Any], problems: list[str]
) -> None:
    assert refused(aws.invoke("Operate", payload).result).split("; ") == problems


@pytest.mark.parametrize(
    ("payload", "what"),
    [
        (None, "missing"),
        ([], "missing"),
        ("failover", "missing"),
        ({}, "missing"),
        ({"verb": "stop"}, "'stop'"),
        ({"verb": [1]}, "[1]"),
    ],
)
def test_an_unknown_verb_is_repeated_with_the_known_ones(
    aws: EmbeddedAws, payload: Any, what: str
) -> None:
    reason = refused(aws.invoke("Operate", payload).result)
    assert reason == f"the verb is {what}: it is one of {VERBS}"


class TestPauseUntil:
    def test_a_time_is_as_good_as_minutes(self, cluster: Cluster, local: Local) -> None:
        local.settle_on_n1(cluster)
        until = datetime.fromtimestamp((local.now_ms + 90_100) / 1000, UTC)
        request = {"verb": "pause", "cluster": cluster.id, "until": until.isoformat()}
        answer = local.operate(request)
        assert answer["until_ms"] == int(until.timestamp() * 1000)
        assert datetime.fromisoformat(answer["until"]) == until
        assert cluster.snapshot.paused_until_ms == answer["until_ms"]
        assert "paused for 2 min" in answer["sentence"]

    @pytest.mark.parametrize(
        ("until", "why"),
        [
            ("2026-11-22T13:00:00Z", ", which is past: it is 2026-11-22T13:00:00.000Z now"),
            ("2026-11-22T13:30:00+01:00", ", which is past: it is 2026-11-22T13:00:00.000Z now"),
            ("2026-11-29T13:00:01Z", ", which is more than seven days ahead"),
            ("2026-11-22T14:00:00", f", which has no zone: {A_TIME}"),
            ("tomorrow", f": {A_TIME}"),
            (1_795_356_000, f": {A_TIME}"),
            (None, f": {A_TIME}"),
        ],
        ids=["now", "past", "too far", "no zone", "no time", "a number", "null"],
    )
    def test_a_time_that_is_none_to_wait_for_is_refused_with_a_reason_of_its_own(
        self, cluster: Cluster, local: Local, until: Any, why: str
    ) -> None:
        local.settle_on_n1(cluster)
        local.now_ms = 1_795_352_400_000
        request = {"verb": "pause", "cluster": cluster.id, "until": until}
        with pytest.raises(RefusedError) as refusal:
            operate(local.arbiter, request, "request-1")
        assert str(refusal.value) == f"until is {until!r}{why}"
        assert cluster.snapshot.paused_until_ms == 0
