"""Moves that go wrong at EC2, drift and release: what is tried again, when, and what never is."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from core.harness import Cluster
from core.local import Local
from core.observed import lines, messages, metrics, rules
from eip_arbiter.decision.snapshot import Phase, Snapshot
from eip_arbiter.ports import Committed, Store
from eip_contract.report import ResourceState

from lab.embedded.cloud import EmbeddedAws
from lab.embedded.faults import Fault, Mode

ASSOCIATE = "AssociateAddress"


@pytest.fixture
def at_ec2(aws: EmbeddedAws) -> Callable[..., Fault]:
    """Hurts associations: of this process's arbiter, or of the function."""

    def hurt(mode: Mode, principal: str = "local", **more: Any) -> Fault:
        return aws.faults.set(mode, principal=principal, service="ec2", operation=ASSOCIATE, **more)

    return hurt


def changes_of_place(cluster: Cluster, since: float) -> list[tuple[str, str]]:
    """Where the address went, without calls that left it where it was."""
    moves = [m for m in cluster.moves(since) if m.from_interface != m.to_interface]
    return [(m.operation, m.to_instance) for m in moves]


def moved_once_to(cluster: Cluster, node: str, since: float) -> bool:
    return changes_of_place(cluster, since) == [(ASSOCIATE, cluster.instance(node))]


def after_the_deadline(local: Local) -> None:
    local.wait(local.arbiter.policy.move_ms / 1000)


def test_ec2_throttles_once_and_the_move_is_made_by_the_same_invocation(
    aws: EmbeddedAws, cluster: Cluster, local: Local, at_ec2: Callable[..., Fault]
) -> None:
    local.settle_on_n1(cluster)
    claim = local.n1_dies(cluster)
    since, throttled = aws.journal.now(), at_ec2("throttle", times=1)
    local.hear(claim)
    assert throttled.hits == 1
    assert local.told.of("count") == ["Moves", "MoveTime"]
    assert (cluster.address.phase, cluster.address.term) == (Phase.SETTLED, 2)
    assert moved_once_to(cluster, "n2", since)


def test_ec2_asks_for_a_longer_pause_than_there_is_and_the_move_is_told_as_failed_in_time(
    aws: EmbeddedAws, cluster: Cluster, local: Local
) -> None:
    local.settle_on_n1(cluster)
    claim = local.n1_dies(cluster)
    aws.faults.set(
        "throttle", principal="local", operation="AssociateAddress", retry_after_ms=20_000
    )
    began = time.monotonic()
    local.hear(claim)
    assert time.monotonic() - began < 1
    assert local.told.of("count") == ["MoveFailed"]
    assert "was not moved" in str(local.told)


def test_an_answer_that_takes_four_seconds_is_waited_for(
    aws: EmbeddedAws, cluster: Cluster, local: Local
) -> None:
    local.settle_on_n1(cluster)
    claim, since = local.n1_dies(cluster), aws.journal.now()
    aws.faults.set("slow", principal="local", operation="AssociateAddress", seconds=4)
    local.hear(claim)
    assert local.told.of("count") == ["Moves", "MoveTime"]
    assert moved_once_to(cluster, "n2", since)


def test_ec2_is_silent_and_the_function_lives_to_say_that_nothing_was_moved(
    aws: EmbeddedAws, cluster: Cluster
) -> None:
    cluster.settle_on_n1()
    aws.faults.set("slow", principal="Arbitrate", service="dynamodb", seconds=0.5, times=2)
    aws.faults.set("blackhole", principal="Arbitrate", service="ec2", operation="A*")
    cluster.say(cluster.report("n1", cause="release", for_ms=0, public_ips=(cluster.public_ip,)))
    heard = cluster.say(cluster.claims("n2", lost=()))
    assert heard.error is None
    assert "was not moved under term 2: ReadTimeoutError" in messages(heard)


def test_a_call_that_the_function_would_not_outlive_is_not_made_and_that_is_told(
    cluster: Cluster, local: Local
) -> None:
    local.settle_on_n1(cluster)
    claim = local.n1_dies(cluster)
    policy = local.arbiter.policy
    local.arbiter = local.arbiter.within(policy.ec2_call_ms + 499)
    local.forget()
    local.wait(-0.1)  # `hear` waits as long
    local.hear(claim)
    assert ASSOCIATE not in local.calls.made
    assert "the function's time left does not cover the call" in str(local.told)
    assert cluster.world.holder() == "n1"


def test_a_call_that_was_cut_off_may_be_under_way_whatever_the_next_one_says(
    cluster: Cluster, local: Local, at_ec2: Callable[..., Fault]
) -> None:
    local.settle_on_n1(cluster)
    claim = local.n1_dies(cluster)
    at_ec2("refuse", times=1)
    at_ec2("throttle", times=1)
    local.hear(claim)
    left_ms = cluster.address.deadline_ms - local.now_ms
    assert left_ms == local.arbiter.policy.move_ms


def test_ec2_refuses_for_long_and_a_report_two_seconds_later_resumes_the_same_grant(
    aws: EmbeddedAws, cluster: Cluster, local: Local, at_ec2: Callable[..., Fault]
) -> None:
    local.settle_on_n1(cluster)
    claim = local.n1_dies(cluster)
    since, throttled = aws.journal.now(), at_ec2("throttle", times=2)
    local.hear(claim)
    assert throttled.hits == 2
    assert local.told.of("count") == ["MoveFailed"]
    assert (cluster.holder, cluster.address.phase) == ("n2", Phase.MOVING)
    local.forget()
    local.hear(cluster.claims("n2"), after_seconds=1.5)
    assert local.told.of("kept") == ["R030"]
    assert changes_of_place(cluster, since) == []
    local.hear(cluster.claims("n2"), after_seconds=1)
    assert local.told.of("decided")[0] == "R031"
    assert (cluster.address.phase, cluster.address.term) == (Phase.SETTLED, 2)
    assert moved_once_to(cluster, "n2", since)
    first, second = (line["sentence"]["S"] for line in cluster.history("grant"))
    assert first.startswith("R050: ")
    assert second.startswith(f"R070: n2 gets {cluster.public_ip} (eip) under term 2: n1 did not")
    assert second.endswith(" s (not done at once: RequestLimitExceeded)"), "though it was resumed"


def test_a_move_that_ec2_refuses_is_told_counted_and_left_for_later(
    aws: EmbeddedAws, cluster: Cluster, local: Local, at_ec2: Callable[..., Fault]
) -> None:
    cluster.settle_on_n1()
    since = aws.journal.now()
    refused = at_ec2("error", principal="Arbitrate", code="UnauthorizedOperation", status=403)
    cluster.say(cluster.report("n1", cause="release"))
    granted = cluster.say(cluster.claims("n2", lost=()))
    assert granted.error is None
    assert rules(granted) == ["R061"]
    (line,) = lines(granted, "ERROR")
    assert "was not moved under term 2: UnauthorizedOperation" in line["message"]
    assert (line["cluster"], line["term"], line["phase"]) == (cluster.id, 2, "moving")
    assert metrics(granted) == [
        ("MoveFailed", "Cluster", cluster.id, 1),
        ("MoveFailed", "Stack", "eip-arbiter", 1),
    ]
    assert (cluster.holder, cluster.address.phase) == ("n2", Phase.MOVING)
    assert cluster.world.holder() == "n1"

    refused.clear()
    waiting = cluster.say(cluster.claims("n2", lost=()))
    assert rules(waiting) == ["R030"]
    after_the_deadline(local)
    local.now_ms = max(local.now_ms, cluster.address.deadline_ms)
    local.hear(cluster.claims("n2", lost=()))
    assert local.told.of("decided")[0] == "R031"
    assert moved_once_to(cluster, "n2", since)


def test_a_lost_reply_is_found_by_looking_and_ec2_is_not_asked_to_associate_again(
    aws: EmbeddedAws, cluster: Cluster, local: Local, at_ec2: Callable[..., Fault]
) -> None:
    local.settle_on_n1(cluster)
    claim = local.n1_dies(cluster)
    since, lost = aws.journal.now(), at_ec2("lost_reply")
    local.hear(claim)
    assert lost.hits == 2, "the client itself sends a call without an answer once more"
    assert cluster.address.deadline_ms == local.now_ms + local.arbiter.policy.move_ms
    assert (cluster.address.phase, cluster.world.holder()) == (Phase.MOVING, "n2")
    after_the_deadline(local)
    local.forget()
    local.hear(cluster.claims("n2"))
    written, looked = ["UpdateItem", "UpdateItem"], "DescribeAddresses"
    assert local.calls.made == [*written, looked, "UpdateItem"]
    assert lost.hits == 2
    assert cluster.address.phase is Phase.SETTLED
    assert cluster.address.association_id == cluster.moves()[-1].association_id
    assert moved_once_to(cluster, "n2", since)


class BehindOnce:
    """Elastic IPs whose first look finds EC2's descriptions as they were at a moment."""

    def __init__(self, local: Local, aws: EmbeddedAws, as_of: float) -> None:
        self._ips, self._faults = local.arbiter.elastic_ips, aws.faults
        self._faults.describe_as_of = as_of

    def locate(self, allocation_id: str, after_ms: int = 0) -> Any:
        if after_ms:
            self._faults.describe_as_of = None
        return self._ips.locate(allocation_id, after_ms)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ips, name)


class TestDescriptionsLag:
    """EC2 may tell for some seconds of what was before an association."""

    def test_a_resumed_move_is_found_by_the_second_look(
        self, aws: EmbeddedAws, cluster: Cluster, local: Local, at_ec2: Callable[..., Fault]
    ) -> None:
        local.settle_on_n1(cluster)
        claim = local.n1_dies(cluster)
        since, lost = aws.journal.now(), at_ec2("lost_reply")
        local.hear(claim)
        lost.clear()
        after_the_deadline(local)
        local.wait(0.1)
        behind = BehindOnce(local, aws, since)
        replace(local.arbiter, elastic_ips=behind).on_report(cluster.claims("n2"), local.now_ms)
        assert len(cluster.moves(since)) == 2, "by the call that was cut off, which is made twice"
        assert cluster.address.association_id == cluster.moves()[-1].association_id

    @staticmethod
    def back_to_n1(cluster: Cluster, local: Local, at_ec2: Callable[..., Fault]) -> float:
        """A move to n2 that nobody settled, and an order that takes it back to n1; since when."""
        local.settle_on_n1(cluster)
        claim = local.n1_dies(cluster)
        since = cluster.aws.journal.now()
        lost = at_ec2("lost_reply")
        local.hear(claim)
        lost.clear()
        local.operate({"verb": "failover", "cluster": cluster.id, "target": "n1", "force": True})
        after_the_deadline(local)
        assert (cluster.address.phase, cluster.world.holder()) == (Phase.MOVING, "n2")
        return since

    def test_a_grant_that_overtakes_a_move_asks_ec2_whatever_a_look_would_say(
        self, aws: EmbeddedAws, cluster: Cluster, local: Local, at_ec2: Callable[..., Fault]
    ) -> None:
        aws.faults.describe_as_of = self.back_to_n1(cluster, local, at_ec2)
        local.hear(cluster.runs("n1"))
        assert (cluster.holder, cluster.world.holder()) == ("n1", "n1")

    def test_a_resumed_move_is_not_taken_for_done_by_the_association_before_it(
        self, aws: EmbeddedAws, cluster: Cluster, local: Local, at_ec2: Callable[..., Fault]
    ) -> None:
        since = self.back_to_n1(cluster, local, at_ec2)
        refused = at_ec2("refuse")
        local.hear(cluster.runs("n1"))
        refused.clear()
        assert (cluster.holder, cluster.world.holder()) == ("n1", "n2")
        after_the_deadline(local)
        aws.faults.describe_as_of = since
        local.forget()
        local.hear(cluster.runs("n1"))
        assert local.told.of("decided")[0] == "R031"
        assert (cluster.holder, cluster.world.holder()) == ("n1", "n1")

    def test_drift_is_looked_at_twice_before_ec2_is_asked_to_associate(
        self, aws: EmbeddedAws, cluster: Cluster, local: Local
    ) -> None:
        local.settle_on_n1(cluster)
        since = aws.journal.now()
        cluster.world.associate("n2")
        behind = BehindOnce(local, aws, aws.journal.now())
        cluster.world.associate("n1")  # by hand, there and back
        by_hand = len(cluster.moves(since))
        local.wait(65)
        report = cluster.runs("n1", public_ips=())
        replace(local.arbiter, elastic_ips=behind).on_report(report, local.now_ms)
        assert len(cluster.moves(since)) == by_hand
        assert (cluster.address.phase, cluster.address.term) == (Phase.SETTLED, 2)
        assert local.told.of("count") == [], "nothing was moved, so that nobody is told"

    def test_the_second_look_leaves_time_for_the_call(self, cluster: Cluster, local: Local) -> None:
        """Lambda ends the function: a look that takes the call's time would never let it begin."""
        local.settle_on_n1(cluster)
        cluster.world.associate("n2")
        local.wait(65)
        arbiter = local.arbiter.within(local.arbiter.policy.function_timeout_ms)
        arbiter.on_report(cluster.runs("n1", public_ips=()), local.now_ms)
        assert cluster.world.holder() == "n1"


def test_two_addresses_of_a_cluster_move_together_and_keep_apart(
    aws: EmbeddedAws, new_cluster: Callable[..., Cluster], local: Local
) -> None:
    cluster = new_cluster(resources=("eip", "vip"))

    def both(state: str, for_ms: int = 0) -> dict[str, ResourceState]:
        return {resource: ResourceState(state, for_ms) for resource in ("eip", "vip")}

    awaiting = ("eip", "vip")
    local.hear(cluster.claims("n1", lost=(), resources=both("starting"), awaiting=awaiting))
    local.hear(cluster.stands_by("n2", resources=both("stopped")))
    since = aws.journal.now()
    local.hear(cluster.report("n1", cause="release", resources=both("stopped")))
    local.hear(cluster.claims("n2", lost=(), resources=both("starting"), awaiting=awaiting))
    n2 = cluster.world.nodes["n2"]
    moves = aws.journal.moves(since=since)
    assert [(m.operation, m.to_private_ip) for m in moves] == [
        (ASSOCIATE, private_ip) for private_ip in n2.private_ips
    ]
    assert [cluster.world.holder(resource) for resource in awaiting] == ["n2", "n2"]
    terms = [address.term for address in cluster.snapshot.addresses.values()]
    assert terms == [2, 2]


class OthersDecide:
    """A store in which a commit of another address overtakes each shortened deadline once."""

    def __init__(self, store: Store) -> None:
        self._store, self.overtaken = store, False

    def commit(self, snapshot: Snapshot, address: Any, *rest: Any, **more: Any) -> Any:
        if address.phase is Phase.MOVING and "told" in more and not self.overtaken:
            self.overtaken = True
            self._store.pause(snapshot, 0)
        return self._store.commit(snapshot, address, *rest, **more)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


def test_a_refused_move_is_soon_resumed_though_something_else_was_decided_meanwhile(
    at_ec2: Callable[..., Fault], cluster: Cluster, local: Local
) -> None:
    local.settle_on_n1(cluster)
    at_ec2("throttle", times=2)
    store = OthersDecide(local.arbiter.store)
    claim = local.n1_dies(cluster)
    replace(local.arbiter, store=store).on_report(claim, local.now_ms)
    assert store.overtaken
    left_ms = cluster.address.deadline_ms - local.now_ms
    assert 0 < left_ms <= local.arbiter.policy.retry_ms


class StallsAfterTheGrant:
    """A store whose caller is held up for some seconds right after a commit."""

    def __init__(self, local: Local, seconds: float) -> None:
        self._local, self._seconds = local, seconds

    def commit(self, *arguments: Any, **named: Any) -> Any:
        outcome = self._store.commit(*arguments, **named)
        assert isinstance(outcome, Committed)
        # Once: what is written afterwards is not held up.
        self._local.wait(self._seconds)
        self._seconds = 0.0
        return outcome

    @property
    def _store(self) -> Store:
        return self._local.arbiter.store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


def test_an_invocation_that_was_held_up_does_not_call_ec2_too_late_to_finish(
    cluster: Cluster, local: Local
) -> None:
    local.settle_on_n1(cluster)
    claim = local.n1_dies(cluster)
    policy = local.arbiter.policy
    stalls = StallsAfterTheGrant(local, (policy.move_ms - policy.ec2_call_ms) / 1000 + 0.001)
    replace(local.arbiter, store=stalls).on_report(claim, local.now_ms)
    assert ASSOCIATE not in local.calls.made
    assert local.told.of("count") == ["MoveFailed"]
    assert "DeadlineTooNear" in str(local.told)
    assert (cluster.address.phase, cluster.world.holder()) == (Phase.MOVING, "n1")
    soon_ms = local.now_ms + policy.retry_ms
    assert cluster.address.deadline_ms == soon_ms, "no call is under way that could land"


def test_an_invocation_that_was_held_up_takes_no_address_off_too_late(
    cluster: Cluster, local: Local
) -> None:
    local.settle_on_n1(cluster)
    policy = local.arbiter.policy
    local.wait(policy.release_ms / 1000)
    unused = cluster.stands_by("n1", for_ms=policy.release_ms)
    stalls = StallsAfterTheGrant(local, (policy.move_ms - policy.ec2_call_ms) / 1000 + 0.001)
    replace(local.arbiter, store=stalls).on_report(unused, local.now_ms)
    assert "DisassociateAddress" not in local.calls.made
    assert "DeadlineTooNear" in str(local.told)
    assert cluster.world.holder() == "n1"


def test_an_invocation_that_was_held_up_a_little_moves(cluster: Cluster, local: Local) -> None:
    local.settle_on_n1(cluster)
    claim = local.n1_dies(cluster)
    policy = local.arbiter.policy
    stalls = StallsAfterTheGrant(local, (policy.move_ms - policy.ec2_call_ms) / 1000)
    replace(local.arbiter, store=stalls).on_report(claim, local.now_ms)
    assert cluster.world.holder() == "n2"


class TestR080Drift:
    def test_an_address_taken_away_is_restored_when_the_holders_report_shows_it(
        self, aws: EmbeddedAws, cluster: Cluster, local: Local
    ) -> None:
        local.settle_on_n1(cluster)
        local.wait(65)
        cluster.world.associate("n2")
        since = aws.journal.now()
        local.hear(cluster.runs("n1", public_ips=()), after_seconds=65)
        assert local.told.of("decided") == ["R080", "R080"]
        assert (cluster.holder, cluster.address.term) == ("n1", 2)
        assert moved_once_to(cluster, "n1", since)
        local.hear(cluster.runs("n1"), after_seconds=10)
        assert cluster.address.term == 2

    def test_the_metadata_services_lag_after_a_move_is_no_drift(
        self, cluster: Cluster, local: Local
    ) -> None:
        local.settle_on_n1(cluster)
        late = local.arbiter.policy.drift_ms / 1000 - 1
        local.hear(cluster.runs("n1", public_ips=()), after_seconds=late)
        assert local.calls.made == ["UpdateItem"]
        assert cluster.address.term == 1

    def test_a_metadata_service_that_does_not_answer_is_no_drift(
        self, cluster: Cluster, local: Local
    ) -> None:
        local.settle_on_n1(cluster)
        local.hear(cluster.runs("n1", public_ips=None), after_seconds=60)
        assert local.calls.made == ["UpdateItem"]

    def test_an_address_that_ec2_has_in_its_place_is_not_associated_again(
        self, aws: EmbeddedAws, cluster: Cluster, local: Local
    ) -> None:
        local.settle_on_n1(cluster)
        since = aws.journal.now()
        local.hear(cluster.runs("n1", public_ips=()), after_seconds=65)
        assert "DescribeAddresses" in local.calls.made
        assert cluster.moves(since) == []
        assert cluster.address.phase is Phase.SETTLED

    def test_a_stalled_old_call_that_lands_late_is_repaired(
        self, cluster: Cluster, local: Local
    ) -> None:
        """EC2 has no conditional association, so a call of an old term can land after a new one."""
        local.settle_on_n1(cluster)
        local.hear(local.n1_dies(cluster))
        assert cluster.world.holder() == "n2"
        cluster.world.associate("n1")  # the call of term 1, minutes late
        local.hear(cluster.runs("n2", public_ips=()), after_seconds=65)
        assert (cluster.holder, cluster.address.term) == ("n2", 3)
        assert cluster.world.holder() == "n2"


class TestR090Release:
    def released(self, cluster: Cluster) -> Any:
        return cluster.stands_by("n1", for_ms=61_000, public_ips=(cluster.public_ip,))

    def test_a_released_address_that_nobody_claims_is_disassociated(
        self, aws: EmbeddedAws, cluster: Cluster, local: Local
    ) -> None:
        local.settle_on_n1(cluster)
        local.wait(65)
        since = aws.journal.now()
        local.hear(cluster.stands_by("n1", for_ms=59_000))
        assert cluster.moves(since) == []
        local.hear(self.released(cluster))
        assert [m.operation for m in cluster.moves(since)] == ["DisassociateAddress"]
        assert (cluster.address.holder, cluster.address.association_id) == (None, None)
        assert (cluster.address.phase, cluster.address.term) == (Phase.SETTLED, 1)
        assert len(cluster.history("release")) == 1

    def test_a_release_cannot_remove_an_association_that_is_not_the_recorded_one(
        self, aws: EmbeddedAws, cluster: Cluster, local: Local
    ) -> None:
        local.settle_on_n1(cluster)
        local.wait(65)
        cluster.world.associate("n2")
        since = aws.journal.now()
        local.hear(self.released(cluster))
        assert local.calls.made.count("DisassociateAddress") == 1
        assert cluster.moves(since) == []
        assert cluster.world.holder() == "n2"
        assert (cluster.address.holder, cluster.address.phase) == (None, Phase.SETTLED)

    def test_a_claim_overtakes_a_release_that_nobody_finished(
        self, cluster: Cluster, local: Local
    ) -> None:
        local.settle_on_n1(cluster)
        local.wait(65)
        old = cluster.address.association_id
        assert old is not None
        local.crashes(after=2, what=lambda: local.hear(self.released(cluster)))
        assert (cluster.address.holder, cluster.address.phase) == (None, Phase.MOVING)
        local.hear(cluster.claims("n2", lost=()), after_seconds=1)
        assert (cluster.holder, cluster.world.holder()) == ("n2", "n2")
        local.arbiter.elastic_ips.disassociate(old)  # the release's own call, late
        assert cluster.world.holder() == "n2"
