"""A stack update while a failover is under way: old and new version carry the same move on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from core.harness import Cluster
from core.local import Local
from core.observed import Invocations
from eip_arbiter.decision.snapshot import Phase

from lab.embedded.cloud import EmbeddedAws
from lab.embedded.intrinsics import TemplateError
from lab.embedded.stack import Stack
from lab.embedded.translate import translate

ROOT = Path(__file__).parents[2]
Update = Callable[..., Stack]


@pytest.fixture
def update(aws: EmbeddedAws) -> Iterator[Update]:
    """Updates the stack with other parameters, and takes it back in the end."""

    def to(**parameters: str) -> Stack:
        translation = translate(ROOT / "template.yaml", {"AnswerSeconds": "2", **parameters})
        updated = Stack(translation, aws.site, former=aws.stack)
        updated.deploy()
        aws.stack = updated
        return updated

    yield to
    to()


def released(cluster: Cluster) -> None:
    """n1 lets go of its address, as at a planned stop."""
    cluster.say(cluster.report("n1", state="stopped", public_ips=(cluster.public_ip,)))


def eventually(look: Callable[[], Any], what: str, seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not look():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.02)


def test_an_update_while_a_move_waits_for_ec2_loses_no_report_and_no_line(
    aws: EmbeddedAws, cluster: Cluster, invocations: Invocations, update: Update
) -> None:
    cluster.settle_on_n1()
    released(cluster)
    since = aws.journal.now()
    held = aws.faults.set(
        "slow", principal="Arbitrate", operation="AssociateAddress", seconds=30, times=1
    )
    first = cluster.put(cluster.claims("n2", lost=()))
    eventually(lambda: held.hits == 1, "the call to EC2 is held back")
    assert (cluster.address.phase, cluster.holder) == (Phase.MOVING, "n2")
    before = cluster.table().keys()
    update(AnswerSeconds="4", LogRetentionDays="7")
    meanwhile = [cluster.put(cluster.claims("n2", lost=())) for _ in range(3)]
    for event in meanwhile:
        (taken,) = invocations.of_event(event)
        assert taken.error is None
    assert cluster.moves(since) == [], "nobody else made the move in the meantime"
    held.clear()
    (carried_on,) = invocations.of_event(first)
    assert carried_on.error is None
    assert (cluster.address.phase, cluster.address.term) == (Phase.SETTLED, 2)
    assert cluster.world.holder() == "n2"
    # A slow machine lets the held call time out; the same invocation tries once more.
    assert [m.to_instance for m in cluster.moves(since) if m.from_instance != m.to_instance] == [
        cluster.instance("n2")
    ]
    assert cluster.granted_terms() == [1, 2]
    assert before <= cluster.table().keys()
    assert aws.functions.get("Arbitrate").spec.environment["ANSWER_SECONDS"] == "4"
    assert cluster.say(cluster.runs("n2")).error is None, "by the new version"


def test_a_move_that_the_old_version_began_is_resumed_by_the_new_one(
    aws: EmbeddedAws, cluster: Cluster, local: Local, update: Update
) -> None:
    local.settle_on_n1(cluster)
    claim = local.n1_dies(cluster)
    since = aws.journal.now()
    refused = aws.faults.set("refuse", principal="local", operation="AssociateAddress")
    local.hear(claim)
    assert refused.hits >= 1
    refused.clear()
    assert (cluster.address.phase, cluster.holder) == (Phase.MOVING, "n2")
    update(AnswerSeconds="4", MoveSeconds="11")
    newer = Local(aws)
    assert newer.arbiter.policy.answer_ms == 4_000
    newer.now_ms = local.now_ms
    newer.hear(cluster.claims("n2"), after_seconds=local.arbiter.policy.move_ms / 1000)
    assert newer.told.of("decided")[0] == "R031"
    assert (cluster.address.phase, cluster.address.term) == (Phase.SETTLED, 2)
    assert cluster.world.holder() == "n2"
    assert [m.operation for m in cluster.moves(since)] == ["AssociateAddress"]
    assert cluster.granted_terms() == [1, 2]


def test_an_environment_of_the_old_version_takes_nothing_new(
    aws: EmbeddedAws, cluster: Cluster, update: Update
) -> None:
    cluster.settle_on_n1()
    cluster.say(cluster.runs("n1"))
    old = aws.functions.get("Arbitrate").environments()
    assert old
    update(AnswerSeconds="3")
    assert cluster.say(cluster.runs("n1")).cold
    assert not any(environment.alive for environment in old)


def test_what_this_aws_cannot_update_is_refused_by_name(aws: EmbeddedAws, update: Update) -> None:
    update(NotifyEmail="somebody@example.com")
    with pytest.raises(TemplateError, match=r"cannot delete.*NotifyByEmail"):
        update()
    aws.stack.resources.pop("NotifyByEmail")
