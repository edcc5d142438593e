"""The invariants of the design, one predicate each, with its sentence.

A predicate returns None, or what is wrong. It is judged by the modelled EC2's journal and the
model's truth: true time, what nodes really run, which reports really arrived.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from eip_arbiter.decision.snapshot import Address, Phase, Snapshot
from eip_contract.report import NodeReport

from simulation.ec2 import Landing
from simulation.truth import (
    address_of,
    claims,
    holders,
    is_ordered,
    moves_between,
    only_claimant_has_quorum,
    places,
    problems_of,
    runs,
)

if TYPE_CHECKING:
    from simulation.node import Node
    from simulation.invocation import Invocation
    from simulation.watch import Watch

LONGEST_RECOVERY_SECONDS = 300.0
STAYS_WELL_SECONDS = 20.0
UNDISTURBED_SECONDS = 15.0
METADATA_LAG_SECONDS = 10.0
BY_HAND = -2
REMOVAL = -1


def i1_terms(watch: Watch, cluster_id: str, old: Address, after: Address) -> str | None:
    """Terms only grow, and each stands for one grant."""
    if after.term < old.term:
        return f"{cluster_id} {after.resource}: term {old.term} went back to {after.term}"
    if after.term == old.term and after.holder not in (old.holder, None):
        return f"{cluster_id} {after.resource}: term {after.term} was granted twice"
    if after.term > old.term and (cluster_id, after.resource, after.term) in watch.grants:
        return f"{cluster_id} {after.resource}: term {after.term} was granted before"
    return None


def i1_settled_where_it_was_put(watch: Watch, snapshot: Snapshot, address: Address) -> str | None:
    """A grant settles only after EC2 had the address on its holder's interface."""
    if address.holder is None:
        return None
    granted = watch.grants.get((snapshot.cluster_id, address.resource, address.term))
    since = granted.at if granted else 0.0
    interface = snapshot.nodes[address.holder].interface_id
    ec2 = watch.world.region.ec2
    where = ec2.locate(address.allocation_id)
    if where and where.interface_id == interface:
        return None
    put = any(
        landing.allocation_id == address.allocation_id
        and landing.after is not None
        and landing.after.interface_id == interface
        and landing.at >= since - 300.0
        for landing in ec2.journal
    )
    return None if put else f"{address.resource} settled on {interface}, where EC2 never had it"


def i2_answering_holder(watch: Watch, old: Address, after: Address) -> str | None:
    """An address never leaves a holder that keeps answering, orders and quorum apart.

    "Keeps answering" is what the store took in: its last report claims and is younger than the
    answer time, in true time less what the arbiter's clock was set meanwhile.
    """
    if old.holder in (None, after.holder) or is_ordered(old, after.holder):
        return None
    heard = watch.heard.get(old.holder or "")
    if heard is None or not claims(heard.report, old.resource):
        return None
    if (old.holder or "") in watch.told_going or only_claimant_has_quorum(watch, old, after):
        return None
    silence = watch.now - heard.at + watch.clock_error(heard.at) + 0.05
    if silence >= watch.world.region.policy.answer_ms / 1000:
        return None
    return f"{after.rule} took {old.resource} off {old.holder}, which claimed {silence:.2f} s ago"


def i2_undisturbed_holder(watch: Watch, old: Address, after: Address) -> str | None:
    """A holder that runs the resource and whose reports nothing disturbed keeps its address."""
    if old.holder in (None, after.holder) or is_ordered(old, after.holder):
        return None
    holder = watch.node(old.holder or "")
    watch.world.result.counts["moves off a node that ran it"] += runs(holder, old.resource)
    if not runs(holder, old.resource) or only_claimant_has_quorum(watch, old, after):
        return None
    disturbed_at = max(
        watch.disturbed.get(holder.instance_id, 0.0), watch.world.weather.struck_at, 30.0
    )
    started = watch.starts.get((holder.instance_id, old.resource), 0.0)
    if watch.now - max(disturbed_at, started) < UNDISTURBED_SECONDS or watch.world.weather.is_bad:
        return None
    if holder.aws_cut or holder.agent is None or holder.agent.process.frozen:
        return None
    return f"{after.rule} took {old.resource} off {holder.key}, which runs it undisturbed"


def i3_evidence(watch: Watch, old: Address, after: Address) -> str | None:
    """No grant without a fresh claim of its holder, or an order."""
    if is_ordered(old, after.holder):
        return None
    heard = watch.heard.get(after.holder or "")
    if heard is None or not claims(heard.report, after.resource):
        return f"{after.rule} gave {after.resource} to {after.holder}, which does not claim it"
    age = watch.now - heard.at - watch.clock_error(heard.at)
    allowed = 2 * heard.report.next_report_within_ms / 1000 + 2.0 + 0.05
    if age <= allowed:
        return None
    return f"{after.rule} gave {after.resource} by a claim that was {age:.1f} s old"


def i3_landed_by_grant(watch: Watch, landing: Landing) -> str | None:
    """EC2 has an address only where some grant put it."""
    if landing.after is None:
        return None
    cluster_id, address = watch.world.region.ec2.addresses[landing.allocation_id]
    grant = watch.grants.get((cluster_id, address.resource, landing.term))
    if grant is None or grant.holder is None:
        return f"{address.resource} was associated under term {landing.term}, which is no grant"
    if watch.node(grant.holder).interface_id != landing.after.interface_id:
        return f"{address.resource} of term {landing.term} landed on another node's interface"
    return None


def i4_paused(watch: Watch, before: Snapshot, old: Address, after: Address) -> str | None:
    """Nothing is granted while an operator has the cluster paused, orders excepted."""
    since = watch.paused_from.get(before.cluster_id)
    if since is None or is_ordered(old, after.holder):
        return None
    return f"{after.rule} granted {after.resource}, paused {watch.now - since:.1f} s ago"


def move_in_time(watch: Watch, invocation: Invocation, allocation_id: str) -> str | None:
    """AssociateAddress is called only while the deadline of what was read covers the call.

    A resumed move has a new deadline from when it was read.
    """
    known = invocation.address(allocation_id)
    if known is None or invocation.snapshot is None:
        return "an address was associated without having been read"
    policy = watch.world.region.policy
    late = watch.now - invocation.snapshot_at - watch.clock_error(invocation.snapshot_at)
    allowed = (policy.move_ms - policy.ec2_call_ms) / 1000 + 0.5
    if late <= allowed:
        return None
    return f"term {known.term} was put to EC2 {late:.1f} s after it was read"


def removed_by_record_only(watch: Watch, landing: Landing) -> str | None:
    """Only an association that a release was about is ever removed."""
    if landing.after is not None or landing.before is None or landing.term == BY_HAND:
        return None
    cluster_id, address = watch.world.region.ec2.addresses[landing.allocation_id]
    snapshot = watch.world.region.store.read(cluster_id)
    now = snapshot.addresses[address.resource] if snapshot else None
    if now is None or now.holder is None or now.term == 0:
        return None
    owner = watch.world.region.ec2.instances[now.holder].node.interface_id
    if landing.before.interface_id == owner and now.phase is Phase.SETTLED:
        return f"{address.resource} was taken off its holder of term {now.term}"
    return None


def i5_replay(watch: Watch, before: object) -> str | None:
    """Old reports, delivered again, change nothing."""
    after = holders(watch)
    return None if after == before else f"replayed reports changed {before} to {after}"


def i6_recovers(watch: Watch) -> str | None:
    """Once faults end, the address is on the node that Pacemaker runs it on, and only one does."""
    return f"not well {LONGEST_RECOVERY_SECONDS:.0f} s after all faults: " + "; ".join(
        problem for problem in problems_of(watch)
    )


def i7_moves(watch: Watch) -> str | None:
    """One fault causes at most one move.

    Its end may cause one more where Pacemaker itself moves the resource back. A flapping partition
    is many faults, and is not judged.
    """
    if not watch.world.setup.serial:
        return None
    for fault, next_fault in zip(watch.faults, [*watch.faults[1:], None], strict=True):
        if fault.kind == "partition_flapping":
            continue
        end, after = fault.at + fault.seconds, next_fault.at if next_fault else float("inf")
        for begin, until in ((fault.at, end), (end, after)):
            worst = max(moves_between(watch, begin, until).values(), default=0)
            if worst > 1:
                return f"{worst} moves between {begin:.1f} and {until:.1f} s of {fault}"
    return None


def i8_own_cluster(watch: Watch, report: NodeReport) -> str | None:
    """A node speaks for its own cluster only."""
    owner = watch.world.region.ec2.instances[report.instance_id].cluster_id
    return None if owner == report.cluster_id else f"{report.instance_id} spoke for another cluster"


def i8_own_address(watch: Watch, landing: Landing) -> str | None:
    """An address is never put on another cluster's node."""
    if landing.after is None:
        return None
    ec2 = watch.world.region.ec2
    cluster_id, _ = ec2.addresses[landing.allocation_id]
    owners = {i.node.interface_id: i.cluster_id for i in ec2.instances.values()}
    ok = owners[landing.after.interface_id] == cluster_id
    return None if ok else f"{landing.allocation_id} went to another cluster's node"


def i9_orders(watch: Watch) -> str | None:
    """An accepted order is carried out."""
    for order in watch.orders:
        if order.done:
            continue
        superseded = any(
            other is not order
            and (other.cluster_id, other.resource) == (order.cluster_id, order.resource)
            and other.at >= order.at
            for other in watch.orders
        )
        target = watch.node(order.target).interface_id
        was_at = places(watch, order.cluster_id, order.resource)
        earlier = [where for at, where in was_at if at <= order.at]
        later = [where for at, where in was_at if at > order.at]
        carried_out = target in [*earlier[-1:], *later]
        if not superseded and not carried_out:
            return f"order {order.order_id} ({order.resource} to {order.target}) was lost"
    return None


def i10_monitor(watch: Watch, node: Node, resource: str) -> str | None:
    """A monitor says that the address is gone only where it is, or where another was granted it.

    The metadata service's lag is forgiven: it may still show what was put right a moment ago.
    """
    address = address_of(watch, node.cluster_id, resource)
    where = watch.world.region.ec2.locate(address.allocation_id)
    here = where is not None and where.interface_id == node.interface_id
    if not here or address.holder != node.instance_id:
        return None
    put = [x.at for x in watch.world.region.ec2.journal if x.allocation_id == address.allocation_id]
    if watch.now - put[-1] < METADATA_LAG_SECONDS:
        return None
    return f"{node.key} was told that {resource} is lost, which it holds"
