"""The widget at the real function: what it gathers, what it costs, and that it trusts no text."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
from core.harness import Cluster
from core.local import Local
from core.watch.watched import writable
from eip_arbiter.assembly import assemble_board
from eip_arbiter.ports import Ec2Word, Seen, Unready
from eip_arbiter.settings import SettingsError
from eip_arbiter.widget.board import DESCRIPTION, MOST_CLUSTERS, Board

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
    endpoints = re.findall(r'endpoint="([^"]*)"', widget(cluster))
    assert set(endpoints) == {aws.functions.get("Operate").spec.arn}


def test_there_is_a_button_for_a_fit_node_only(
    cluster: Cluster, local: Local, board: Board
) -> None:
    local.settle_on_n1(cluster)
    local.hear(cluster.stands_by("n2"))
    assert "Fail over to n2" in board.show({"cluster": cluster.id})
    local.hear(cluster.stands_by("n2", failing=("disk full",)))
    assert "cwdb-action" not in board.show({"cluster": cluster.id})


def test_a_switchover_is_offered_where_pacemaker_sees_the_holder(
    cluster: Cluster, local: Local, board: Board
) -> None:
    local.settle_on_n1(cluster)
    local.hear(cluster.runs("n1"))
    local.hear(cluster.stands_by("n2"))
    assert "Switch over to n2" in board.show({"cluster": cluster.id})
    local.hear(cluster.stands_by("n2", lost=("n1",)))
    page = board.show({"cluster": cluster.id})
    assert "Switch over to n2" not in page
    assert "Fail over to n2" in page
    local.hear(cluster.stands_by("n2", state="started"))
    assert "Switch over to n2" not in board.show({"cluster": cluster.id}), "it runs there already"


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
    writable(board.memory).keep_clusters(frozenset({cluster.id}))
    try:
        assert f"<h2>{cluster.id}</h2>" in board.show({})
        many = {f"zz-{number}" for number in range(MOST_CLUSTERS)}
        writable(board.memory).keep_clusters(frozenset({cluster.id, *many}))
        assert "1 more clusters" in board.show({})
    finally:
        writable(board.memory).keep_clusters(before)


def states(cluster: Cluster, board: Board) -> list[str]:
    return re.findall(r'class="(?:good|warn|bad)">([^<]*)<', board.show({"cluster": cluster.id}))


def test_says_every_state_of_an_address(
    aws: EmbeddedAws, cluster: Cluster, local: Local, board: Board
) -> None:
    local.settle_on_n1(cluster)
    local.hear(cluster.runs("n1"))
    local.hear(cluster.stands_by("n2"))
    assert states(cluster, board)[0] == "address is in place"
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


def test_a_node_says_whether_it_runs_the_resource(
    cluster: Cluster, local: Local, board: Board
) -> None:
    local.settle_on_n1(cluster)
    local.hear(cluster.runs("n1"))
    local.hear(cluster.stands_by("n2"))
    said = board.show({"cluster": cluster.id})
    assert '"good">runs eip, holds its address<' in said
    assert '"dim">eip is stopped here<' in said
    local.hear(cluster.runs("n1", state="starting"))
    assert states(cluster, board)[0] == "n1 is starting it"
    assert "is starting eip, holds its address" in states(cluster, board)
    local.wait(60)
    assert "last word: eip is stopped here" in board.show({"cluster": cluster.id})


def test_says_when_the_service_did_not_follow_the_address(
    cluster: Cluster, local: Local, board: Board
) -> None:
    local.settle_on_n1(cluster)
    local.hear(cluster.runs("n1"))
    local.hear(cluster.stands_by("n2"))
    request = {"verb": "failover", "cluster": cluster.id, "target": "n2", "request_id": "ops-1"}
    local.operate(request)
    local.hear(cluster.runs("n1"))
    said = states(cluster, board)
    assert said[0] == "n1 runs eip, n2 has the address: Pacemaker is to follow"
    assert said[1] == "No automatic failover now; an order still works"
    assert "runs eip" in said
    assert "eip is stopped here, holds its address" in said
    local.wait(600)
    local.hear(cluster.stands_by("n2"))
    local.hear(cluster.runs("n1"))
    assert states(cluster, board)[0] == "n1 runs eip, n2 has the address"


def test_a_failed_standby_is_said_in_the_headline_and_is_not_healthy(
    cluster: Cluster, local: Local, board: Board
) -> None:
    local.settle_on_n1(cluster)
    local.hear(cluster.runs("n1"))
    local.hear(cluster.stands_by("n2", state="failed"))
    said = states(cluster, board)
    assert said[:2] == [
        "address is in place; eip failed on n2",
        "A failover would not work now",
    ]
    assert "eip failed here" in said
    assert said.count("healthy") == 1


def test_two_nodes_that_run_it_at_once_are_bad(
    cluster: Cluster, local: Local, board: Board
) -> None:
    local.settle_on_n1(cluster)
    local.hear(cluster.runs("n1"))
    local.hear(cluster.stands_by("n2", state="started"))
    said = states(cluster, board)
    assert said[:2] == ["n1 and n2 run eip at the same time", "A failover is not safe now"]
    assert "healthy" not in said


def test_a_pause_is_over_on_the_page_as_soon_as_it_is_over(
    cluster: Cluster, local: Local, board: Board
) -> None:
    local.settle_on_n1(cluster)
    local.hear(cluster.runs("n1"))
    local.hear(cluster.stands_by("n2"))
    local.operate({"verb": "pause", "cluster": cluster.id, "minutes": 60})
    # What the watch saw during the pause is not looked at anew for up to a minute.
    found = Unready(local.now_ms, told=True, problems=(f"{cluster.id} is paused",))
    writable(board.memory).keep_seen(cluster.id, Seen({}, {"eip": found}))
    page = board.show({"cluster": cluster.id})
    assert "No automatic failover now; an order still works" in page
    assert f"<li>{cluster.id} is paused</li>" in page
    assert "paused until " in page
    local.operate({"verb": "resume", "cluster": cluster.id})
    page = board.show({"cluster": cluster.id})
    assert "A failover would work now" in page
    assert "paused until " not in page
    assert f"<li>{cluster.id} is paused</li>" not in page


def test_the_flap_brake_is_no_obstacle_to_the_failover_of_a_dead_holder(
    cluster: Cluster, local: Local, board: Board
) -> None:
    local.settle_on_n1(cluster)
    local.hear(cluster.runs("n1"))
    local.hear(cluster.stands_by("n2"))
    moves = (local.now_ms,) * local.arbiter.policy.brake_moves
    store, snapshot = local.arbiter.store, cluster.snapshot
    store.commit(snapshot, replace(snapshot.addresses["eip"], recent_moves_ms=moves), ())
    assert states(cluster, board)[1] == (
        "No failover now off a node that runs it, only off a dead one; an order still works"
    )
    local.hear(local.n1_dies(cluster))
    assert (cluster.holder, cluster.address.rule) == ("n2", "R070")


def test_repeats_what_only_ec2_could_tell_the_watch_with_its_age(
    cluster: Cluster, local: Local, board: Board
) -> None:
    local.settle_on_n1(cluster)
    local.hear(cluster.runs("n1"))
    local.hear(cluster.stands_by("n2"))
    word = Ec2Word(local.now_ms, ("EC2 has it at n9",), {cluster.instance("n2"): "EC2 would not"})
    writable(board.memory).keep_seen(cluster.id, Seen(ec2={"eip": word}))
    local.wait(5)
    page = board.show({"cluster": cluster.id})
    assert "A failover would not work now" in page
    assert "<li>EC2 has it at n9 (seen at EC2 5 s ago)</li>" in page
    assert "<li>EC2 would not (seen at EC2 5 s ago)</li>" in page


def test_what_ec2_said_before_the_last_move_is_not_repeated(
    cluster: Cluster, local: Local, board: Board
) -> None:
    local.settle_on_n1(cluster)
    word = Ec2Word(local.now_ms, ("EC2 has it at n9",), {})
    writable(board.memory).keep_seen(cluster.id, Seen(ec2={"eip": word}))
    local.hear(cluster.stands_by("n2"))
    local.operate({"verb": "failover", "cluster": cluster.id, "target": "n2"})
    local.hear(cluster.runs("n2"))
    assert "EC2 has it at n9" not in board.show({"cluster": cluster.id})


def test_does_not_start_without_knowing_whom_its_buttons_call(
    aws: EmbeddedAws, local: Local
) -> None:
    environment = dict(aws.functions.get("Widget").spec.environment)
    del environment["OPERATE_ARN"]
    with pytest.raises(SettingsError, match="OPERATE_ARN is not set"):
        assemble_board(environment, dynamodb=local.dynamodb)
