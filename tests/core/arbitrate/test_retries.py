"""A reply of DynamoDB is lost: the client sends the write again, and meets its own success.

Whatever was being written, all goes on as if the reply had come. Where no reply comes at all, an
operator is told that nobody knows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from core.harness import Cluster
from core.local import Local
from eip_arbiter.decision.snapshot import Phase
from eip_contract.report import ReportRejected

from lab.embedded.cloud import EmbeddedAws

AUTHOR = {"by": "alice", "reason": "kernel update"}
CLIENTS_ATTEMPTS = 2


@pytest.fixture
def lose(aws: EmbeddedAws) -> Callable[..., None]:
    """From the n-th UpdateItem of this process on, so many replies are lost."""

    def lose(reply: int = 1, times: int = 1, operation: str = "UpdateItem") -> None:
        on: dict[str, Any] = {"service": "dynamodb", "principal": "local", "operation": operation}
        if reply > 1:
            aws.faults.set("slow", **on, seconds=0, times=reply - 1)
        aws.faults.set("lost_reply", **on, times=times)

    return lose


def told(cluster: Cluster, kind: str = "note") -> list[str]:
    return [line["sentence"]["S"] for line in cluster.history(kind)]


class TestOneLostReply:
    def test_of_a_pause_and_a_resume(
        self, cluster: Cluster, local: Local, lose: Callable[..., None]
    ) -> None:
        local.settle_on_n1(cluster)
        lose()
        answer = local.operate({"verb": "pause", "cluster": cluster.id, "minutes": 60, **AUTHOR})
        assert answer["outcome"] == "paused"
        assert cluster.snapshot.paused_until_ms == answer["until_ms"]
        lose()
        answer = local.operate({"verb": "resume", "cluster": cluster.id, **AUTHOR})
        assert answer["outcome"] == "resumed"
        assert cluster.snapshot.paused_until_ms == 0
        paused, resumed = told(cluster)
        assert paused.startswith("pause: ")
        assert paused.endswith(" (by alice: kernel update)")
        assert resumed.startswith("resume: ")

    def test_of_an_order(self, cluster: Cluster, local: Local, lose: Callable[..., None]) -> None:
        local.settle_on_n1(cluster)
        lose()
        order = {"verb": "failover", "target": "n2", "request_id": "ops-7"}
        answer = local.operate({"cluster": cluster.id, **order, **AUTHOR})
        assert answer["outcome"] == "moved"
        assert (cluster.holder, cluster.world.holder()) == ("n2", "n2")
        (accepted,) = told(cluster)
        assert accepted.endswith(" (by alice: kernel update)")

    def test_of_a_forgotten_node_and_an_acknowledgement(
        self, cluster: Cluster, local: Local, lose: Callable[..., None]
    ) -> None:
        local.settle_on_n1(cluster)
        lose()
        answer = local.operate({"verb": "acknowledge", "cluster": cluster.id})
        assert answer["outcome"] == "acknowledged"
        lose()
        answer = local.operate({"verb": "forget", "cluster": cluster.id, "node": "n2"})
        assert answer["outcome"] == "forgotten"
        assert [line.partition(":")[0] for line in told(cluster)] == ["acknowledge", "forget"]

    @pytest.mark.parametrize("reply", [1, 2, 3], ids=["report", "grant", "settlement"])
    def test_of_any_step_of_a_failover(
        self, cluster: Cluster, local: Local, lose: Callable[..., None], reply: int
    ) -> None:
        local.settle_on_n1(cluster)
        claim = local.n1_dies(cluster)
        lose(reply)
        local.hear(claim)
        assert local.told.of("decided") == ["R070", "R070"]
        assert local.told.of("count") == ["Moves", "MoveTime"]
        assert (cluster.address.phase, cluster.world.holder()) == (Phase.SETTLED, "n2")
        assert cluster.snapshot.waiting == ()

    def test_of_a_release(self, cluster: Cluster, local: Local, lose: Callable[..., None]) -> None:
        local.settle_on_n1(cluster)
        local.hear(cluster.claims("n2", lost=()))
        lose()
        release = cluster.report("n1", cause="release")
        local.hear(release)
        assert (cluster.holder, cluster.world.holder()) == ("n2", "n2")
        with pytest.raises(ReportRejected, match="is not newer"):
            local.hear(release)


class TestNoReplyAtAll:
    def test_to_a_pause_is_told_as_unknown(
        self, cluster: Cluster, local: Local, lose: Callable[..., None]
    ) -> None:
        local.settle_on_n1(cluster)
        lose(times=CLIENTS_ATTEMPTS)
        answer = local.operate({"verb": "pause", "cluster": cluster.id, "minutes": 60, **AUTHOR})
        assert answer["outcome"] == "unknown"
        assert "pause may or may not have been done" in answer["sentence"]
        # It was, and whoever handles the cluster later tells it.
        assert cluster.snapshot.paused_until_ms > local.now_ms
        local.hear(cluster.runs("n1"), after_seconds=10)
        (paused,) = told(cluster)
        assert paused.endswith(" (by alice: kernel update)")
        assert cluster.snapshot.waiting == ()

    def test_to_an_order_is_told_as_unknown_and_asking_again_tells(
        self, cluster: Cluster, local: Local, lose: Callable[..., None]
    ) -> None:
        local.settle_on_n1(cluster)
        order = {"verb": "failover", "cluster": cluster.id, "target": "n2"}
        lose(times=CLIENTS_ATTEMPTS)
        answer = local.operate({**order, **AUTHOR}, "request-7")
        assert (answer["outcome"], answer["order"]) == ("unknown", "request-7")
        assert "may or may not have been accepted" in answer["sentence"]
        again = local.operate({**order, "request_id": answer["order"]})
        assert again["outcome"] == "accepted"
        local.hear(cluster.runs("n1"), after_seconds=10)
        assert (cluster.holder, cluster.address.term) == ("n2", 2)
        (accepted,) = told(cluster)
        assert accepted.endswith(" (by alice: kernel update)")

    def test_to_what_follows_leaves_the_answer_as_it_is(
        self, aws: EmbeddedAws, cluster: Cluster, local: Local
    ) -> None:
        local.settle_on_n1(cluster)
        on: dict[str, Any] = {"service": "dynamodb", "principal": "local"}
        on["operation"] = "UpdateItem"
        aws.faults.set("slow", **on, seconds=0, times=1)
        aws.faults.set("throttle", **on)
        order = {"verb": "failover", "target": "n2", "request_id": "ops-7"}
        answer = local.operate({"cluster": cluster.id, **order, **AUTHOR})
        assert (answer["outcome"], answer["order"]) == ("accepted", "ops-7")
        assert "left to the next report" in str(local.told)
        aws.faults.clear()
        local.hear(cluster.runs("n1"), after_seconds=1)
        assert cluster.world.holder() == "n2"


class TestAHistoryThatTakesNoLine:
    def test_holds_no_move_back_and_gets_its_line_later(
        self, aws: EmbeddedAws, cluster: Cluster, local: Local
    ) -> None:
        local.settle_on_n1(cluster)
        claim = local.n1_dies(cluster)
        aws.faults.set("throttle", service="dynamodb", principal="local", operation="PutItem")
        local.hear(claim)
        assert (cluster.address.phase, cluster.world.holder()) == (Phase.SETTLED, "n2")
        assert len(cluster.snapshot.waiting) == 1
        assert "a line of history waits" in str(local.told)
        aws.faults.clear()
        local.forget()
        local.hear(cluster.runs("n2"), after_seconds=8.5)
        assert local.calls.made == ["UpdateItem"], "whoever committed it may still be at work"
        local.hear(cluster.runs("n2"), after_seconds=1)
        assert local.calls.made[1:] == ["UpdateItem", "PutItem", "UpdateItem"]
        assert cluster.granted_terms() == [1, 2]
        assert told(cluster, "grant")[-1].startswith("R070: ")
        local.forget()
        local.hear(cluster.runs("n2"), after_seconds=1)
        assert local.calls.made == ["UpdateItem"]

    def test_has_the_author_of_an_order_as_soon_as_it_is_accepted(
        self, aws: EmbeddedAws, cluster: Cluster, local: Local, inspection: Any
    ) -> None:
        local.settle_on_n1(cluster)
        aws.faults.set("throttle", service="dynamodb", principal="local", operation="PutItem")
        order = {"verb": "failover", "target": "n2", "request_id": "ops-7"}
        assert local.operate({"cluster": cluster.id, **order, **AUTHOR})["outcome"] == "moved"
        assert told(cluster) == []
        grant, accepted, _ = inspection.tell_history({"cluster": cluster.id})["lines"]
        assert (grant["rule"], accepted["rule"]) == ("R020", "failover")
        assert accepted["sentence"].endswith(" (by alice: kernel update)")


def test_two_steps_of_one_millisecond_are_two_lines_in_their_order(
    cluster: Cluster, local: Local, inspection: Any
) -> None:
    local.settle_on_n1(cluster)
    local.wait(-0.1)  # `operate` waits as long
    at = []
    for verb in ("pause", "resume", "acknowledge"):
        request = {"verb": verb, "cluster": cluster.id}
        local.operate(request | ({"minutes": 1} if verb == "pause" else {}))
        at.append(local.now_ms)
        local.wait(-0.1)
    assert len(set(at)) == 1
    lines = inspection.tell_history({"cluster": cluster.id})["lines"]
    assert [line["rule"] for line in lines] == ["acknowledge", "resume", "pause", "R050"]


def test_a_line_from_before_lines_had_a_version_is_read(
    cluster: Cluster, local: Local, inspection: Any
) -> None:
    local.settle_on_n1(cluster)
    (line,) = cluster.history()
    _, at_ms, _, *of = line["sk"]["S"].split("#")
    old = {**line, "sk": {"S": "#".join(["history", at_ms, *of])}}
    cluster.aws.client("dynamodb", "lab").put_item(TableName=cluster.table_name, Item=old)
    one, other = inspection.tell_history({"cluster": cluster.id})["lines"]
    assert one == other
    assert (one["kind"], one["resource"], one["term"]) == ("grant", "eip", 1)
