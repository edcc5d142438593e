"""The operator's verbs: what a manual invoke of `functions/operate` can ask for.

Requests are plain JSON; a request that cannot be carried out raises `RefusedError` with the reason
and changes nothing. `events/invoke/` has a sample of each.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from eip_contract.fields import NAME, Problems

from eip_arbiter.arbitration import Arbiter
from eip_arbiter.decision import decide
from eip_arbiter.decision.case import Case
from eip_arbiter.decision.snapshot import Address, Node, Order, OrderKind, Phase, Snapshot
from eip_arbiter.ports import Committed, LostRace

ORDER_MS = {OrderKind.FAILOVER: 600_000, OrderKind.SWITCHOVER: 120_000}
"""How long an order stands until its target claims. A failover waits a person's attention span, a
switchover twice the lifetime of the move that Pacemaker is asked for."""
LONGEST_PAUSE_MINUTES = 7 * 24 * 60


class RefusedError(Exception):
    """A request that was not carried out; the message is for the operator."""


@dataclass(frozen=True, slots=True)
class OrderRequest:
    """`target` and `holder` are Pacemaker node names or instance ids; `holder` of a switchover."""

    cluster: str
    resource: str
    target: str
    holder: str
    force: bool
    request_id: str
    dry_run: bool


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
    _refuse(problems)
    snapshot = _read(arbiter, cluster)
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


def order(
    arbiter: Arbiter, payload: Mapping[str, Any], invocation_id: str, kind: OrderKind
) -> dict[str, Any]:
    """A failover moves an address now, and pins it until the target claims it.

    A switchover has Pacemaker move the resource, so that the address follows. Both stand until they
    end or expire, and both are idempotent by request id: asked again, the answer is what became of
    the first one.
    """
    request = _order_request(kind, payload, invocation_id)
    snapshot = _read(arbiter, request.cluster)
    address = snapshot.addresses.get(request.resource)
    if address is None:
        raise RefusedError(f"{request.cluster} has no address for {request.resource!r}")
    target = snapshot.node_named(request.target)
    if target is None:
        raise RefusedError(f"{request.cluster} has no node {request.target!r}")
    started_ms = arbiter.clock()
    before = address
    standing = address.order.id if address.order else address.ended_order_id
    if standing != request.request_id:
        if address.holder == target.instance_id and address.phase is Phase.SETTLED:
            raise RefusedError(f"{target.name} holds {address.public_ip} already")
        unfit = Case(snapshot, address, arbiter.policy, started_ms).unfit(target)
        if kind is OrderKind.SWITCHOVER:
            _refuse_switchover(snapshot, address, request.holder, target, unfit)
        elif unfit and not request.force:
            raise RefusedError(f"{target.name} {unfit}; `force` would send the address there")
        if request.dry_run:
            return _rehearsed(snapshot, address, target, kind)
        standing_order = Order(
            kind=kind,
            id=request.request_id,
            target=target.instance_id,
            force=request.force,
            issued_at_ms=started_ms,
            until_ms=started_ms + ORDER_MS[kind],
        )
        after = arbiter.on_order(snapshot, request.resource, standing_order)
        if after is None:
            raise RefusedError("the state changed meanwhile and nothing was done; ask again")
        snapshot, address = after, after.addresses[request.resource]
    done = address.holder == target.instance_id and address.phase is Phase.SETTLED
    return {
        "outcome": "moved" if done else "accepted" if address.order else "ended",
        "order": request.request_id,
        "from": snapshot.nodes[before.holder].name if before.holder else None,
        "to": target.name,
        "term": address.term,
        "rule": address.rule,
        "duration_ms": arbiter.clock() - started_ms,
        "sentence": _order_sentence(address, target, done=done),
    }


def _rehearsed(
    snapshot: Snapshot, address: Address, target: Node, kind: OrderKind
) -> dict[str, Any]:
    """What an order that would be accepted would do."""
    it, term = f"{address.public_ip} ({address.resource})", address.term + 1
    switchover = f"Pacemaker would be asked to move {address.resource} to {target.name}, and "
    return {
        "outcome": "would move",
        "from": snapshot.nodes[address.holder].name if address.holder else None,
        "to": target.name,
        "term": term,
        "rule": "R020" if kind is OrderKind.FAILOVER else "R061",
        "sentence": (switchover if kind is OrderKind.SWITCHOVER else "")
        + f"{target.name} would get {it} under term {term}; "
        "nothing was done (`doctor` asks EC2 as well)",
    }


def _refuse_switchover(
    snapshot: Snapshot, address: Address, named: str, target: Node, unfit: str | None
) -> None:
    """Raises unless Pacemaker can move the resource from the named holder to the target."""
    holder = snapshot.nodes.get(address.holder or "")
    if holder is None or named not in (holder.name, holder.instance_id):
        it = f"{address.public_ip} ({address.resource})"
        raise RefusedError(f"{holder.name if holder else 'nobody'} holds {it}, not {named}")
    if address.phase is not Phase.SETTLED:
        raise RefusedError(f"{address.public_ip} is being moved; ask again when it is settled")
    if unfit:
        raise RefusedError(f"{target.name} {unfit}: Pacemaker would not run it there")
    if target.report and holder.name not in target.report.members:
        raise RefusedError(
            f"{target.name} does not see {holder.name}: Pacemaker there cannot move it; "
            "`failover` does not ask Pacemaker first"
        )


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
    _refuse(problems)
    _unless_lost(arbiter.store.pause(_read(arbiter, cluster), until_ms))
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
    _refuse(problems)
    arbiter.on_snapshot(_unless_lost(arbiter.store.pause(_read(arbiter, cluster), 0)))
    return {"outcome": "resumed", "sentence": f"{cluster} is decided by the rules again"}


def acknowledge(arbiter: Arbiter, payload: Mapping[str, Any]) -> dict[str, Any]:
    """Takes the flap brake off an address: the moves so far are forgotten."""
    problems = Problems()
    cluster = problems.text("cluster", payload.get("cluster"), NAME)
    resource = problems.text("resource", payload.get("resource", "eip"), NAME)
    _refuse(problems)
    snapshot = _read(arbiter, cluster)
    address = snapshot.addresses.get(resource)
    if address is None:
        raise RefusedError(f"{cluster} has no address for {resource!r}")
    after = replace(address, recent_moves_ms=())
    arbiter.on_snapshot(_unless_lost(arbiter.store.commit(snapshot, after, ())))
    return {
        "outcome": "acknowledged",
        "sentence": f"{address.public_ip} ({resource}): {len(address.recent_moves_ms)} moves "
        "are acknowledged and no longer count",
    }


def _unless_lost(outcome: Committed | LostRace) -> Snapshot:
    if isinstance(outcome, LostRace):
        raise RefusedError("the state changed meanwhile and nothing was done; ask again")
    return outcome.snapshot


def _order_sentence(address: Address, target: Node, *, done: bool) -> str:
    it = f"{address.public_ip} ({address.resource})"
    if not address.order:
        ended = f"the order has ended; {it} is"
        if done:
            return f"{ended} on {target.name} under term {address.term}"
        return f"{ended} under term {address.term} by {address.rule}"
    if done:
        return (
            f"{it} is on {target.name} under term {address.term}; "
            "it stays there until Pacemaker followed or the order expires"
        )
    if address.order.kind is OrderKind.SWITCHOVER:
        return f"Pacemaker on {target.name} is asked to move {address.resource}; {it} follows"
    return f"the order stands, but {it} is not on {target.name} yet; later reports carry it on"


def _order_request(kind: OrderKind, payload: Mapping[str, Any], invocation_id: str) -> OrderRequest:
    problems, switchover = Problems(), kind is OrderKind.SWITCHOVER
    request = OrderRequest(
        cluster=problems.text("cluster", payload.get("cluster"), NAME),
        resource=problems.text("resource", payload.get("resource", "eip"), NAME),
        holder=problems.text("holder", payload.get("holder"), NAME) if switchover else "",
        target=problems.text("target", payload.get("target"), NAME),
        force=not switchover and problems.flag("force", payload.get("force", False)),
        request_id=problems.text("request_id", payload.get("request_id", invocation_id), NAME),
        dry_run=problems.flag("dry_run", payload.get("dry_run", False)),
    )
    _refuse(problems)
    return request


def _refuse(problems: Problems) -> None:
    if problems.found:
        raise RefusedError("; ".join(problems.found))


def _read(arbiter: Arbiter, cluster: str) -> Snapshot:
    snapshot = arbiter.store.read(cluster)
    if snapshot is None:
        raise RefusedError(f"no cluster {cluster!r} is known: none of its nodes has reported")
    return snapshot


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
        "report_age_ms": now_ms - report.received_at_ms,
        "pacemaker": report.pacemaker_state,
        "quorate": report.quorate,
        "members": list(report.members),
        "suspects": sorted(report.suspects),
        "resources": {name: state.state for name, state in report.resources.items()},
        "failing": list(report.failing),
        "ec2": node.ec2.state if node.ec2 else None,
    }
