"""Hostile requests of operators: whole but for one field, of any fields, or anything in JSON."""

from __future__ import annotations

import json
from typing import Any

from fuzzing.region import JSON, OF_CLUSTER, STRANGER, THOROUGH, Region
from hypothesis import given
from hypothesis import strategies as st

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
