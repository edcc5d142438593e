"""Input that must change nothing: the whole table stays, the log says why, the metric counts it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import pytest
from core.harness import Cluster
from core.local import Local
from core.observed import Invocations, dead_letters, lines, messages, metrics

from lab.embedded.cloud import EmbeddedAws
from lab.embedded.runtime import Invocation
from lab.embedded.world import CLUSTER_TAG, World

ROOT = Path(__file__).parents[3]

REJECTED = sorted((ROOT / "events" / "rejected").glob("*.json"))
ACCEPTED = sorted((ROOT / "events" / "accepted").glob("*.json"))


@pytest.fixture(scope="module")
def calm(
    running: EmbeddedAws, invocations: Invocations, local_parts: Local, tmp_path_factory: Any
) -> Cluster:
    """One cluster for all: nothing in this module may change it."""
    folder: Path = tmp_path_factory.mktemp("metadata")
    made = Cluster(running, World(running, folder, cluster_id="calm"), invocations, local_parts)
    made.settle_on_n1()
    return made


@dataclass
class Untouched:
    """Sees to it that the table, the addresses and the dead-letter queue stay as they are."""

    cluster: Cluster

    def __enter__(self) -> Self:
        self.since = self.cluster.aws.journal.now()
        self.before = self.cluster.table()
        return self

    def __exit__(self, *_error: object) -> None:
        assert self.cluster.table() == self.before
        assert self.cluster.aws.journal.moves(since=self.since) == []
        assert dead_letters(self.cluster.aws) == []


@pytest.fixture
def untouched(calm: Cluster) -> Iterator[Untouched]:
    with Untouched(calm) as guard:
        yield guard


def assert_rejected(invocation: Invocation, reason: str) -> str:
    """It ended well, so that nobody retries; it said why once, and counted it by reason."""
    assert invocation.error is None
    (line,) = lines(invocation)
    assert (line["level"], line["reason"]) == ("WARNING", reason)
    assert metrics(invocation) == [
        ("RejectedReports", "Reason", reason, 1),
        ("RejectedReports", "Stack", "eip-arbiter", 1),
    ]
    return messages(invocation)


def as_ours(cluster: Cluster, path: Path) -> Any:
    """A sample in which the nodes and the cluster are ours, so that only its own flaw is left."""
    text = path.read_text()
    for node, sample in (("n1", "i-0aaaaaaaaaaaaaaa1"), ("n2", "i-0bbbbbbbbbbbbbbb2")):
        text = text.replace(sample, cluster.instance(node))
    return json.loads(text.replace('"cluster_id": "web"', f'"cluster_id": "{cluster.id}"'))


@pytest.mark.parametrize("path", REJECTED, ids=lambda path: path.stem)
@pytest.mark.usefixtures("untouched")
def test_every_rejected_sample_changes_nothing(calm: Cluster, path: Path) -> None:
    sample = as_ours(calm, path)
    event = sample["event"] | {"id": f"sample {path.stem}"}
    # As EventBridge delivers it: it would not carry all of these itself.
    calm.aws.functions.invoke_async("Arbitrate", json.dumps(event).encode())
    (invocation,) = calm.invocations.of_event(event["id"])
    assert_rejected(invocation, sample["reason"])


@pytest.mark.parametrize("path", ACCEPTED, ids=lambda path: path.stem)
def test_every_accepted_sample_is_taken_in(new_cluster: Callable[[], Cluster], path: Path) -> None:
    cluster = new_cluster()
    event = as_ours(cluster, path) | {"id": f"sample {path.stem}"}
    cluster.aws.functions.invoke_async("Arbitrate", json.dumps(event).encode())
    (invocation,) = cluster.invocations.of_event(event["id"])
    assert invocation.error is None
    assert "RejectedReports" not in [name for name, *_ in metrics(invocation)]
    node = cluster.snapshot.nodes[event["detail"]["instance_id"]]
    assert node.report is not None
    assert (node.report.incarnation, node.report.seq) == (
        event["detail"]["incarnation"],
        event["detail"]["seq"],
    )


@pytest.mark.usefixtures("untouched")
def test_a_node_that_speaks_for_another_through_the_bus_is_rejected(calm: Cluster) -> None:
    forged = replace(calm.claims("n1"), instance_id=calm.instance("n2"))
    event_id = calm.put(forged, Source=f"eip-arbiter.node/{calm.world.nodes['n1'].arn}")
    said = assert_rejected(calm.invocations.of_event(event_id)[0], "identity")
    assert f"{calm.instance('n1')} speaks for {calm.instance('n2')}" in said


@pytest.mark.parametrize("old", [(2, 6), (2, 7), (1, 99)], ids="{0[0]}.{0[1]}".format)
def test_an_old_report_is_stale_whatever_it_claims(cluster: Cluster, old: tuple[int, int]) -> None:
    cluster.settle_on_n1()
    cluster.say(cluster.stands_by("n2", incarnation=2, seq=7))
    with Untouched(cluster):
        late = cluster.claims("n2", incarnation=old[0], seq=old[1])
        said = assert_rejected(cluster.say(late), "stale")
    assert said == f"report {old[0]}.{old[1]} of n2 is not newer than 2.7, which is known"


def test_an_event_that_eventbridge_delivers_twice_is_taken_in_once(cluster: Cluster) -> None:
    cluster.settle_on_n1()
    doubled = cluster.aws.events.tamper(duplicate=1.0)
    event_id = cluster.put(cluster.stands_by("n2"))
    both = cluster.invocations.of_event(event_id, count=2)
    doubled.clear()
    assert [invocation.error for invocation in both] == [None, None]
    counted = [metric for invocation in both for metric in metrics(invocation)]
    assert counted == [
        ("RejectedReports", "Reason", "stale", 1),
        ("RejectedReports", "Stack", "eip-arbiter", 1),
    ]


@pytest.mark.usefixtures("untouched")
def test_a_report_for_a_cluster_that_has_no_address_is_rejected(
    new_cluster: Callable[..., Cluster],
) -> None:
    stranger = new_cluster(resources=())
    said = assert_rejected(stranger.say(stranger.claims("n1")), "unknown_cluster")
    assert f"no Elastic IP is tagged eip-arbiter:cluster={stranger.id}" in said


@pytest.mark.parametrize(
    ("tag", "value"), [("eip-arbiter:resource", "eip"), ("eip-arbiter:private-ip-index", "0")]
)
@pytest.mark.usefixtures("untouched")
def test_two_addresses_that_would_displace_each_other_are_rejected(
    new_cluster: Callable[..., Cluster], tag: str, value: str
) -> None:
    stranger = new_cluster(resources=("eip", "vip"))
    first, second = stranger.world.addresses.values()
    ec2 = stranger.aws.client("ec2", "looks")
    ec2.create_tags(Resources=[second.allocation_id], Tags=[{"Key": tag, "Value": value}])
    said = assert_rejected(stranger.say(stranger.claims("n1")), "ambiguous_address")
    both = " and ".join(sorted([first.public_ip, second.public_ip]))
    assert said == f"{both} of cluster {stranger.id} have the same {tag}"


@pytest.mark.usefixtures("untouched")
def test_an_instance_without_the_tag_is_rejected(
    calm: Cluster, new_cluster: Callable[..., Cluster]
) -> None:
    stranger = new_cluster()
    ec2 = calm.aws.client("ec2", "looks")
    ec2.delete_tags(Resources=[stranger.instance("n1")], Tags=[{"Key": CLUSTER_TAG}])
    assert_rejected(stranger.say(stranger.claims("n1")), "not_tagged")


@pytest.mark.usefixtures("untouched")
def test_an_instance_of_another_cluster_is_rejected(
    calm: Cluster, new_cluster: Callable[..., Cluster]
) -> None:
    stranger = new_cluster()
    claim = replace(stranger.claims("n1", lost=("n2",)), cluster_id=calm.id)
    said = assert_rejected(stranger.say(claim), "not_tagged")
    assert said == f"{stranger.instance('n1')} is not tagged eip-arbiter:cluster={calm.id}"


@pytest.mark.usefixtures("untouched")
def test_an_instance_that_ec2_does_not_know_is_rejected(calm: Cluster) -> None:
    event = as_ours(calm, ACCEPTED[0])
    unknown = json.dumps(event | {"id": "unknown"}).replace(
        event["detail"]["instance_id"], "i-0123456789abcdef0"
    )
    calm.aws.functions.invoke_async("Arbitrate", unknown.encode())
    assert_rejected(calm.invocations.of_event("unknown")[0], "not_tagged")


@pytest.mark.usefixtures("untouched")
def test_what_is_no_event_at_all_is_rejected(calm: Cluster) -> None:
    payloads: tuple[Any, ...] = ([], "text", 7, None)
    for payload in payloads:
        assert_rejected(calm.aws.invoke("Arbitrate", payload), "malformed")


@pytest.mark.parametrize(
    "detail",
    [
        {},
        {"instance-id": "i-1", "state": "stopped"},
        {"instance-id": "i-0123456789abcdef0"},
        {"instance-id": "i-0123456789abcdef0", "state": "sto\x1bpped"},
        {"instance-id": ["i-0123456789abcdef0"], "state": "stopped"},
    ],
    ids=json.dumps,
)
@pytest.mark.usefixtures("untouched")
def test_a_malformed_instance_state_event_is_rejected(calm: Cluster, detail: Any) -> None:
    event = {"source": "aws.ec2", "detail": detail}
    assert_rejected(calm.aws.invoke("Arbitrate", event), "malformed")


def test_a_node_says_in_its_log_line_nothing_but_printable_text(calm: Cluster) -> None:
    sample = as_ours(calm, ROOT / "events/rejected/node-name-with-control-character.json")
    invocation = calm.aws.invoke("Arbitrate", sample["event"])
    assert all(line.text.isprintable() for line in invocation.logs)


def test_a_good_report_right_after_a_bad_one_works(cluster: Cluster) -> None:
    cluster.settle_on_n1()
    cluster.say(replace(cluster.claims("n2"), cluster_id="other"))
    heard = cluster.say(cluster.stands_by("n2"))
    assert (heard.error, heard.cold, lines(heard)) == (None, False, [])
    report = cluster.snapshot.nodes[cluster.instance("n2")].report
    assert report is not None
    assert report.seq == cluster.seqs["n2"]
