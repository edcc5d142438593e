"""The look of each minute, at the real function and at instants that the test sets."""

from __future__ import annotations

from dataclasses import replace

import pytest
from core.harness import Cluster
from core.local import CrashedHere, Local
from core.observed import lines, metrics
from core.watch.watched import Heard, Watched
from eip_arbiter.arbitrate.announcing import Announcement
from eip_arbiter.aws.dynamodb_watch import DynamoDbMemory
from eip_arbiter.decision.snapshot import Phase
from eip_arbiter.ports import Ec2Word, Seen, Unready

from lab.embedded.cloud import EmbeddedAws


class TestTheRealFunction:
    def test_finds_a_calm_cluster_ready_for_two_descriptions_two_reads_and_a_dry_run(
        self, aws: EmbeddedAws, cluster: Cluster
    ) -> None:
        cluster.settle_on_n1()
        cluster.say(cluster.runs("n1"))
        cluster.say(cluster.stands_by("n2"))
        aws.invoke("Watch", {})
        since = aws.journal.now()
        looked = aws.invoke("Watch", {})
        assert looked.error is None
        assert looked.result["clusters"] >= 1
        clusters = looked.result["clusters"]
        made = [call.operation for call in cluster.calls(since, "Watch")]
        assert made.count("DescribeAddresses") == 1
        assert made.count("DescribeInstances") == 1
        assert made.count("GetItem") == 1 + 2 * clusters
        assert "PutItem" not in made
        dry_runs = [c for c in cluster.calls(since, "Watch") if c.operation == "AssociateAddress"]
        assert dry_runs
        assert {call.outcome for call in dry_runs} == {"DryRunOperation"}
        assert cluster.moves(since) == []
        ((gauge, dimension, stack, value),) = [
            m for m in metrics(looked) if m[0] in ("NotReady", "HolderSilent")
        ]
        assert (gauge, dimension, stack, value) == ("NotReady", "Stack", "eip-arbiter", 0)
        assert lines(looked) == []

    def test_is_what_the_schedule_invokes(self, aws: EmbeddedAws) -> None:
        (rule,) = [
            rule
            for rule in aws.client("events", "looks").list_rules()["Rules"]
            if rule.get("ScheduleExpression")
        ]
        assert rule["ScheduleExpression"] == "rate(1 minute)"
        (target,) = aws.client("events", "looks").list_targets_by_rule(Rule=rule["Name"])["Targets"]
        watch = aws.functions.get("Watch").spec.arn
        assert target["Arn"] == watch
        assert aws.functions.refusal(watch, "events.amazonaws.com", rule["Arn"]) is None

    def test_an_aws_error_fails_the_run_and_writes_no_metric(self, aws: EmbeddedAws) -> None:
        aws.faults.set("error", principal="Watch", operation="DescribeAddresses", status=500)
        looked = aws.invoke("Watch", {})
        assert looked.error is not None
        assert metrics(looked) == []


class TestReadiness:
    def test_is_said_of_a_calm_cluster_and_nothing_is_written_but_the_cluster(
        self, watched: Watched
    ) -> None:
        watched.calm()
        before = watched.cluster.item()
        assert watched.look(1) == {"clusters": 1, "not_ready": 0}
        assert watched.gauges == [("NotReady", 0)]
        assert watched.seen == Seen()
        assert watched.cluster.item() == before
        assert watched.heard.said == []

    def test_a_problem_is_told_at_the_second_look_once_and_its_end_is_logged(
        self, watched: Watched
    ) -> None:
        for _ in range(3):
            watched.calm(failing=("disk full",))
            assert watched.look(1) == {"clusters": 1, "not_ready": 1}
        (told,) = watched.heard.said
        assert told.kind == "Not Ready"
        assert told.detail["problems"] == ["n2 is unhealthy (disk full)"]
        assert told.detail["sentence"] == (
            f"a failover of {watched.cluster.public_ip} (eip) would not work now: "
            "n2 is unhealthy (disk full)"
        )
        watched.calm()
        watched.look(1)
        assert "would work again" in str(watched.local.told)
        assert watched.seen == Seen()

    def test_a_pause_is_told_as_what_it_is_since_orders_are_excepted(
        self, watched: Watched
    ) -> None:
        pause = {"verb": "pause", "cluster": watched.cluster.id, "minutes": 60}
        watched.local.operate(pause)
        for _ in range(2):
            watched.calm()
            assert watched.look(1)["not_ready"] == 1
        (told,) = watched.heard.said
        assert told.kind == "Not Ready"
        assert told.detail["sentence"] == (
            f"{watched.cluster.public_ip} (eip) would not fail over by itself now, an order still "
            f"works: {watched.cluster.id} is paused"
        )

    def test_the_flap_brake_alone_leaves_a_cluster_ready(self, watched: Watched) -> None:
        # R040 keeps the address on a holder that runs it; off a dead one it would still move.
        watched.calm()
        moves = (watched.local.now_ms,) * watched.local.arbiter.policy.brake_moves
        snapshot = watched.cluster.snapshot
        address = replace(snapshot.addresses["eip"], recent_moves_ms=moves)
        watched.local.arbiter.store.commit(snapshot, address, ())
        assert watched.look(1) == {"clusters": 1, "not_ready": 0}

    def test_a_failover_order_that_stands_pins_the_address_and_a_switchover_does_not(
        self, watched: Watched
    ) -> None:
        order = {"cluster": watched.cluster.id, "target": "n2"}
        watched.calm()
        watched.local.operate({"verb": "switchover", "holder": "n1", "request_id": "s-1", **order})
        assert watched.cluster.address.order is not None
        assert watched.look(1)["not_ready"] == 0
        watched.calm()
        watched.local.operate({"verb": "failover", "request_id": "f-1", **order})
        watched.calm()
        assert watched.look(1)["not_ready"] == 1
        assert watched.problems == "order f-1 pins it to n2"

    def test_a_problem_of_one_look_is_not_told(self, watched: Watched) -> None:
        watched.calm(failing=("disk full",))
        watched.look(1)
        watched.calm()
        watched.look(1)
        assert watched.heard.said == []

    def test_what_ec2_would_refuse_is_found_before_it_is_needed(
        self, aws: EmbeddedAws, watched: Watched
    ) -> None:
        aws.faults.set(
            "error",
            principal="local",
            operation="AssociateAddress",
            code="UnauthorizedOperation",
            status=403,
        )
        watched.calm()
        watched.look(1)
        assert watched.problems == "EC2 would not associate it with n2: UnauthorizedOperation"
        word = watched.seen.ec2["eip"]
        assert word.refusals == {watched.cluster.instance("n2"): watched.problems}
        assert (word.at_ms, word.drift) == (watched.local.now_ms, ())

    def test_an_interface_that_is_gone_is_replaced_by_the_one_that_ec2_describes(
        self, watched: Watched
    ) -> None:
        """A dry run is a check of permissions: it may not see that the interface is no more."""
        snapshot = watched.cluster.snapshot
        n2 = snapshot.nodes[watched.cluster.instance("n2")]
        gone = replace(n2, interface_id="eni-00000000000000bad")
        watched.local.arbiter.store.register(watched.cluster.id, gone, ())
        watched.calm()
        watched.look(1)
        assert watched.problems == ""
        assert watched.cluster.snapshot.nodes[n2.instance_id].interface_id == n2.interface_id

    def test_an_unfit_standby_is_not_asked_about_at_ec2(
        self, aws: EmbeddedAws, watched: Watched
    ) -> None:
        watched.calm(failing=("disk full",))
        since = aws.journal.now()
        watched.look(1)
        made = [call.operation for call in watched.cluster.calls(since, "local")]
        assert "AssociateAddress" not in made

    def test_what_ec2_tells_right_after_a_move_is_no_drift(
        self, aws: EmbeddedAws, watched: Watched
    ) -> None:
        aws.faults.describe_lag_seconds = 600.0
        for _ in range(2):
            watched.calm()
            assert watched.look(20)["not_ready"] == 0
        watched.local.wait(60)
        watched.calm()
        assert watched.look(1)["not_ready"] == 1

    def test_drift_is_found_in_ec2s_own_words(self, watched: Watched) -> None:
        watched.local.wait(60)
        watched.calm()
        watched.cluster.world.associate("n2")
        watched.look(1)
        interface = watched.cluster.world.nodes["n2"].interface_id
        assert watched.problems == (
            f"EC2 has {watched.cluster.public_ip} at {interface}, not at n1 (drift)"
        )
        assert watched.seen.ec2["eip"].drift == (watched.problems,)

    def test_an_address_that_lost_its_tag_is_still_looked_at(
        self, aws: EmbeddedAws, watched: Watched
    ) -> None:
        watched.calm()
        watched.look(1)
        allocation_id = watched.cluster.world.addresses["eip"].allocation_id
        aws.client("ec2", "looks").delete_tags(
            Resources=[allocation_id], Tags=[{"Key": "eip-arbiter:cluster"}]
        )
        watched.calm()
        watched.look(1)
        assert watched.problems.startswith(
            f"EC2 has no {watched.cluster.public_ip} that is tagged eip-arbiter:cluster="
        )


class TestSilence:
    def test_of_the_holder_is_told_once_and_counted_each_minute(self, watched: Watched) -> None:
        for _ in range(3):
            watched.local.hear(watched.cluster.stands_by("n2"))
            watched.look()
        silent = [said for said in watched.heard.said if said.kind == "Holder Silent"]
        assert len(silent) == 1
        assert silent[0].detail["silent_for_ms"] >= 60_000
        assert (
            silent[0]
            .detail["sentence"]
            .startswith(
                f"n1 holds {watched.cluster.public_ip} (eip) and has not reported in time; no other"
            )
        )
        assert watched.local.told.of("count").count("HolderSilent") == 3
        assert watched.cluster.holder == "n1", "silence alone moves nothing"

    def test_is_counted_beside_a_claim_too(self, watched: Watched) -> None:
        watched.local.operate({"verb": "pause", "cluster": watched.cluster.id, "minutes": 60})
        watched.local.wait(60)
        watched.local.hear(watched.cluster.claims("n2"))
        watched.look(1)
        assert watched.local.told.of("count").count("HolderSilent") == 1
        (silent,) = [said for said in watched.heard.said if said.kind == "Holder Silent"]
        assert silent.detail["sentence"].endswith("n2 claims it")

    def test_that_ended_and_begins_again_is_told_again(self, watched: Watched) -> None:
        watched.look()
        watched.calm()
        watched.look(1)
        assert watched.seen.silent_since_ms == {}
        watched.look()
        assert watched.heard.kinds.count("Holder Silent") == 2

    def test_that_is_left_out_is_told_by_a_later_look_while_it_lasts(
        self, watched: Watched
    ) -> None:
        class ToldLately(Heard):
            def announce(self, announcement: Announcement) -> bool:
                return super().announce(announcement) and len(self.said) > 4

        heard = ToldLately()
        arbiter = replace(watched.local.arbiter, announcer=heard)
        watched.watch = replace(watched.watch, arbiter=arbiter)
        assert [watched.look()["not_ready"] for _ in range(8)] == [1] * 8
        assert (heard.kinds.count("Holder Silent"), heard.kinds.count("Not Ready")) == (4, 2)

    def test_of_a_standby_is_a_matter_of_readiness(self, watched: Watched) -> None:
        watched.local.wait(60)
        watched.local.hear(watched.cluster.runs("n1"))
        watched.look(1)
        assert watched.seen.silent_since_ms == {}
        assert watched.problems == "n2 has not reported lately"


class TestWithoutReports:
    def test_a_move_that_nobody_finished_is_carried_on(
        self, watched: Watched, cluster: Cluster, local: Local
    ) -> None:
        local.hear(cluster.report("n1", cause="release"))
        # The claim's own record, and the grant's commit: then the invocation dies.
        local.crashes(2, lambda: local.hear(cluster.claims("n2", lost=())))
        assert (cluster.address.phase, cluster.world.holder()) == (Phase.MOVING, "n1")
        watched.look()
        assert (cluster.address.phase, cluster.world.holder()) == (Phase.SETTLED, "n2")
        assert "Address Moved" in watched.heard.kinds

    def test_a_move_that_ec2_still_refuses_is_stuck_and_said_to_be(
        self, aws: EmbeddedAws, watched: Watched, cluster: Cluster, local: Local
    ) -> None:
        aws.faults.set("error", principal="local", operation="AssociateAddress", status=400)
        local.hear(cluster.report("n1", cause="release"))
        local.hear(cluster.claims("n2", lost=()))
        watched.look()
        watched.look()
        assert watched.heard.kinds.count("Move Failed") == 3
        assert cluster.address.phase is Phase.MOVING

    def test_a_release_that_nobody_claims_is_carried_out(
        self, watched: Watched, cluster: Cluster, local: Local
    ) -> None:
        release_ms = local.arbiter.policy.release_ms
        local.wait(release_ms / 1000)
        # The report's own record: then its invocation dies.
        local.crashes(1, lambda: local.hear(cluster.report("n1", for_ms=release_ms)))
        assert cluster.world.holder() == "n1"
        watched.look(1)
        assert cluster.world.holder() is None
        assert "Address Moved" in watched.heard.kinds


def test_a_run_that_dies_after_it_told_tells_again_and_loses_nothing(watched: Watched) -> None:
    watched.calm(failing=("disk full",))
    watched.look(1)
    watched.calm(failing=("disk full",))
    watched.local.calls.made.clear()
    watched.local.calls.crash_after = 4
    with pytest.raises(CrashedHere):
        watched.look(1)
    watched.local.calls.crash_after = None
    watched.look(1)
    assert "Not Ready" in watched.heard.kinds
    assert watched.seen.unready["eip"].told


def test_what_is_remembered_comes_back_as_it_was(watched: Watched) -> None:
    word = Ec2Word(3, ("c",), {"i-0aaaaaaaaaaaaaaa1": "d"})
    seen = Seen({"eip": 1}, {"vip": Unready(2, told=True, problems=("a", "b"))}, {"eip": word})
    memory = DynamoDbMemory(watched.local.dynamodb, watched.cluster.table_name)
    memory.keep_seen(watched.cluster.id, seen)
    assert memory.seen(watched.cluster.id) == seen
    assert memory.seen("nobody") == Seen()
    known = memory.clusters()
    memory.keep_clusters(known | {"a", "b"})
    assert memory.clusters() == known | {"a", "b"}
    memory.keep_clusters(known)


def test_what_the_last_cluster_looked_at_gave_reason_to_say_is_sent(watched: Watched) -> None:
    class Sends(Heard):
        sent: tuple[str, ...] = ()

        def send(self) -> None:
            self.sent = (*self.sent, *self.kinds)
            self.said.clear()

    sends = Sends()
    arbiter = replace(watched.local.arbiter, announcer=sends)
    watched.watch = replace(watched.watch, arbiter=arbiter)
    watched.look()
    assert sends.sent == ("Holder Silent",)
