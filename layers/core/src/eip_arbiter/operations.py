"""The operator's verbs: what a manual invoke of `functions/operate` can ask for.

Requests are plain JSON; a request that cannot be carried out raises `RefusedError` with the reason
and changes nothing. `events/invoke/` has a sample of each.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from eip_contract.fields import NAME, Problems

from eip_arbiter.arbitration import Arbiter
from eip_arbiter.decision import decide
from eip_arbiter.decision.snapshot import Address, Node, OrderKind, Snapshot
from eip_arbiter.orders import order
from eip_arbiter.requests import RefusedError, known_address, known_cluster, refuse, unless_lost

LONGEST_PAUSE_MINUTES = 7 * 24 * 60


Verb = Callable[[Mapping[str, Any]], dict[str, Any]]


def operate(
    arbiter: Arbiter, payload: Any, invocation_id: str, further: Mapping[str, Verb] | None = None
) -> dict[str, Any]:
    """Carries out one verb and answers it; `further` are verbs beside those of this module.

    Raises:
        RefusedError: for an unknown verb, a malformed request, or one that is not to be carried
            out.
    """
    verbs: dict[str, Verb] = {
        "status": lambda payload: status(arbiter, payload),
        "failover": lambda payload: order(arbiter, payload, invocation_id, OrderKind.FAILOVER),
        "switchover": lambda payload: order(arbiter, payload, invocation_id, OrderKind.SWITCHOVER),
        "pause": lambda payload: pause(arbiter, payload),
        "resume": lambda payload: resume(arbiter, payload),
        "acknowledge": lambda payload: acknowledge(arbiter, payload),
        **(further or {}),
    }
    verb = payload.get("verb") if isinstance(payload, dict) else None
    if not isinstance(verb, str) or verb not in verbs:
        raise RefusedError(f"the verb is none of {', '.join(sorted(verbs))}")
    return verbs[verb](payload)


def status(arbiter: Arbiter, payload: Mapping[str, Any]) -> dict[str, Any]:
    """Who holds each address, whether each node speaks, and what the rules say right now."""
    problems = Problems()
    cluster = problems.text("cluster", payload.get("cluster"), NAME)
    refuse(problems)
    snapshot = known_cluster(arbiter.store, cluster)
    now = arbiter.clock()
    return {
        "cluster": cluster,
        "version": snapshot.version,
        "paused_until_ms": snapshot.paused_until_ms if snapshot.paused_until_ms > now else None,
        "addresses": [
            _address_status(arbiter, snapshot, address, now)
            for address in snapshot.addresses.values()
        ],
        "nodes": [_node_status(node, now) for node in snapshot.nodes.values()],
    }


def pause(arbiter: Arbiter, payload: Mapping[str, Any]) -> dict[str, Any]:
    """Grants nothing for so many `minutes`, or `until` a time, but by order.

    A move that was granted goes on.
    """
    problems, now = Problems(), arbiter.clock()
    cluster = problems.text("cluster", payload.get("cluster"), NAME)
    if "until" in payload and "minutes" not in payload:
        until_ms = _until(problems, payload["until"], now)
    else:
        minutes = problems.whole("minutes", payload.get("minutes"), 1, LONGEST_PAUSE_MINUTES)
        until_ms = now + minutes * 60_000
    if {"until", "minutes"} <= payload.keys():
        problems.add("until", "is given beside minutes, and only one can say when the pause ends")
    refuse(problems)
    unless_lost(arbiter.store.pause(known_cluster(arbiter.store, cluster), until_ms))
    minutes = -(-(until_ms - now) // 60_000)
    return {
        "outcome": "paused",
        "until_ms": until_ms,
        "sentence": f"{cluster} is paused for {minutes} min: nothing moves but by order",
    }


def _until(problems: Problems, value: Any, now_ms: int) -> int:
    """A time with its zone, `2026-11-22T23:00:00Z`, in milliseconds; it must be ahead."""
    try:
        at = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        at = None
    until_ms = int(at.timestamp() * 1000) if at and at.tzinfo else now_ms
    if not now_ms < until_ms <= now_ms + LONGEST_PAUSE_MINUTES * 60_000:
        problems.add("until", "is no time with its zone within the next seven days")
    return until_ms


def resume(arbiter: Arbiter, payload: Mapping[str, Any]) -> dict[str, Any]:
    """Ends a pause, and decides at once what it held back."""
    problems = Problems()
    cluster = problems.text("cluster", payload.get("cluster"), NAME)
    refuse(problems)
    arbiter.on_snapshot(unless_lost(arbiter.store.pause(known_cluster(arbiter.store, cluster), 0)))
    return {"outcome": "resumed", "sentence": f"{cluster} is decided by the rules again"}


def acknowledge(arbiter: Arbiter, payload: Mapping[str, Any]) -> dict[str, Any]:
    """Takes the flap brake off an address: the moves so far are forgotten."""
    problems = Problems()
    cluster = problems.text("cluster", payload.get("cluster"), NAME)
    resource = problems.text("resource", payload.get("resource", "eip"), NAME)
    refuse(problems)
    snapshot = known_cluster(arbiter.store, cluster)
    address = known_address(snapshot, resource)
    after = replace(address, recent_moves_ms=())
    arbiter.on_snapshot(unless_lost(arbiter.store.commit(snapshot, after, ())))
    return {
        "outcome": "acknowledged",
        "sentence": f"{address.public_ip} ({resource}): {len(address.recent_moves_ms)} moves "
        "are acknowledged and no longer count",
    }


def _address_status(
    arbiter: Arbiter, snapshot: Snapshot, address: Address, now_ms: int
) -> dict[str, Any]:
    decision = decide(snapshot, address.resource, arbiter.policy, now_ms)
    holder = snapshot.nodes.get(address.holder) if address.holder else None
    return {
        "resource": address.resource,
        "public_ip": address.public_ip,
        "holder": holder.name if holder else None,
        "holder_instance": address.holder,
        "term": address.term,
        "phase": address.phase.value,
        "granted_by": address.rule,
        "order": address.order.id if address.order else None,
        "split_brain": address.refusal is not None,
        "now": {"rule": decision.rule, "sentence": decision.sentence},
    }


def _node_status(node: Node, now_ms: int) -> dict[str, Any]:
    report = node.report
    if report is None:
        return {"node": node.name, "instance": node.instance_id, "report": None}
    return {
        "node": node.name,
        "instance": node.instance_id,
        "report": f"{report.incarnation}.{report.seq}",
        "report_age_ms": now_ms - report.said_at_ms,
        "pacemaker": report.pacemaker_state,
        "quorate": report.quorate,
        "members": list(report.members),
        "suspects": sorted(report.suspects),
        "resources": {name: state.state for name, state in report.resources.items()},
        "failing": list(report.failing),
        "ec2": node.ec2.state if node.ec2 else None,
    }
