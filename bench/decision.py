"""Warm decisions, from the event's parsed JSON to the commit's condition, without AWS's time."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import builders
from eip_arbiter.arbitrate.arbitration import Arbiter
from eip_arbiter.decision.snapshot import LastReport, Snapshot
from eip_arbiter.ports import LostRace, Recorded
from eip_contract.envelope import parse_envelope, source_for
from eip_contract.report import DETAIL_TYPE, NodeReport

ACCOUNT, REGION = "123456789012", "eu-central-1"


class _AtTheDoor:
    """A store that takes the report in and ends the decision where AWS would be called."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self.commits = 0

    def record_report(self, report: NodeReport, received_at_ms: int, late_ms: int) -> Recorded:
        node = self._snapshot.nodes[report.instance_id]
        heard = replace(node, report=LastReport.of(report, received_at_ms, late_ms))
        nodes = {**self._snapshot.nodes, report.instance_id: heard}
        return Recorded(replace(self._snapshot, nodes=nodes))

    def commit(self, *_: object) -> LostRace:
        self.commits += 1
        return LostRace()


class _Silent:
    """Telemetry that tells nobody."""

    def __getattr__(self, _name: str) -> Callable[..., None]:
        return lambda *_, **__: None


def event_of(report: NodeReport) -> dict[str, Any]:
    """The event that EventBridge delivers."""
    return {
        "version": "0",
        "id": "event-1",
        "detail-type": DETAIL_TYPE,
        "source": source_for("aws", REGION, ACCOUNT, report.instance_id),
        "account": ACCOUNT,
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(builders.NOW // 1000)),
        "region": REGION,
        "detail": report.to_detail(),
    }


def read_json() -> Callable[[], object]:
    """The peer: what any handler pays before it begins."""
    text = json.dumps(event_of(builders.node_report(1, state="started")))
    return lambda: json.loads(text)


def calm_heartbeat() -> Callable[[], object]:
    """The holder says that all is well."""
    work, store = _work(builders.snapshot(), builders.node_report(1, state="started"))
    work()
    assert store.commits == 0  # noqa: S101 - else this measures something else
    return work


def failover() -> Callable[[], object]:
    """The claim by which R070 grants."""
    claim = builders.node_report(2, state="starting", awaiting=("eip",), lost=("n1",), for_ms=3_500)
    snapshot = builders.snapshot(builders.dead(), builders.claiming())
    work, store = _work(snapshot, claim)
    work()
    assert store.commits == 1  # noqa: S101 - else this measures something else
    return work


def _work(snapshot: Snapshot, report: NodeReport) -> tuple[Callable[[], object], _AtTheDoor]:
    store, event = _AtTheDoor(snapshot), event_of(report)
    arbiter = Arbiter(
        store=store,  # type: ignore[arg-type] # the two calls that a decision gets to
        elastic_ips=None,  # type: ignore[arg-type] # not reached
        inventory=None,  # type: ignore[arg-type] # not reached
        telemetry=_Silent(),
        policy=builders.POLICY,
        clock=lambda: builders.NOW,
    )

    def take_in() -> None:
        envelope = parse_envelope(event)
        arbiter.on_report(envelope.report, envelope.said_at_ms)

    return take_in, store
