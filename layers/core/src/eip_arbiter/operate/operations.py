"""The operator's verbs: what a manual invoke of `functions/operate` can ask for.

Requests are plain JSON; a request that cannot be carried out raises `RefusedError` with the reason
and changes nothing. What was done is in the history, with who asked, since both are one write.
Where the table does not answer that write, the outcome is `unknown`. `events/invoke/` has samples.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from eip_contract.fields import shown

from eip_arbiter.arbitrate import narrating
from eip_arbiter.arbitrate.arbitration import Arbiter
from eip_arbiter.decision import decide, readiness
from eip_arbiter.decision.case import Case
from eip_arbiter.decision.snapshot import (
    Address,
    HistoryEntry,
    Node,
    Order,
    OrderKind,
    Snapshot,
)
from eip_arbiter.operate.inspecting import moment
from eip_arbiter.operate.orders import order
from eip_arbiter.operate.requests import (
    RefusedError,
    Request,
    known_address,
    known_cluster,
    known_node,
    unless_lost,
)
from eip_arbiter.ports import StoreUnansweredError

LONGEST_PAUSE_MINUTES = 7 * 24 * 60
A_TIME = "2026-11-22T23:00:00Z"


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
        "forget": lambda payload: forget(arbiter, payload),
        **(further or {}),
    }
    verb = payload.get("verb") if isinstance(payload, dict) else None
    if not isinstance(verb, str) or verb not in verbs:
        what = "missing" if verb is None else shown(verb)
        raise RefusedError(f"the verb is {what}: it is one of {', '.join(sorted(verbs))}")
    try:
        return verbs[verb](payload)
    except StoreUnansweredError as error:
        # A read is refused before: what is left is the write of a verb that changes something.
        sentence = f"{verb} may or may not have been done ({error}); `status` and `history` tell"
        arbiter.telemetry.failed(sentence)
        return {"outcome": "unknown", "sentence": sentence}


def status(arbiter: Arbiter, payload: Mapping[str, Any]) -> dict[str, Any]:
    """Who holds each address, whether each node speaks, and what the rules say right now."""
    fields = Request("status", payload)
    cluster = fields.name("cluster", "the cluster")
    fields.complete()
    snapshot = known_cluster(arbiter.store, cluster)
    now = arbiter.clock()
    until_ms = snapshot.paused_until_ms if snapshot.paused_until_ms > now else None
    places = [narrating.where(snapshot, address) for address in snapshot.addresses.values()]
    paused = [f"{cluster} is paused until {moment(until_ms)}"] if until_ms else []
    return {
        "outcome": "told",
        "cluster": cluster,
        "version": snapshot.version,
        "paused_until_ms": until_ms,
        "paused_until": moment(until_ms) if until_ms else None,
        "addresses": [
            _address_status(arbiter, snapshot, address, now)
            for address in snapshot.addresses.values()
        ],
        "nodes": [_node_status(snapshot, node, now) for node in snapshot.nodes.values()],
        "sentence": "; ".join([*paused, *places]) or f"{cluster} has no address",
    }


def pause(arbiter: Arbiter, payload: Mapping[str, Any]) -> dict[str, Any]:
    """Grants nothing for so many `minutes`, or `until` a time, but by order.

    A move that was granted goes on.
    """
    fields, now = Request("pause", payload), arbiter.clock()
    cluster = fields.name("cluster", "the cluster")
    until_ms = _until(fields, now)
    author = fields.author()
    fields.complete()
    snapshot = known_cluster(arbiter.store, cluster)
    minutes = -(-(until_ms - now) // 60_000)
    sentence = f"{cluster} is paused for {minutes} min: nothing moves but by order"
    if snapshot.paused_until_ms > now:
        stands = moment(snapshot.paused_until_ms)
        if until_ms < snapshot.paused_until_ms:
            raise RefusedError(
                f"{cluster} is paused until {stands} already, which is longer; `resume` ends it"
            )
        sentence += f"; it was paused until {stands} before"
    line = _note(snapshot, None, now, f"pause: {sentence}{author}")
    after = unless_lost(arbiter.store.pause(snapshot, until_ms, line))
    arbiter.outbox.tell(after, after.waiting)
    return {
        "outcome": "paused",
        "until_ms": until_ms,
        "until": moment(until_ms),
        "sentence": sentence,
    }


def _until(fields: Request, now_ms: int) -> int:
    """When a pause ends: in so many `minutes`, or at a time with its zone."""
    by_time, by_minutes = fields.has("until"), fields.has("minutes")
    if by_time and by_minutes:
        fields.wrong("until is given beside minutes: only one can say when the pause ends")
        return now_ms
    if not by_time:
        return now_ms + 60_000 * fields.whole("minutes", 1, LONGEST_PAUSE_MINUTES)
    value = fields.payload["until"]
    try:
        at = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        at = None
    if at is None:
        fields.wrong(f"until is {shown(value)}: it is a time like {A_TIME}")
        return now_ms
    if at.tzinfo is None:
        fields.wrong(f"until is {shown(value)}, which has no zone: it is a time like {A_TIME}")
        return now_ms
    until_ms = int(at.timestamp() * 1000)
    if until_ms <= now_ms:
        fields.wrong(f"until is {shown(value)}, which is past: it is {moment(now_ms)} now")
    elif until_ms > now_ms + LONGEST_PAUSE_MINUTES * 60_000:
        fields.wrong(f"until is {shown(value)}, which is more than seven days ahead")
    return until_ms


def resume(arbiter: Arbiter, payload: Mapping[str, Any]) -> dict[str, Any]:
    """Ends a pause, and decides at once what it held back."""
    fields, now = Request("resume", payload), arbiter.clock()
    cluster = fields.name("cluster", "the cluster")
    author = fields.author()
    fields.complete()
    snapshot = known_cluster(arbiter.store, cluster)
    sentence = f"{cluster} is decided by the rules again"
    if snapshot.paused_until_ms > now:
        sentence += f"; its pause would have ended at {moment(snapshot.paused_until_ms)}"
    line = _note(snapshot, None, now, f"resume: {sentence}{author}")
    arbiter.follow(unless_lost(arbiter.store.pause(snapshot, 0, line)))
    return {"outcome": "resumed", "sentence": sentence}


def acknowledge(arbiter: Arbiter, payload: Mapping[str, Any]) -> dict[str, Any]:
    """Takes the flap brake off an address: the moves so far are forgotten."""
    fields, now = Request("acknowledge", payload), arbiter.clock()
    cluster = fields.name("cluster", "the cluster")
    resource = fields.name("resource", "Pacemaker's resource", "eip")
    author = fields.author()
    fields.complete()
    snapshot = known_cluster(arbiter.store, cluster)
    address = known_address(snapshot, resource)
    after = replace(address, recent_moves_ms=())
    moves = len(address.recent_moves_ms)
    sentence = (
        f"{address.public_ip} ({resource}): {moves} moves are acknowledged and no longer count"
    )
    line = _note(snapshot, after, now, f"acknowledge: {sentence}{author}")
    arbiter.follow(unless_lost(arbiter.store.commit(snapshot, after, (), line)))
    return {"outcome": "acknowledged", "sentence": sentence}


def forget(arbiter: Arbiter, payload: Mapping[str, Any]) -> dict[str, Any]:
    """Takes a node with all that is known of it out of the state; one that reports comes back."""
    fields, now = Request("forget", payload), arbiter.clock()
    cluster = fields.name("cluster", "the cluster")
    name = fields.name("node", "the node that is to be forgotten")
    author = fields.author()
    fields.complete()
    snapshot = known_cluster(arbiter.store, cluster)
    node = known_node(snapshot, name)
    for address in snapshot.addresses.values():
        it = f"{address.public_ip} ({address.resource})"
        if address.holder == node.instance_id:
            raise RefusedError(f"{node.name} holds {it}: `failover` it to another node first")
        if address.order and address.order.target == node.instance_id:
            raise RefusedError(f"order {address.order.id} is to move {it} to {node.name}")
    who = f"{node.name} ({node.instance_id})" if node.report else node.instance_id
    sentence = f"{who} is forgotten; if its agent still reports, it registers anew"
    line = _note(snapshot, None, now, f"forget: {sentence}{author}")
    after = unless_lost(arbiter.store.forget(snapshot, (node.instance_id,), line))
    arbiter.outbox.tell(after, after.waiting)
    return {"outcome": "forgotten", "sentence": sentence}


def _note(
    snapshot: Snapshot, address: Address | None, asked_at_ms: int, sentence: str
) -> HistoryEntry:
    """What an operator did; its time is that of the request, before what follows from it."""
    return narrating.line(snapshot, address, kind="note", at_ms=asked_at_ms, sentence=sentence)


def _address_status(
    arbiter: Arbiter, snapshot: Snapshot, address: Address, now_ms: int
) -> dict[str, Any]:
    decision = decide(snapshot, address.resource, arbiter.policy, now_ms)
    case = Case(snapshot, address, arbiter.policy, now_ms)
    holder = snapshot.nodes.get(address.holder) if address.holder else None
    return {
        "resource": address.resource,
        "public_ip": address.public_ip,
        "holder": holder.name if holder else None,
        "holder_instance": address.holder,
        "term": address.term,
        "phase": address.phase.value,
        "granted_by": address.rule,
        "order": address.order and _order_status(snapshot, address.order),
        "brake": {
            "on": readiness.brake_is_on(case),
            "moves": case.moves_in_window,
            "most": arbiter.policy.brake_moves,
            "minutes": arbiter.policy.brake_window_ms // 60_000,
        },
        "split_brain": address.refusal is not None,
        "now": {"rule": decision.rule, "sentence": decision.sentence},
    }


def _order_status(snapshot: Snapshot, order: Order) -> dict[str, Any]:
    target = snapshot.nodes.get(order.target)
    return {
        "id": order.id,
        "verb": order.kind.value,
        "target": target.name if target else order.target,
        "force": order.force,
        "issued": moment(order.issued_at_ms),
        "until": moment(order.until_ms),
    }


def _node_status(snapshot: Snapshot, node: Node, now_ms: int) -> dict[str, Any]:
    report = node.report
    lost = {node.would_lose(a.private_ip_index) for a in snapshot.addresses.values()}
    facts = {
        "node": node.name,
        "instance": node.instance_id,
        "would_lose": sorted(own for own in lost if own),
    }
    if report is None:
        return {**facts, "report": None}
    return {
        **facts,
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
