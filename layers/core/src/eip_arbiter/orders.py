"""An operator's orders: `failover`, which moves an address now, and `switchover`, by Pacemaker.

An order that cannot be carried out is refused with the reason; an accepted one is in the state
before anything is done about it, and is never lost.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from eip_contract.fields import NAME, Problems

from eip_arbiter.arbitration import Arbiter
from eip_arbiter.decision.case import Case
from eip_arbiter.decision.snapshot import Address, Node, Order, OrderKind, Phase, Snapshot
from eip_arbiter.requests import RefusedError, known_address, known_cluster, refuse

ORDER_MS = {OrderKind.FAILOVER: 600_000, OrderKind.SWITCHOVER: 120_000}
"""How long an order stands until its target claims. A failover waits a person's attention span, a
switchover twice the lifetime of the move that Pacemaker is asked for."""


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


def order(
    arbiter: Arbiter, payload: Mapping[str, Any], invocation_id: str, kind: OrderKind
) -> dict[str, Any]:
    """A failover moves an address now, and pins it until the target claims it.

    A switchover has Pacemaker move the resource, so that the address follows. Both stand until they
    end or expire, and both are idempotent by request id: asked again, the answer is what became of
    the first one.
    """
    request = _order_request(kind, payload, invocation_id)
    snapshot = known_cluster(arbiter.store, request.cluster)
    address = known_address(snapshot, request.resource)
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
    refuse(problems)
    return request
