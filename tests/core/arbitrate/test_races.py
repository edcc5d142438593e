"""Arbiters at work at the same time: one grant a term, one call at EC2, and losers that say so."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from core.harness import Cluster
from core.local import Local, Told
from core.observed import rules
from eip_arbiter.arbitrate.arbitration import Arbiter
from eip_arbiter.decision.snapshot import Phase, Snapshot
from eip_arbiter.operate.operations import operate
from eip_arbiter.ports import Recorded

from lab.embedded.cloud import EmbeddedAws
from lab.embedded.world import CLUSTER_TAG

LOST = "not done, a newer report is there"


class AtOnce:
    """A store whose callers all wait for each other before one of its methods."""

    def __init__(self, store: Any, method: str, barrier: threading.Barrier) -> None:
        self._store, self._method, self._barrier = store, method, barrier

    def __getattr__(self, name: str) -> Any:
        if name == self._method:
            self._barrier.wait(10)
        return getattr(self._store, name)


def all_at_once(local: Local, method: str, works: list[Callable[[Arbiter], object]]) -> list[Told]:
    """Runs each work with an arbiter of its own; gives what each was told."""
    barrier, told = threading.Barrier(len(works)), [Told() for _ in works]
    store = AtOnce(local.arbiter.store, method, barrier)
    threads = [
        threading.Thread(target=work, args=(replace(local.arbiter, store=store, telemetry=mine),))
        for work, mine in zip(works, told, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return told


def assert_one_grant(cluster: Cluster, told: list[Told], since: float) -> None:
    """One of them granted and moved, with one EC2 call; each other one said that it did not."""
    winners = [mine for mine in told if mine.of("count")]
    assert [mine.of("count") for mine in winners] == [["Moves", "MoveTime"]]
    for loser in told:
        assert loser in winners or (loser.of("kept") == ["R070"] and LOST in str(loser))
    calls = cluster.aws.journal.calls(since=since, service="ec2")
    assert [call.operation for call in calls] == ["AssociateAddress"]
    assert (cluster.address.term, cluster.address.phase) == (2, Phase.SETTLED)
    assert cluster.granted_terms() == [1, 2]
    assert cluster.world.holder() == cluster.holder


def recorded(local: Local, report: Any) -> Snapshot:
    outcome = local.arbiter.store.record_report(report, local.now_ms)
    assert isinstance(outcome, Recorded)
    return outcome.snapshot


@pytest.mark.parametrize("arbiters", [2, 10])
def test_arbiters_with_the_same_claim_make_one_grant(
    aws: EmbeddedAws, cluster: Cluster, local: Local, arbiters: int
) -> None:
    local.settle_on_n1(cluster)
    snapshot = recorded(local, local.n1_dies(cluster))
    since = aws.journal.now()
    works = [lambda arbiter: arbiter.on_snapshot(snapshot)] * arbiters
    told = all_at_once(local, "commit", works)
    assert_one_grant(cluster, told, since)


@pytest.mark.parametrize("claimants", [2, 10])
def test_different_claimants_get_one_grant_between_them(
    aws: EmbeddedAws, new_cluster: Callable[..., Cluster], local: Local, claimants: int
) -> None:
    cluster = new_cluster(nodes=1 + claimants)
    local.settle_on_n1(cluster)
    nodes = [f"n{number}" for number in range(2, 2 + claimants)]
    for node in nodes:
        local.hear(cluster.claims(node), after_seconds=0.01)
    local.wait(local.arbiter.policy.answer_ms / 1000)
    since = aws.journal.now()

    def claim(node: str) -> Callable[[Arbiter], object]:
        report = cluster.claims(node, for_ms=3_000)
        return lambda arbiter: arbiter.on_report(report, local.now_ms)

    told = all_at_once(local, "commit", [claim(node) for node in nodes])
    assert_one_grant(cluster, told, since)


def test_an_unfinished_move_is_resumed_by_one_of_them(
    aws: EmbeddedAws, cluster: Cluster, local: Local
) -> None:
    local.settle_on_n1(cluster)
    claim = local.n1_dies(cluster)
    local.crashes(after=2, what=lambda: local.hear(claim))
    local.wait(local.arbiter.policy.move_ms / 1000)
    snapshot = recorded(local, cluster.claims("n2"))
    since = aws.journal.now()
    told = all_at_once(local, "commit", [lambda arbiter: arbiter.on_snapshot(snapshot)] * 10)
    assert sorted(mine.of("count") for mine in told) == [*[[]] * 9, ["Moves", "MoveTime"]]
    assert sum(LOST in str(mine) for mine in told) == 9
    calls = [call.operation for call in aws.journal.calls(since=since, service="ec2")]
    assert calls == ["DescribeAddresses", "AssociateAddress"]
    assert cluster.granted_terms() == [1, 2]
    assert (cluster.address.term, cluster.world.holder()) == (2, "n2")


def test_functions_that_hear_claims_at_once_make_one_move(
    aws: EmbeddedAws, cluster: Cluster
) -> None:
    cluster.settle_on_n1()
    cluster.say(cluster.report("n1", cause="release"))
    since = aws.journal.now()
    events = [cluster.put(cluster.claims("n2", lost=())) for _ in range(4)]
    heard = [cluster.invocations.of_event(event)[0] for event in events]
    assert [invocation.error for invocation in heard] == [None] * 4
    assert [rules(one).count("R061") for one in heard].count(2) == 1
    assert [call.operation for call in cluster.calls(since)].count("AssociateAddress") == 1
    assert cluster.granted_terms() == [1, 2]
    assert (cluster.holder, cluster.world.holder()) == ("n2", "n2")


def test_an_answer_that_is_newer_than_the_snapshot_makes_the_grant_lose(
    aws: EmbeddedAws, cluster: Cluster, local: Local
) -> None:
    local.settle_on_n1(cluster)
    silent = recorded(local, local.n1_dies(cluster))
    recorded(local, cluster.runs("n1", lost=("n2",)))
    since = aws.journal.now()
    local.arbiter.on_snapshot(silent)
    assert local.told.of("kept") == ["R070"]
    assert LOST in str(local.told)
    assert cluster.moves(since) == []
    assert (cluster.holder, cluster.address.term) == ("n1", 1)


def test_a_newer_word_of_the_claimant_makes_the_grant_lose(
    aws: EmbeddedAws, cluster: Cluster, local: Local
) -> None:
    local.settle_on_n1(cluster)
    claiming = recorded(local, local.n1_dies(cluster))
    recorded(local, cluster.stands_by("n2"))
    since = aws.journal.now()
    local.arbiter.on_snapshot(claiming)
    assert LOST in str(local.told)
    assert cluster.moves(since) == []


def test_nodes_that_register_at_once_are_all_registered(
    new_cluster: Callable[..., Cluster], local: Local
) -> None:
    cluster = new_cluster(nodes=5)

    def first_report(node: str) -> Callable[[Arbiter], object]:
        report = cluster.stands_by(node)
        return lambda arbiter: arbiter.on_report(report, local.now_ms)

    told = all_at_once(local, "register", [first_report(node) for node in cluster.world.nodes])
    assert [mine.of("decided") for mine in told] == [["registered"]] * 5
    nodes = cluster.snapshot.nodes
    assert set(nodes) == {node.instance_id for node in cluster.world.nodes.values()}
    assert all(node.report is not None for node in nodes.values())
    assert cluster.snapshot.version == 5


class Meanwhile:
    """Elastic IPs at which something else happens during the first association.

    It happens right after EC2 has done it, or, with `slow`, before EC2 does it.
    """

    def __init__(self, local: Local, happens: Callable[[], object], *, slow: bool = False) -> None:
        self._local, self._happens, self._slow = local, [happens], slow

    def associate(self, *arguments: str) -> str:
        happens = self._happens.pop() if self._happens else lambda: None
        if self._slow:
            happens()
        association_id = self._local.arbiter.elastic_ips.associate(*arguments)
        if not self._slow:
            happens()
        return association_id

    def locate(self, allocation_id: str) -> Any:
        return self._local.arbiter.elastic_ips.locate(allocation_id)


class TestAnOrderBetweenGrantAndSettlement:
    def moved_while(self, local: Local, cluster: Cluster, target: str) -> dict[str, Any]:
        """A failover of dead n1 to n2, during which the operator orders it to `target`.

        Another node gets it only once the deadline of the move has passed.
        """
        answers = []
        order = {"verb": "failover", "cluster": cluster.id, "target": target, "force": True}
        local.settle_on_n1(cluster)
        claim = local.n1_dies(cluster)

        def ordered() -> None:
            local.wait(local.arbiter.policy.move_ms / 1000 if target != "n2" else 0)
            answers.append(local.operate(order))

        meanwhile = Meanwhile(local, ordered)
        overtaken = replace(local.arbiter, elastic_ips=meanwhile)  # type: ignore[arg-type]
        overtaken.on_report(claim, local.now_ms)
        (answer,) = answers
        return answer

    def test_for_the_same_node_survives_the_settlement(
        self, cluster: Cluster, local: Local
    ) -> None:
        assert self.moved_while(local, cluster, "n2")["outcome"] == "accepted"
        address = cluster.address
        assert (address.phase, address.term) == (Phase.SETTLED, 2)
        assert address.order is not None
        assert address.order.target == cluster.instance("n2")
        local.hear(cluster.runs("n2"))
        assert cluster.address.order is None

    def test_for_another_node_wins_and_the_old_settlement_does_not_undo_it(
        self, cluster: Cluster, local: Local
    ) -> None:
        assert self.moved_while(local, cluster, "n1")["outcome"] == "moved"
        assert "overtaken" in str(local.told)
        address = cluster.address
        assert (cluster.holder, cluster.world.holder()) == ("n1", "n1")
        assert (address.phase, address.term) == (Phase.SETTLED, 3)
        assert address.association_id == cluster.moves()[-1].association_id
        assert address.order is not None


def test_a_node_that_loses_its_tag_while_the_address_comes_to_it_stays_until_it_is_there(
    aws: EmbeddedAws, cluster: Cluster, local: Local
) -> None:
    """Else another node could get it while a call to EC2 is under way, which would land later."""
    local.settle_on_n1(cluster)
    claim = local.n1_dies(cluster)
    holders = []

    def untagged() -> None:
        tag = [{"Key": CLUSTER_TAG}]
        aws.client("ec2", "looks").delete_tags(Resources=[cluster.instance("n2")], Tags=tag)
        local.hear(cluster.claims("n2", incarnation=2))
        holders.append(cluster.holder)

    moving = Meanwhile(local, untagged, slow=True)
    replace(local.arbiter, elastic_ips=moving).on_report(claim, local.now_ms)  # type: ignore[arg-type]
    assert holders == ["n2"]
    assert (cluster.address.term, cluster.address.phase) == (2, Phase.SETTLED)
    local.hear(cluster.claims("n2", incarnation=3), after_seconds=60)
    assert cluster.address.holder is None
    assert cluster.instance("n2") not in cluster.snapshot.nodes


class TestACallThatEndsAfterANewerGrantIsSettled:
    def overtaken(self, local: Local, cluster: Cluster, *, then: Callable[[], object]) -> None:
        """A failover of dead n1 to n2 with a slow call, during which it is ordered back to n1."""
        order = {"verb": "failover", "cluster": cluster.id, "target": "n1", "force": True}
        local.settle_on_n1(cluster)
        claim = local.n1_dies(cluster)

        def meanwhile() -> None:
            local.wait(local.arbiter.policy.move_ms / 1000)
            assert local.operate(order)["outcome"] == "moved"
            then()

        slow = Meanwhile(local, meanwhile, slow=True)
        arbiter = replace(local.arbiter, elastic_ips=slow)  # type: ignore[arg-type]
        arbiter.on_report(claim, local.now_ms)

    def test_is_put_right_by_whoever_made_it(
        self, aws: EmbeddedAws, cluster: Cluster, local: Local
    ) -> None:
        since = aws.journal.now()
        self.overtaken(local, cluster, then=local.forget)
        address = cluster.address
        assert (cluster.holder, cluster.world.holder()) == ("n1", "n1")
        assert (address.phase, address.term) == (Phase.SETTLED, 3)
        assert address.association_id == cluster.moves()[-1].association_id
        to = [m.to_instance for m in cluster.moves(since) if m.from_interface != m.to_interface]
        assert to[-2:] == [cluster.instance("n2"), cluster.instance("n1")]
        line = cluster.history("note")[-1]["sentence"]["S"]
        assert line.endswith("but a call of term 2 ended late and took it away; it is put back")
        assert cluster.granted_terms() == [1, 2, 3]
        assert cluster.snapshot.waiting == ()

    def test_is_left_to_the_holders_report_if_ec2_does_not_tell_where_it_is(
        self, aws: EmbeddedAws, cluster: Cluster, local: Local
    ) -> None:
        def nothing_is_told() -> None:
            aws.faults.set("lost_reply", principal="local", operation="DescribeAddresses")

        self.overtaken(local, cluster, then=nothing_is_told)
        assert "was not looked for" in str(local.told)
        assert (cluster.holder, cluster.world.holder()) == ("n1", "n2")
        aws.faults.clear()
        local.hear(cluster.runs("n1", public_ips=()), after_seconds=20)  # ends the order
        local.hear(cluster.runs("n1", public_ips=()))
        assert cluster.world.holder() == "n1", "else the holder's own report does it"


class Looked(Meanwhile):
    """Elastic IPs at which something else happens right after the first look."""

    def locate(self, allocation_id: str) -> Any:
        found = super().locate(allocation_id)
        if self._happens:
            self._happens.pop()()
        return found


class TestACallThatEndsWhileANewerMoveIsUnderWay:
    def test_makes_its_mover_look_again_and_calls_nothing_itself(
        self, aws: EmbeddedAws, cluster: Cluster, local: Local
    ) -> None:
        """A failover's slow call to n2 lands after an order found the address still on n1.

        Two calls under the order's term would be one too many: the later one might land after a
        later term is settled.
        """
        local.settle_on_n1(cluster)
        claim = local.n1_dies(cluster)
        called, late_one_is_through = threading.Event(), threading.Event()
        order = {"verb": "failover", "cluster": cluster.id, "target": "n1", "force": True}
        answers: list[dict[str, Any]] = []

        def waits() -> None:
            called.set()
            assert late_one_is_through.wait(30)

        orders = replace(local.arbiter, elastic_ips=Looked(local, waits))  # type: ignore[arg-type]
        ordering = threading.Thread(
            target=lambda: answers.append(operate(orders, order, "request-1"))
        )

        def overtakes() -> None:
            local.wait(local.arbiter.policy.move_ms / 1000 + 0.1)
            ordering.start()
            assert called.wait(30)
            local.wait(0.5)

        late = Meanwhile(local, overtakes, slow=True)
        since = aws.journal.now()
        replace(local.arbiter, elastic_ips=late).on_report(claim, local.now_ms)  # type: ignore[arg-type]
        assert cluster.world.holder() == "n2", "the late call has taken it away"
        assert (cluster.address.term, cluster.address.phase) == (3, Phase.MOVING)
        assert len(cluster.moves(since)) == 1, "its own call, and no other"
        late_one_is_through.set()
        ordering.join(30)
        assert [answer["outcome"] for answer in answers] == ["moved"]
        assert (cluster.holder, cluster.world.holder()) == ("n1", "n1")
        assert (cluster.address.term, cluster.address.phase) == (3, Phase.SETTLED)
        line = cluster.history("note")[-1]["sentence"]["S"]
        assert line.endswith("ended late and took it away; whoever moves it looks again")
