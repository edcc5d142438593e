"""Whether a failover of an address would work now, as far as the state can tell: reasons in words.

Pure, like the rules it asks. What only EC2 can tell comes from the watch.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from eip_arbiter.decision.case import Case
from eip_arbiter.decision.snapshot import Node, OrderKind, Phase


def standbys(case: Case) -> tuple[Node, ...]:
    """The nodes that could take the address over: all but the holder."""
    nodes = case.snapshot.nodes.values()
    return tuple(node for node in nodes if node.instance_id != case.address.holder)


def holds(case: Case) -> tuple[str, ...]:
    """What keeps the address from moving by itself; an operator's order is excepted from it.

    A switchover that stands is none: the rules go on beside it, and may overtake it.
    """
    address, found = case.address, []
    if case.now_ms < case.snapshot.paused_until_ms:
        found.append(f"{case.snapshot.cluster_id} is paused")
    if address.order is not None and address.order.kind is OrderKind.FAILOVER:
        found.append(f"order {address.order.id} pins it to {case.name(address.order.target)}")
    return tuple(found)


def brake_is_on(case: Case) -> bool:
    """Whether the flap brake is on.

    No obstacle to a failover: by R040 it only keeps the address on a holder that still runs it.
    """
    return case.moves_in_window >= case.policy.brake_moves


def problems_of_names(case: Case) -> tuple[str, ...]:
    """Names that two live nodes say.

    Nodes tell whom they see and lost by these names, so what they say of one is said of both.
    """
    said: dict[str, list[str]] = {}
    for node in case.snapshot.nodes.values():
        if case.is_fresh(node):
            said.setdefault(node.name, []).append(node.instance_id)
    return tuple(
        f"{' and '.join(sorted(ids))} both report as {name}"
        for name, ids in sorted(said.items())
        if len(ids) > 1
    )


def obstacles(case: Case) -> tuple[str, ...]:
    """What holds back a failover of the address to whichever node."""
    address, found = case.address, list(holds(case))
    if address.phase is Phase.MOVING and case.now_ms >= address.deadline_ms:
        found.append(f"the move of {address.public_ip} under term {address.term} is stuck")
    mute = case.holder and _says_nothing(case, case.holder)
    if mute:
        found.append(mute)
    if not standbys(case):
        found.append("the cluster has no other node")
    return (*found, *problems_of_names(case))


def _says_nothing(case: Case, holder: Node) -> str | None:
    """Why a holder that speaks cannot answer a challenge, or None."""
    resource = case.address.resource
    if holder.report is None or not case.is_fresh(holder) or case.state_on(holder) != "unknown":
        return None
    holds = f"{holder.name} holds {case.address.public_ip}"
    if resource in holder.report.resources:
        return f"{holds} and cannot read what its Pacemaker makes of {resource}"
    return f"{holds} and its agent does not watch {resource}: see its setting `resources`"


def unfit(case: Case, node: Node) -> str | None:
    """Why the address should not go to this node, or None.

    By itself it would go to one that would lose an Elastic IP of its own, in want of another; that
    has to be told before.
    """
    own = case.would_lose(node)
    loses = f"{node.name} would lose its own Elastic IP {own}" if own else None
    return unable(case, node) or loses


def unable(case: Case, node: Node) -> str | None:
    """Why this node could not take the address over, or None."""
    why = case.unable(node)
    if why is None and case.address.private_ip_index >= len(node.private_ips):
        why = f"has no private address number {case.address.private_ip_index}"
    return f"{node.name} {why}" if why else None


def problems(case: Case, refusals: Mapping[str, str]) -> tuple[str, ...]:
    """Why no failover would come by itself now; empty if at least one standby could take over.

    Args:
        case: the address at one instant.
        refusals: by instance id, why EC2 would refuse to associate the address there.
    """
    reasons = [unfit(case, node) or refusals.get(node.instance_id) for node in standbys(case)]
    if all(reasons):
        return (*obstacles(case), *(reason for reason in reasons if reason))
    return obstacles(case)


def order_works(case: Case, found: Collection[str]) -> bool:
    """Whether all that was found holds back automatic moves only, so that an order would move."""
    return set(found) <= set(holds(case))
