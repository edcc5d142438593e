"""Hostile events: made from the schema, or broken at any place."""

from __future__ import annotations

import copy
from typing import Any

import builders
from fuzzing.from_schema import allowed_by
from fuzzing.region import JSON, OF_CLUSTER, SCHEMA, STRANGER, THOROUGH, Region, envelope
from hypothesis import given
from hypothesis import strategies as st


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
