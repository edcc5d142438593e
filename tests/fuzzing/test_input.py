"""Hostile input through the shipped handlers: made from the schema, or broken at any place.

Two clusters live in a memory store, which tests hold to the DynamoDB store elsewhere, in front of a
fake EC2 that only notes what it is asked for.
"""

from __future__ import annotations

import copy
import importlib.util
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import builders
import jsonschema
import pytest
from control_plane.local import Told
from eip_arbiter.arbitration import Arbiter
from eip_arbiter.decision.snapshot import Address, Node, Snapshot
from eip_arbiter.inspecting import HistoryLine, Inspection
from eip_arbiter.ports import Association
from eip_arbiter.watching import Seen
from eip_contract.envelope import source_for
from eip_contract.report import DETAIL_TYPE
from fuzzing.from_schema import allowed_by
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from simulation.memory_store import MemoryStore

ROOT = Path(__file__).parents[2]
SCHEMA = json.loads((ROOT / "events" / "node-report.schema.json").read_text())
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)
ACCOUNT, REGION = "123456789012", "eu-central-1"
OF_CLUSTER = {
    "web": [builders.instance_id(1), builders.instance_id(2)],
    "other": [builders.instance_id(5), builders.instance_id(6)],
}
STRANGER = builders.instance_id(9)
THOROUGH = settings(
    max_examples=200,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


@dataclass
class FakeEc2:
    """Tags as they are at EC2, and associations as they were asked for; and what a reader needs."""

    asked: list[tuple[str, str]] = field(default_factory=list)

    def associate(self, allocation_id: str, interface_id: str, private_ip: str) -> str:
        assert private_ip
        self.asked.append((allocation_id, interface_id))
        return f"eipassoc-{len(self.asked)}"

    def disassociate(self, association_id: str) -> None:
        assert association_id.startswith("eipassoc-")

    def locate(self, allocation_id: str) -> Association | None:
        assert allocation_id
        return None

    def node(self, instance_id: str) -> tuple[str, Node] | None:
        for cluster_id, instances in OF_CLUSTER.items():
            if instance_id in instances:
                return cluster_id, Node(instance_id, f"eni-{instance_id}", ("10.0.0.10",))
        return None

    def newest(self, _cluster_id: str, limit: int) -> tuple[HistoryLine, ...]:
        return (HistoryLine(builders.NOW, "eip", 1, "grant", "R050", "a sentence"),)[:limit]

    def clusters(self) -> frozenset[str]:
        return frozenset(OF_CLUSTER)

    def keep_clusters(self, _cluster_ids: frozenset[str]) -> None:
        raise AssertionError("an operator's question keeps nothing")

    def troubles(self) -> dict[str, tuple[int, int]]:
        return {}

    def keep_troubles(self, _troubles: Any) -> None:
        raise AssertionError("an operator's question keeps nothing")

    def keep_seen(self, _cluster_id: str, _seen: Seen) -> None:
        raise AssertionError("an operator's question keeps nothing")

    def seen(self, _cluster_id: str) -> Seen:
        return Seen()

    def tagged(self) -> Mapping[str, Mapping[str, Association | None]]:
        return {cluster_id: {f"eipalloc-{cluster_id}": None} for cluster_id in OF_CLUSTER}

    def dry_run(self, _allocation_id: str, interface_id: str, _private_ip: str) -> str | None:
        return "UnauthorizedOperation" if interface_id.endswith("2") else None

    def addresses(self, cluster_id: str) -> tuple[Address, ...]:
        if cluster_id not in OF_CLUSTER:
            return ()
        return (Address("eip", f"eipalloc-{cluster_id}", f"203.0.113.{len(cluster_id)}"),)


class Region:
    """The shipped arbiter behind a shipped handler; time passes with each event."""

    def __init__(self) -> None:
        self.now_ms = builders.NOW
        self.store, self.ec2, self.told = MemoryStore(), FakeEc2(), Told()
        self.arbiter = Arbiter(
            store=self.store,
            elastic_ips=self.ec2,
            inventory=self.ec2,
            telemetry=self.told,
            policy=builders.POLICY,
            clock=lambda: self.now_ms,
        )
        self._seq = 0
        for cluster_id, instances in OF_CLUSTER.items():
            for number, instance in enumerate(instances, 1):
                state = "started" if number == 1 else "stopped"
                self.handle(self.event(cluster_id, instance, number, state=state))
        assert self.holders() == {c: instances[0] for c, instances in OF_CLUSTER.items()}

    def event(self, cluster_id: str, instance: str, number: int, **changes: Any) -> dict[str, Any]:
        """A good report's envelope."""
        self._seq += 1
        report = builders.node_report(number, seq=self._seq, **changes)
        detail = {**report.to_detail(), "cluster_id": cluster_id, "instance_id": instance}
        return envelope(instance, detail)

    def handle(self, event: Any) -> None:
        """As Lambda would call the handler."""
        HANDLERS["arbitrate"].arbiter = self.arbiter
        HANDLERS["arbitrate"].telemetry = self.told
        HANDLERS["arbitrate"].lambda_handler(event, None)

    def operate(self, payload: Any) -> Any:
        """As an operator would invoke it."""
        HANDLERS["operate"].arbiter = self.arbiter
        HANDLERS["operate"].telemetry = SimpleNamespace(refused=lambda _why: None)
        HANDLERS["operate"].inspection = Inspection(self.arbiter, self.ec2, self.ec2, self.ec2)
        context = SimpleNamespace(aws_request_id="request-1")
        return HANDLERS["operate"].lambda_handler(payload, context)

    def state(self) -> dict[str, Snapshot | None]:
        return {cluster_id: self.store.read(cluster_id) for cluster_id in OF_CLUSTER}

    def holders(self) -> dict[str, str | None]:
        state = self.state()
        return {c: s.addresses["eip"].holder for c, s in state.items() if s is not None}


HANDLERS: dict[str, Any] = {}


@pytest.fixture(autouse=True, scope="module")
def handlers() -> None:
    """The shipped handlers' modules, without clients and parts of their own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(boto3, "client", lambda *_, **__: None)
        for part in ("assemble", "assemble_inspection"):
            patch.setattr(f"eip_arbiter.assembly.{part}", lambda *_, **__: None)
        for name in ("arbitrate", "operate"):
            spec = importlib.util.spec_from_file_location(
                f"fuzzed_{name}", ROOT / "functions" / name / "handler.py"
            )
            assert spec is not None
            assert spec.loader is not None
            HANDLERS[name] = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(HANDLERS[name])


def envelope(instance: str, detail: Any) -> dict[str, Any]:
    return {
        "version": "0",
        "id": "event-1",
        "detail-type": DETAIL_TYPE,
        "source": source_for("aws", REGION, ACCOUNT, instance),
        "account": ACCOUNT,
        "time": "2026-11-25T12:00:00Z",
        "region": REGION,
        "resources": [],
        "detail": detail,
    }


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=12)
    | st.sampled_from(["eip", "web", "other", builders.N1, "started", "\x00", "<b>", "A" * 2000]),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=8,
)
"""Anything that JSON can say, with words that mean something here among it."""


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a document."""
    found = [path]
    if isinstance(value, (dict, list)):
        for key, entry in value.items() if isinstance(value, dict) else enumerate(value):
            found += places(entry, (*path, key))
    return found


@st.composite
def broken(draw: st.DrawFn, document: Any) -> Any:
    """A document with up to three places replaced, dropped or grown."""
    made = copy.deepcopy(document)
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from(places(made)))
        if not path:
            if draw(st.integers(0, 9)) == 0:
                return draw(JSON)
            continue
        inside = made
        for key in path[:-1]:
            inside = inside[key]
        how = draw(st.sampled_from(["replace", "replace", "drop", "grow"]))
        if how == "replace":
            inside[path[-1]] = draw(JSON)
        elif how == "drop":
            del inside[path[-1]]
        elif isinstance(inside, dict):
            inside[draw(st.text(max_size=8))] = draw(JSON)
        else:
            inside.append(draw(JSON))
    return made


EVERYBODY = st.sampled_from([*OF_CLUSTER["web"], *OF_CLUSTER["other"], STRANGER])


@st.composite
def made_from_the_schema(draw: st.DrawFn) -> Any:
    """A report that the schema allows, by whoever may put events on the bus, about whomever."""
    detail, instance = draw(allowed_by(SCHEMA)), draw(EVERYBODY)
    # Most get past the first doors: who lies about everything is stopped by the first one.
    detail["cluster_id"] = draw(st.sampled_from(["web", "other", "nobodys"]))
    detail["instance_id"] = instance if draw(st.integers(0, 3)) else draw(EVERYBODY)
    return envelope(instance, detail)


@st.composite
def good_but_broken(draw: st.DrawFn) -> Any:
    """A node's usual report, damaged, envelope and all."""
    cluster_id = draw(st.sampled_from(sorted(OF_CLUSTER)))
    number = draw(st.integers(1, 2))
    report = builders.node_report(
        number,
        seq=draw(st.integers(0, 200)),
        state=draw(st.sampled_from(["started", "starting", "stopped", "failed"])),
        awaiting=draw(st.sampled_from([(), ("eip",)])),
        lost=draw(st.sampled_from([(), ("n1",), ("n2",)])),
    )
    instance = OF_CLUSTER[cluster_id][number - 1]
    detail = {**report.to_detail(), "cluster_id": cluster_id, "instance_id": instance}
    event = envelope(instance, detail)
    return draw(broken(event)) if draw(st.integers(0, 4)) else event


@st.composite
def words_of_ec2(draw: st.DrawFn) -> Any:
    """EC2's own event, whole or damaged."""
    state = draw(st.sampled_from(["stopping", "stopped", "shutting-down", "terminated", "running"]))
    event = {
        "source": "aws.ec2",
        "detail-type": "EC2 Instance State-change Notification",
        "time": draw(st.sampled_from(["2026-11-22T13:00:00Z", "1999-01-01T00:00:00Z", "now"])),
        "detail": {"instance-id": draw(EVERYBODY), "state": state},
    }
    return draw(broken(event)) if draw(st.booleans()) else event


EVENTS = st.one_of(
    made_from_the_schema(), made_from_the_schema(), good_but_broken(), words_of_ec2(), JSON
)


def speaker(event: Any) -> str | None:
    """The instance that an event can be of: IAM vouches for its source, EC2 for its own events."""
    if not isinstance(event, dict):
        return None
    source, detail = event.get("source"), event.get("detail")
    if source == "aws.ec2" and isinstance(detail, dict):
        return str(detail.get("instance-id"))
    return source.rpartition("/")[2] if isinstance(source, str) else None


@THOROUGH
@given(events=st.lists(st.tuples(EVENTS, st.integers(0, 5_000)), min_size=1, max_size=8))
def test_no_event_raises_touches_another_cluster_or_changes_state_when_it_is_rejected(
    events: list[tuple[Any, int]],
) -> None:
    region = Region()
    for event, wait_ms in events:
        region.now_ms += wait_ms
        region.told.said.clear()
        before, asked = region.state(), len(region.ec2.asked)
        region.handle(event)
        after = region.state()
        rejected = region.told.of("rejected")
        if rejected:
            assert after == before, event
            assert len(region.ec2.asked) == asked
            assert all(sentence.isprintable() for _, _, sentence in region.told.said)
        for cluster_id, instances in OF_CLUSTER.items():
            if speaker(event) not in instances:
                assert after[cluster_id] == before[cluster_id], event
        for allocation_id, interface_id in region.ec2.asked[asked:]:
            cluster_id = allocation_id.removeprefix("eipalloc-")
            assert interface_id.removeprefix("eni-") in OF_CLUSTER[cluster_id]
            assert speaker(event) in OF_CLUSTER[cluster_id]
    assert set(region.state()) == set(OF_CLUSTER), "no cluster was made up"


@THOROUGH
@given(detail=allowed_by(SCHEMA))
def test_what_the_schema_allows_of_a_tagged_node_is_taken_in(detail: dict[str, Any]) -> None:
    region = Region()
    instance = OF_CLUSTER["web"][1]
    detail |= {"cluster_id": "web", "instance_id": instance, "incarnation": 7}
    region.told.said.clear()
    region.handle(envelope(instance, detail))
    if region.told.of("rejected"):
        # Stricter than the schema in one point: nothing is awaited that is not among the resources.
        assert set(detail["awaiting"]) - set(detail["resources"]), region.told
        return
    snapshot = region.store.read("web")
    assert snapshot is not None
    report = snapshot.nodes[instance].report
    assert report is not None
    assert (report.incarnation, report.seq) == (7, detail["seq"])


VERBS = st.sampled_from(
    [
        *("status", "failover", "switchover", "pause", "resume", "acknowledge"),
        *("history", "plan", "doctor", "reboot", "", None, 7),
    ]
)
REQUESTS = st.fixed_dictionaries(
    {"verb": VERBS},
    optional={
        "cluster": st.sampled_from(["web", "other", "nobodys", "A" * 2000, "../web", 7]),
        "resource": st.sampled_from(["eip", "vip", "", None]),
        "target": st.sampled_from(["n1", "n2", STRANGER, *OF_CLUSTER["other"], {}, "n2; id"]),
        "holder": st.sampled_from(["n1", "n2", None, []]),
        "force": st.sampled_from([True, False, "yes", 1]),
        "node": st.sampled_from(["n1", "n2", "n9", None, []]),
        "limit": st.sampled_from([1, 10, 0, 101, "all", None, 1.5]),
        "dry_run": st.sampled_from([True, False, "yes", None]),
        "until": st.sampled_from(["2026-11-22T23:00:00Z", "9999-12-31T00:00:00Z", "soon", 7, ""]),
        "minutes": st.sampled_from([0, 1, 5, -1, 10**9, 1.5, "5", None]),
        "request_id": st.sampled_from(["ops-1", "ops-2", "", "x" * 300, None]),
        "by": st.sampled_from(["alice", "", "x" * 121, "a\nb", None]),
        "reason": st.sampled_from(["a drill", "", 7]),
        "dryrun": st.booleans(),
    },
)


@st.composite
def order_with_one_fault(draw: st.DrawFn) -> Any:
    """An order that would be carried out but for one field: the doors behind the first are met."""
    verb = draw(st.sampled_from(["failover", "switchover"]))
    order: dict[str, Any] = {
        "verb": verb,
        "cluster": draw(st.sampled_from(sorted(OF_CLUSTER))),
        "resource": "eip",
        "target": "n2",
        **({"force": draw(st.booleans())} if verb == "failover" else {"holder": "n1"}),
        "request_id": draw(st.sampled_from(["ops-1", "ops-2"])),
        "dry_run": draw(st.booleans()),
        "by": "alice",
        "reason": "a drill",
    }
    name = draw(st.sampled_from([None, *sorted(order)]))
    if name is not None:
        order[name] = draw(JSON)
    return order


ORDER_FIELDS = {
    **dict.fromkeys(
        ("verb", "cluster", "resource", "target", "holder", "request_id", "by", "reason"), str
    ),
    **dict.fromkeys(("force", "dry_run"), bool),
}
LONGEST_REASON = 1_200
"""A person reads it in a terminal; what was sent is not read back at length."""


@THOROUGH
@given(payloads=st.lists(st.one_of(order_with_one_fault(), REQUESTS, JSON), min_size=1, max_size=6))
def test_no_request_raises_or_changes_more_than_its_own_cluster(payloads: list[Any]) -> None:
    region = Region()
    for payload in payloads:
        region.now_ms += 1_000
        before, asked = region.state(), len(region.ec2.asked)
        answer = region.operate(payload)
        after = region.state()
        json.dumps(answer)
        assert answer["outcome"], payload
        assert answer["sentence"], payload
        if answer["outcome"] == "refused":
            assert answer["reason"] == answer["sentence"]
            assert answer["reason"].isprintable(), payload
            assert len(answer["reason"]) <= LONGEST_REASON, payload
            assert after == before, payload
            assert len(region.ec2.asked) == asked
        elif payload["verb"] in ("failover", "switchover"):
            # What was not understood was not carried out.
            assert all(type(value) is ORDER_FIELDS.get(name) for name, value in payload.items()), (
                payload
            )
        for cluster_id in OF_CLUSTER:
            if not isinstance(payload, dict) or payload.get("cluster") != cluster_id:
                assert after[cluster_id] == before[cluster_id], payload
