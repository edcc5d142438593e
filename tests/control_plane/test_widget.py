"""The widget at the real function: what it gathers, what it costs, and that it trusts no text."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
from control_plane.harness import Cluster
from control_plane.local import Local
from eip_arbiter.assembly import assemble_board
from eip_arbiter.board import DESCRIPTION, MOST_CLUSTERS, Board
from eip_arbiter.settings import SettingsError
from eip_arbiter.watching import Seen, Unready

from lab.embedded.cloud import EmbeddedAws

HOSTILE = "<img src=x onerror=alert(1)>&amp;\"'"


def widget(cluster: Cluster, **event: Any) -> str:
    invocation = cluster.aws.invoke("Widget", {"cluster": cluster.id, **event})
    assert invocation.error is None, invocation.error
    assert isinstance(invocation.result, str)
    return invocation.result


@pytest.fixture
def board(aws: EmbeddedAws, local: Local) -> Board:
    environment = aws.functions.get("Widget").spec.environment
    made = assemble_board(environment, dynamodb=local.dynamodb)
    return replace(made, clock=lambda: local.now_ms)


def test_shows_the_cluster_for_two_reads_and_a_query_and_changes_nothing(
    aws: EmbeddedAws, cluster: Cluster
) -> None:
    cluster.settle_on_n1()
    cluster.say(cluster.runs("n1"))
    cluster.say(cluster.stands_by("n2"))
    before, since = cluster.table(), aws.journal.now()
    page = widget(cluster)
    assert f"n1 holds {cluster.public_ip}" in page
    assert "A failover would work now" in page
    assert f"n1 gets {cluster.public_ip} (eip) under term 1: nobody held it" in page
    made = [call.operation for call in cluster.calls(since, "Widget")]
    assert made == ["GetItem", "GetItem", "Query"]
    assert cluster.table() == before


def test_its_button_calls_the_function_that_the_stack_made(
    aws: EmbeddedAws, cluster: Cluster
) -> None:
    cluster.settle_on_n1()
    cluster.say(cluster.stands_by("n2"))
    (endpoint,) = re.findall(r'endpoint="([^"]*)"', widget(cluster))
    assert endpoint == aws.functions.get("Operate").spec.arn


def test_text_from_a_node_is_shown_and_never_obeyed(cluster: Cluster) -> None:
    cluster.settle_on_n1()
    cluster.say(cluster.stands_by("n2", failing=(HOSTILE,)))
    page = widget(cluster)
    assert "<img" not in page
    assert "unhealthy: &lt;img src=x onerror=alert(1)&gt;&amp;amp;&quot;&#x27;" in page


def test_follows_the_consoles_theme_and_answers_its_editor(cluster: Cluster) -> None:
    cluster.settle_on_n1()
    assert 'class="eip cwdb-no-default-styles dark"' in widget(
        cluster, widgetContext={"theme": "dark"}
    )
    contexts: list[Any] = [None, {}, {"theme": '"><script>'}, [], "dark"]
    for context in contexts:
        assert 'class="eip cwdb-no-default-styles"' in widget(cluster, widgetContext=context)
    assert widget(cluster, describe=True) == DESCRIPTION


@pytest.mark.parametrize("wanted", ["nowhere", "<b>", ["web"]])
def test_a_cluster_that_there_is_not_is_no_error(aws: EmbeddedAws, wanted: Any) -> None:
    invocation = aws.invoke("Widget", {"cluster": wanted})
    assert invocation.error is None
    assert "nowhere" not in invocation.result
    assert "<b>" not in invocation.result


def test_without_a_parameter_it_shows_what_the_watch_has_seen(
    cluster: Cluster, local: Local, board: Board
) -> None:
    local.settle_on_n1(cluster)
    before = board.memory.clusters()
    assert f">{cluster.id}<" not in board.show({})
    board.memory.keep_clusters(frozenset({cluster.id}))
    try:
        assert f"<h2>{cluster.id}</h2>" in board.show({})
        many = {f"zz-{number}" for number in range(MOST_CLUSTERS)}
        board.memory.keep_clusters(frozenset({cluster.id, *many}))
        assert "1 more clusters" in board.show({})
    finally:
        board.memory.keep_clusters(before)


def states(cluster: Cluster, board: Board) -> list[str]:
    return re.findall(r'class="(?:good|warn|bad)">([^<]*)<', board.show({"cluster": cluster.id}))


def test_says_every_state_of_an_address(
    aws: EmbeddedAws, cluster: Cluster, local: Local, board: Board
) -> None:
    local.settle_on_n1(cluster)
    local.hear(cluster.runs("n1"))
    local.hear(cluster.stands_by("n2"))
    assert states(cluster, board)[0] == "settled"
    local.hear(cluster.claims("n2"))
    local.hear(cluster.runs("n1", lost=("n2",)))
    assert "split-brain: another node&#x27;s claim is refused" in states(cluster, board)
    assert "lost sight of n1" in states(cluster, board)
    local.hear(cluster.stands_by("n2"))
    local.hear(cluster.runs("n1"))
    aws.faults.set("error", principal="local", operation="AssociateAddress", status=400)
    local.hear(cluster.report("n1", cause="release"))
    assert states(cluster, board)[0] == "n1 does not run it"
    local.hear(cluster.claims("n2", lost=()))
    assert states(cluster, board)[0] == "is being moved"
    local.wait(local.arbiter.policy.move_ms / 1000)
    assert states(cluster, board)[0] == "its move is stuck"
    local.wait(60)
    assert "silent" in states(cluster, board)


def test_says_that_the_holder_is_silent(cluster: Cluster, local: Local, board: Board) -> None:
    local.settle_on_n1(cluster)
    local.wait(60)
    assert states(cluster, board)[0] == "n1 is silent"


def test_repeats_what_only_ec2_could_tell_the_watch(
    cluster: Cluster, local: Local, board: Board
) -> None:
    local.settle_on_n1(cluster)
    found = Unready(local.now_ms, told=True, problems=("EC2 would not",))
    board.memory.keep_seen(cluster.id, Seen({}, {"eip": found}))
    page = board.show({"cluster": cluster.id})
    assert "A failover would not work now" in page
    assert "<li>EC2 would not</li>" in page


def test_does_not_start_without_knowing_whom_its_buttons_call(
    aws: EmbeddedAws, local: Local
) -> None:
    environment = dict(aws.functions.get("Widget").spec.environment)
    del environment["OPERATE_ARN"]
    with pytest.raises(SettingsError, match="OPERATE_ARN is not set"):
        assemble_board(environment, dynamodb=local.dynamodb)
