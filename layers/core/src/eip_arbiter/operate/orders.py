"""An operator's orders: `failover`, which moves an address now, and `switchover`, by Pacemaker.

An order that cannot be carried out is refused with the reason; an accepted one is in the state
before anything is done about it, and is never lost.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from eip_arbiter.arbitrate import narrating
from eip_arbiter.arbitrate.arbitration import Arbiter
from eip_arbiter.decision.case import Case
from eip_arbiter.decision.snapshot import (
    Address,
    Node,
    Order,
    OrderKind,
    Phase,
    Snapshot,
    id_mark,
)
from eip_arbiter.operate.requests import (
    RefusedError,
    Request,
    known_address,
    known_cluster,
    known_node,
    unless_lost,
)
from eip_arbiter.ports import StoreUnansweredError

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
    author: str


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
    target = known_node(snapshot, request.target)
    started_ms = arbiter.clock()
    wanted = Order(
        kind=kind,
        id=request.request_id,
        target=target.instance_id,
        force=request.force,
        issued_at_ms=started_ms,
        until_ms=started_ms + ORDER_MS[kind],
        holder=_named_holder(snapshot, address, request.holder),
    )
    known = _known(address, wanted)
    if known and request.dry_run:
        return _would_repeat(address, wanted, target)
    came_from: str | None = wanted.holder
    replaced = ""
    if known:
        # Of an order that ended, the state does not keep from where it moved.
        came_from = address.order.holder if _stands(address, wanted) and address.order else None
    else:
        case = Case(snapshot, address, arbiter.policy, started_ms)
        _refuse_order(case, request, target, kind)
        if request.dry_run:
            return _rehearsed(snapshot, address, target, kind)
        line = _line(snapshot, address, wanted) + request.author
        if address.order:
            replaced = f"; it replaces order {address.order.id}"
        try:
            snapshot = unless_lost(arbiter.on_order(snapshot, request.resource, wanted, line))
        except StoreUnansweredError as error:
            sentence = _unknown(wanted, error)
            arbiter.telemetry.failed(sentence, cluster=request.cluster)
            return {"outcome": "unknown", "order": wanted.id, "sentence": sentence}
        decided = snapshot.addresses.get(request.resource)
        if decided is None:
            return _overtaken_by_tags(address, wanted)
        address = decided
    there = address.holder == target.instance_id
    done = there and address.phase is Phase.SETTLED
    outcome = "moved" if done else "accepted" if _stands(address, wanted) else "ended"
    answer: dict[str, Any] = {"outcome": outcome, "order": request.request_id}
    if came_from is not None:
        answer["from"] = _name(snapshot, came_from)
    answer["to"] = target.name
    if there or outcome == "ended":
        # Else the grant in force is the one before.
        answer |= {"term": address.term, "rule": address.rule}
    answer["duration_ms"] = arbiter.clock() - started_ms
    sentence = _order_sentence(snapshot, address, wanted, target, done=done)
    return {**answer, "sentence": sentence + replaced}


def _overtaken_by_tags(address: Address, wanted: Order) -> dict[str, Any]:
    """The answer to an order whose address left the state, or got another name, right after it."""
    sentence = (
        f"order {wanted.id} was accepted, but {_it(address)} goes by that name no more, by EC2's "
        "tags: `status` has what the cluster has now"
    )
    return {"outcome": "ended", "order": wanted.id, "sentence": sentence}


def _unknown(wanted: Order, error: StoreUnansweredError) -> str:
    return (
        f"order {wanted.id} may or may not have been accepted ({error}); ask again with "
        f"request_id {wanted.id}, which does it once at the most, or ask `status`"
    )


def _stands(address: Address, wanted: Order) -> bool:
    return address.order is not None and address.order.id == wanted.id


def _known(address: Address, wanted: Order) -> bool:
    """Whether this very order was given before.

    Raises:
        RefusedError: another order was given under its id.
    """
    standing = [address.order.mark] if address.order else []
    id_alone = id_mark(wanted.id)
    marks = [mark for mark in (*address.ended_orders, *standing) if mark.startswith(id_alone)]
    if marks and marks[-1] not in {wanted.mark, id_alone}:
        raise RefusedError(
            f"request_id {wanted.id} was given to another order of {_it(address)}: it only repeats "
            "the same verb, target, holder and force, so give this order an id of its own"
        )
    return bool(marks)


def _named_holder(snapshot: Snapshot, address: Address, named: str) -> str:
    """The instance id of who held the address: a switchover says it, a failover takes it as it is.

    A name that there is not stays as it is, and is no holder's.
    """
    if not named:
        return address.holder or ""
    return known_node(snapshot, named).instance_id if snapshot.nodes_named(named) else named


def _line(snapshot: Snapshot, address: Address, wanted: Order) -> str:
    """The history's line of an accepted order."""
    forced = ", forced" if wanted.force else ""
    replaced = ""
    if address.order:
        before = address.order
        replaced = (
            f"; it replaces order {before.id}, a {before.kind.value} "
            f"to {_name(snapshot, before.target)}"
        )
    return (
        f"{wanted.kind.value}: order {wanted.id} is accepted: {_it(address)} from "
        f"{_name(snapshot, wanted.holder) or 'nobody'} to {_name(snapshot, wanted.target)}"
        f"{forced}{replaced}"
    )


def _would_repeat(address: Address, wanted: Order, target: Node) -> dict[str, Any]:
    """A dry run of an order that was given before."""
    stands = "stands" if _stands(address, wanted) else "has ended"
    return {
        "outcome": "would not move",
        "order": wanted.id,
        "to": target.name,
        "sentence": f"order {wanted.id} was given before and {stands}; asked again it does nothing",
    }


def _refuse_order(case: Case, request: OrderRequest, target: Node, kind: OrderKind) -> None:
    """Raises unless the order can be carried out."""
    address = case.address
    elsewhere = address.order is not None and address.order.target != target.instance_id
    if (
        address.holder == target.instance_id
        and address.phase is Phase.SETTLED
        and not (elsewhere and kind is OrderKind.FAILOVER)
    ):
        raise RefusedError(f"{target.name} holds {address.public_ip} already")
    unfit = case.unfit(target)
    if kind is OrderKind.SWITCHOVER:
        _refuse_switchover(case, request.holder, target, unfit)
    elif unfit and not request.force:
        raise RefusedError(f"{target.name} {unfit}; `force` would send the address there")


def _rehearsed(
    snapshot: Snapshot, address: Address, target: Node, kind: OrderKind
) -> dict[str, Any]:
    """What an order that would be accepted would do."""
    it, term = _it(address), address.term + 1
    switchover = f"Pacemaker would be asked to move {address.resource} to {target.name}, and "
    return {
        "outcome": "would move",
        "from": _name(snapshot, address.holder or ""),
        "to": target.name,
        "term": term,
        "rule": "R020" if kind is OrderKind.FAILOVER else "R061",
        "sentence": (switchover if kind is OrderKind.SWITCHOVER else "")
        + f"{target.name} would get {it} under term {term}; "
        "nothing was done (`doctor` asks EC2 as well)",
    }


def _refuse_switchover(case: Case, named: str, target: Node, unfit: str | None) -> None:
    """Raises unless Pacemaker can move the resource from the named holder to the target."""
    address, holder = case.address, case.holder
    if holder is None or named not in (holder.name, holder.instance_id):
        who = holder.name if holder else "nobody"
        raise RefusedError(f"{who} holds {_it(address)}, not {named}")
    if address.phase is not Phase.SETTLED:
        raise RefusedError(f"{address.public_ip} is being moved; ask again when it is settled")
    if unfit:
        unable = ": Pacemaker would not run it there" if case.unable(target) else ""
        raise RefusedError(f"{target.name} {unfit}{unable}")
    if target.report and holder.name not in target.report.members:
        raise RefusedError(
            f"{target.name} does not see {holder.name}: Pacemaker there cannot move it; "
            "`failover` does not ask Pacemaker first"
        )


def _order_sentence(
    snapshot: Snapshot, address: Address, wanted: Order, target: Node, *, done: bool
) -> str:
    it = _it(address)
    if not _stands(address, wanted):
        return f"the order has ended; {narrating.where(snapshot, address)}, by {address.rule}"
    if done:
        return (
            f"{it} is on {target.name} under term {address.term}; "
            "it stays there until Pacemaker followed or the order expires"
        )
    if wanted.kind is OrderKind.SWITCHOVER:
        return f"Pacemaker on {target.name} is asked to move {address.resource}; {it} follows"
    return f"the order stands, but {it} is not on {target.name} yet; later reports carry it on"


def _it(address: Address) -> str:
    return f"{address.public_ip} ({address.resource})"


def _name(snapshot: Snapshot, instance_id: str) -> str | None:
    """A node's name; the id of one that is gone, None for nobody."""
    node = snapshot.nodes.get(instance_id)
    return node.name if node else instance_id or None


def _order_request(kind: OrderKind, payload: Mapping[str, Any], invocation_id: str) -> OrderRequest:
    switchover = kind is OrderKind.SWITCHOVER
    fields = Request(kind.value, payload)
    request = OrderRequest(
        cluster=fields.name("cluster", "the cluster"),
        resource=fields.name("resource", "Pacemaker's resource", "eip"),
        holder=fields.name("holder", "the node that holds the address") if switchover else "",
        target=fields.name("target", "the node that is to get the address"),
        force=not switchover and fields.flag("force"),
        request_id=fields.name("request_id", "this order", invocation_id),
        dry_run=fields.flag("dry_run"),
        author=fields.author(),
    )
    fields.complete()
    return request
