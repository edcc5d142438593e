"""What is told on the bus and to people, and that telling never hurts a move."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from core.harness import Cluster
from core.local import Local, client
from core.observed import Invocations, lines, metrics
from eip_arbiter.arbitrate import announcing
from eip_arbiter.arbitrate.announcing import SOURCE
from eip_arbiter.aws import eventbridge_announcer
from eip_arbiter.aws.clients import EVENTS_CONFIG
from eip_arbiter.aws.eventbridge_announcer import REPEAT_MS, EventBridgeAnnouncer
from eip_contract.report import DETAIL_TYPE, ResourceState

from lab.embedded.cloud import EmbeddedAws

EVENTS = Path(__file__).parents[3] / "events"
Event = dict[str, Any]
Phone = Callable[[str], str]


@pytest.fixture(scope="module")
def bus(running: EmbeddedAws) -> list[Event]:
    """All that the control plane announces, as it is accepted by the bus."""
    heard: list[Event] = []

    def listen(_bus: str, event: Event) -> None:
        if event["detail-type"] != DETAIL_TYPE and event["source"] == SOURCE:
            heard.append(event)

    running.events.subscribe(listen)
    return heard


def told(bus: list[Event], cluster: Cluster, kind: str = "") -> list[Event]:
    """The details of what was announced about a cluster, each checked against its schema."""
    found = [event for event in bus if event["detail"]["cluster_id"] == cluster.id]
    for event in found:
        name = f"{event['detail-type'].lower().replace(' ', '-')}.schema.json"
        jsonschema.validate(event["detail"], json.loads((EVENTS / name).read_text()))
    return [event["detail"] for event in found if kind in ("", event["detail-type"])]


def announcer(aws: EmbeddedAws, local: Local, bus_name: str = "") -> EventBridgeAnnouncer:
    """The shipped announcer in this process."""
    events = client(aws, "events", EVENTS_CONFIG)
    return EventBridgeAnnouncer(events, bus_name or aws.outputs["BusName"], local.told)


@pytest.fixture
def talking(aws: EmbeddedAws, local: Local) -> Local:
    """The arbiter in this process, with a bus."""
    local.arbiter = replace(local.arbiter, announcer=announcer(aws, local))
    return local


def test_a_move_is_told_once_after_it_settled(
    aws: EmbeddedAws, cluster: Cluster, bus: list[Event]
) -> None:
    cluster.settle_on_n1()
    since = aws.journal.now()
    cluster.say(cluster.report("n1", cause="release", for_ms=0, public_ips=(cluster.public_ip,)))
    cluster.say(cluster.claims("n2", lost=()))
    cluster.say(cluster.runs("n2"))
    (moved,) = told(bus, cluster)
    assert (moved["from"]["node"], moved["holder"]["node"], moved["rule"]) == ("n1", "n2", "R061")
    assert moved["term"] == 2
    assert moved["sentence"] == cluster.history("grant")[-1]["sentence"]["S"].removeprefix("R061: ")
    operations = [call.operation for call in cluster.calls(since)]
    assert operations[-2:] == ["PutEvents", "UpdateItem"], "after the settlement, before n2's word"
    assert operations.count("PutEvents") == 1


@pytest.fixture
def phone(aws: EmbeddedAws, cluster: Cluster, invocations: Invocations) -> Iterator[Phone]:
    """A subscriber of the notices: waits for the text that says of this cluster `kind`."""
    sqs, topic = aws.client("sqs", "looks"), aws.outputs["NoticesTopicArn"]
    name = f"phone-{cluster.id}"
    url = sqs.create_queue(QueueName=name)["QueueUrl"]
    arn = f"arn:aws:sqs:{aws.region}:{aws.account_id}:{name}"
    subscribed = aws.client("sns", "looks").subscribe(
        TopicArn=topic, Protocol="sqs", Endpoint=arn, ReturnSubscriptionArn=True
    )

    def wait(kind: str) -> str:
        begins = f'"{kind}, cluster {cluster.id}:'

        def look() -> list[Event]:
            messages = sqs.receive_message(QueueUrl=url).get("Messages", [])
            told = [json.loads(message["Body"]) for message in messages]
            return [notice for notice in told if notice["Message"].startswith(begins)]

        return str(invocations.eventually(look)[0]["Message"])

    yield wait
    aws.client("sns", "looks").unsubscribe(SubscriptionArn=subscribed["SubscriptionArn"])


def test_people_are_told_in_one_line(cluster: Cluster, phone: Phone) -> None:
    cluster.settle_on_n1()
    cluster.operate("failover", target="n2", request_id="ops-1")
    assert phone("Address Moved") == (
        f'"Address Moved, cluster {cluster.id}: n2 gets {cluster.public_ip} (eip) under term 2: '
        'an operator ordered it (order ops-1)"'
    )


def test_people_are_told_of_a_time_out_though_its_text_has_quotes(
    aws: EmbeddedAws, cluster: Cluster, talking: Local, phone: Phone
) -> None:
    # EventBridge escapes nothing in its templates, and botocore quotes the endpoint.
    talking.settle_on_n1(cluster)
    aws.faults.set("blackhole", principal="local", operation="AssociateAddress")
    talking.hear(cluster.report("n1", cause="release"))
    talking.hear(cluster.claims("n2", lost=()))
    assert 'endpoint URL: "http' in str(talking.told)
    text = json.loads(phone("Move Failed"))
    assert f"Read timeout on endpoint URL: '{aws.endpoint_url}/'" in text


def test_people_are_told_of_an_ill_holder_whatever_its_checks_say(
    cluster: Cluster, talking: Local, phone: Phone
) -> None:
    talking.settle_on_n1(cluster)
    ill = replace(cluster.runs("n1"), failing=('disk "C:\\data" is full',))
    talking.hear(ill)
    talking.hear(cluster.claims("n2", lost=()))
    assert "(disk 'C:/data' is full)" in json.loads(phone("Address Moved"))


@pytest.mark.parametrize("odd", ['"', "\\", "\n", "\r\n", "\x00", "\x1f", "\x7f"])
def test_no_sentence_breaks_the_quotes_that_it_is_put_into(cluster: Cluster, odd: str) -> None:
    cluster.settle_on_n1()
    failed = announcing.move_failed(cluster.snapshot, cluster.address, "Odd", f"a{odd}b", 1)
    for said in (failed, failed.with_left_out(2)):
        assert json.loads('"' + said.detail["sentence"] + '"').isprintable()


def test_a_split_brain_is_told_once_a_challenge(
    cluster: Cluster, talking: Local, bus: list[Event]
) -> None:
    talking.settle_on_n1(cluster)
    for _ in range(3):
        talking.hear(cluster.claims("n2"))
        talking.hear(cluster.runs("n1", lost=("n2",)))
    (split,) = told(bus, cluster)
    assert (split["holder"]["node"], split["claimant"]["node"]) == ("n1", "n2")
    assert split["rule"] == "R072"


def test_a_standby_that_claims_and_is_calm_by_turns_is_told_of_each_five_minutes(
    cluster: Cluster, talking: Local, bus: list[Event]
) -> None:
    talking.settle_on_n1(cluster)
    challenges = 0
    while len(told(bus, cluster)) < 2:
        talking.hear(cluster.claims("n2"), after_seconds=2)
        talking.hear(cluster.runs("n1", lost=("n2",)))
        talking.hear(cluster.stands_by("n2"))
        challenges += 1
    first, again = told(bus, cluster, "Split Brain")
    assert again["at_ms"] - first["at_ms"] >= REPEAT_MS
    assert again["left_out"] == challenges - 2
    assert again["sentence"].endswith(f"({challenges - 2} more like this in between)")
    assert "left_out" not in first


def test_a_holder_that_denies_its_address_has_not_moved_it(
    cluster: Cluster, talking: Local, bus: list[Event]
) -> None:
    talking.settle_on_n1(cluster)
    for _ in range(4):
        talking.hear(cluster.runs("n1", public_ips=()), after_seconds=20)
    assert (cluster.address.rule, cluster.world.holder()) == ("R080", "n1")
    assert told(bus, cluster) == []
    assert "Moves" not in talking.told.of("count")


def test_a_move_whose_reply_was_lost_is_told_though_it_is_found_done(
    aws: EmbeddedAws, cluster: Cluster, talking: Local, bus: list[Event]
) -> None:
    talking.settle_on_n1(cluster)
    aws.faults.set("lost_reply", principal="local", operation="AssociateAddress", times=2)
    talking.hear(cluster.report("n1", cause="release"))
    talking.hear(cluster.claims("n2", lost=()))
    talking.hear(cluster.claims("n2", lost=()), after_seconds=11)
    (moved,) = told(bus, cluster, "Address Moved")
    assert (moved["from"]["node"], moved["holder"]["node"]) == ("n1", "n2")


def test_the_memory_of_what_was_told_is_bounded(
    aws: EmbeddedAws, cluster: Cluster, local: Local, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(eventbridge_announcer, "MOST_REMEMBERED", 2)
    local.settle_on_n1(cluster)
    tells = announcer(aws, local)

    def blocked(cluster_id: str) -> bool:
        snapshot = replace(cluster.snapshot, cluster_id=cluster_id)
        at = snapshot.addresses["eip"]
        return tells.announce(announcing.blocked(snapshot, at, "R040", "why", local.now_ms))

    assert [blocked(name) for name in ("a", "b", "b", "c", "a")] == [True, True, False, True, True]


def test_a_failed_move_is_told_once_in_five_minutes_and_its_success_too(
    aws: EmbeddedAws, cluster: Cluster, talking: Local, bus: list[Event]
) -> None:
    talking.settle_on_n1(cluster)
    fault = aws.faults.set(
        "error", principal="local", operation="AssociateAddress", code="Odd", status=400
    )
    talking.hear(cluster.report("n1", cause="release"))
    for _ in range(REPEAT_MS // 20_000):
        talking.hear(cluster.claims("n2", lost=()), after_seconds=20)
    (failed,) = told(bus, cluster)
    assert failed["code"] == "Odd"
    assert "is resumed by R031" in failed["sentence"]
    talking.hear(cluster.claims("n2", lost=()), after_seconds=21)
    assert len(told(bus, cluster, "Move Failed")) == 2
    fault.clear()
    talking.hear(cluster.claims("n2", lost=()), after_seconds=20)
    (moved,) = told(bus, cluster, "Address Moved")
    assert (moved["from"]["node"], moved["holder"]["node"]) == ("n1", "n2"), "though resumed"


def test_a_blocked_move_is_told_once_while_its_claim_is_repeated(
    cluster: Cluster, talking: Local, bus: list[Event]
) -> None:
    talking.settle_on_n1(cluster)
    snapshot = cluster.snapshot
    moves = (talking.now_ms,) * talking.arbiter.policy.brake_moves
    busy = replace(snapshot.addresses["eip"], recent_moves_ms=moves)
    talking.arbiter.store.commit(snapshot, busy, ())
    talking.hear(cluster.runs("n1", failing=("disk full",)))
    for _ in range(4):
        talking.hear(cluster.claims("n2", lost=()))
    (blocked,) = told(bus, cluster)
    assert blocked["rule"] == "R040"
    assert "`acknowledge`" in blocked["sentence"]


class TestWhenTheBusIsAway:
    def test_the_move_is_made_and_what_was_not_told_is_counted_and_logged_in_full(
        self, aws: EmbeddedAws, cluster: Cluster, bus: list[Event]
    ) -> None:
        cluster.settle_on_n1()
        aws.faults.set("throttle", principal="Arbitrate", operation="PutEvents")
        cluster.say(cluster.report("n1", cause="release"))
        granted = cluster.say(cluster.claims("n2", lost=()))
        assert (granted.error, cluster.world.holder()) == (None, "n2")
        assert cluster.address.phase.value == "settled"
        assert told(bus, cluster) == []
        (line,) = lines(granted, "ERROR")
        assert line["message"].startswith("'Address Moved' was not sent to eip-arbiter: ")
        assert line["event_detail"]["sentence"].startswith("n2 gets ")
        counted = [found for found in metrics(granted) if found[0] == "EventsLost"]
        assert counted == [
            ("EventsLost", "Cluster", cluster.id, 1),
            ("EventsLost", "Stack", "eip-arbiter", 1),
        ]

    def test_a_bus_that_swallows_everything_leaves_the_invocation_in_time(
        self, aws: EmbeddedAws, cluster: Cluster
    ) -> None:
        cluster.settle_on_n1()
        aws.faults.set("blackhole", principal="Arbitrate", operation="PutEvents")
        cluster.say(cluster.report("n1", cause="release"))
        granted = cluster.say(cluster.claims("n2", lost=()))
        assert (granted.error, cluster.world.holder()) == (None, "n2")

    def test_an_entry_that_eventbridge_refuses_is_counted_too(
        self, aws: EmbeddedAws, cluster: Cluster, local: Local
    ) -> None:
        local.settle_on_n1(cluster)
        nowhere = announcer(aws, local, "nobodys")
        local.arbiter = replace(local.arbiter, announcer=nowhere)
        local.hear(cluster.report("n1", cause="release"))
        local.hear(cluster.claims("n2", lost=()))
        assert cluster.world.holder() == "n2"
        assert "EventsLost" in local.told.of("count")
        assert "Event bus nobodys does not exist" in str(local.told)

    def test_a_lasting_condition_that_was_not_told_is_told_by_the_next_report(
        self, aws: EmbeddedAws, cluster: Cluster, talking: Local, bus: list[Event]
    ) -> None:
        talking.settle_on_n1(cluster)
        aws.faults.set("error", principal="local", operation="AssociateAddress", status=400)
        away = aws.faults.set("throttle", principal="local", operation="PutEvents")
        talking.hear(cluster.report("n1", cause="release"))
        talking.hear(cluster.claims("n2", lost=()))
        assert told(bus, cluster) == []
        away.clear()
        talking.hear(cluster.claims("n2", lost=()), after_seconds=20)
        assert len(told(bus, cluster, "Move Failed")) == 1


def test_two_addresses_that_move_at_once_are_told_in_one_call_after_both_have_settled(
    aws: EmbeddedAws, new_cluster: Any, talking: Local, bus: list[Event]
) -> None:
    cluster = new_cluster(resources=("eip", "vip"))
    both = {
        "resources": {name: ResourceState("started", 0) for name in ("eip", "vip")},
        "awaiting": ("eip", "vip"),
    }
    since = aws.journal.now()
    talking.hear(cluster.claims("n1", lost=(), **both))
    operations = [call.operation for call in cluster.calls(since, "local")]
    assert operations.count("AssociateAddress") == 2
    assert operations.count("PutEvents") == 1
    assert operations[-1] == "PutEvents"
    assert sorted(moved["resource"] for moved in told(bus, cluster)) == ["eip", "vip"]
