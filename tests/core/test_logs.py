"""The log as Lambda and CloudWatch read it: timestamps, levels, and what a person's query finds."""

from __future__ import annotations

import datetime as dt
import re
from pathlib import Path
from typing import Any

import pytest
from core.harness import Cluster
from core.observed import lines
from eip_contract.report import ResourceState

from lab.embedded.cloud import EmbeddedAws

ROOT = Path(__file__).parents[2]
STOPPED = ResourceState("stopped", 0)
RFC_3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
_CONDITION = re.compile(
    r"ispresent\((?P<present>\w+)\)|(?P<one>[\w.]+) = (?P<value>'\w+'|\"\w+\")"
    r"|(?P<field>[\w.]+) in \[(?P<values>[^]]+)\]"
)
TIMED_OUT = {
    "time": "2026-11-29T06:00:09.012Z",
    "type": "platform.report",
    "record": {"requestId": "1", "status": "timeout", "metrics": {"durationMs": 9000}},
}
"""What Lambda writes at WARN of an invocation that it ended, in a log of JSON lines."""
KILLED = {**TIMED_OUT, "record": {**TIMED_OUT["record"], "status": "error"}}  # type: ignore[dict-item]
WELL = {**TIMED_OUT, "record": {**TIMED_OUT["record"], "status": "success"}}  # type: ignore[dict-item]


def _at(line: dict[str, Any], field: str) -> Any:
    found: Any = line
    for key in field.split("."):
        found = found.get(key) if isinstance(found, dict) else None
    return found


def finds(query: str, line: dict[str, Any]) -> bool:
    """Whether a query's filter, which is a list of conditions with `or`, lets a line pass."""
    (wanted,) = re.findall(r"filter ([^|]+)", query)
    conditions = [_CONDITION.fullmatch(part.strip()) for part in wanted.split(" or ")]
    assert all(conditions), f"this test does not understand {wanted}"
    return any(_holds(found, line) for found in conditions if found)


def _holds(found: re.Match[str], line: dict[str, Any]) -> bool:
    if found["present"]:
        return _at(line, found["present"]) is not None
    if found["one"]:
        return bool(_at(line, found["one"]) == found["value"].strip("'\""))
    return _at(line, found["field"]) in re.findall(r"\w+", found["values"])


def queries() -> dict[str, str]:
    """The query of the dashboard, and the one that the runbook tells."""
    (dashboard,) = re.findall(r'"query": "(.+?)"}}', (ROOT / "template.yaml").read_text())
    text = (ROOT / "docs/runbook.md").read_text()
    (runbook,) = re.findall(r"```\n(filter .+?)```", text, re.DOTALL)
    return {"dashboard": dashboard, "runbook": runbook}


def test_lines_have_rfc_3339_timestamps_and_the_dashboard_shows_decisions_and_failures(
    aws: EmbeddedAws, cluster: Cluster
) -> None:
    """Lambda takes the level of no other line."""
    cluster.settle_on_n1()
    aws.faults.set("throttle", principal="Arbitrate", operation="AssociateAddress")
    cluster.say(cluster.report("n1", cause="release", resources={"eip": STOPPED}))
    claim = cluster.claims("n2", lost=())
    said = [*lines(cluster.say(claim)), *lines(cluster.say(claim))]
    shown = {"INFO": True, "WARNING": False, "ERROR": True}
    assert {line["level"] for line in said} == set(shown)
    for line in said:
        assert RFC_3339.fullmatch(line["timestamp"])
        at = dt.datetime.fromisoformat(line["timestamp"])
        assert abs((dt.datetime.now(dt.UTC) - at).total_seconds()) < 60
        assert finds(queries()["dashboard"], line) == shown[line["level"]]


@pytest.mark.parametrize("where", ["dashboard", "runbook"])
def test_a_time_out_is_found_though_it_has_no_level(where: str) -> None:
    query = queries()[where]
    assert finds(query, TIMED_OUT)
    assert finds(query, KILLED)
    assert not finds(query, WELL)
