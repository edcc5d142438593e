"""The invariants of the design, one predicate each, with its sentence.

A predicate returns None, or what is wrong. It is judged by the modelled EC2's journal and the
model's truth: true time, what nodes really run, which reports really arrived.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from eip_arbiter.decision.snapshot import Address, Phase, Snapshot
from eip_contract.report import NodeReport

from simulation.ec2 import Landing
from simulation.evidence import STAMP_SECONDS
from simulation.truth import (
    address_of,
    by_allocation,
    claims,
    holders,
    is_ordered,
    is_wanted,
    only_claimant_has_quorum,
    places,
    places_of,
    problems_of,
    runs,
)

if TYPE_CHECKING:
    from simulation.invocation import Invocation
    from simulation.node import Node
    from simulation.watch import Watch

LONGEST_RECOVERY_SECONDS = 300.0
STAYS_WELL_SECONDS = 20.0
UNDISTURBED_SECONDS = 15.0
METADATA_LAG_SECONDS = 10.0
TOKEN_READ_SECONDS, SHOWN_SECONDS = 1.5, 10.0
GIVEN_UP_SECONDS = 8.0
CLEAR_SECONDS = 75.0
"""After so long without bad weather nothing late can come any more."""

MOVE_SECONDS = 2.0
RESERVE_SECONDS = 3.0
JUST_NOW_SECONDS = 3.0
LEAVES_REPORTS_ALONE = (
    "partition",
    "partition_one_way",
    "partition_flapping",
    "order",
    "switchover",
    "pause",
    "acknowledge",
    "disable",
    "drift",
    "node_clock",
    "claim_kept_back",
    "crm_mon",
    "unread_in_a_cut",
    "crm_resource",
    "corosync_tools",
    "quorumtool",
    "two_orders",
    "unmanaged",
    "maintenance",
    "standby",
    "ban",
    "join",
    "quorum_device",
    "ec2_outage",
    "function_outage",
    "dynamodb_outage",
    "wrong_resource_tag",
    "forged_counter",
    "clone",
    "drifts",
    "forged_claim",
    "half_a_group",
    "left_alone",
    "long_cut",
    "muted_survivor",
)
"""Faults that touch no node's reports; weather is judged apart."""

SEVERAL_IN_ONE = (
    "partition_flapping",
    "claim_at_release",
    "claim_kept_back",
    "order_then_death",
    "two_orders",
    "unread_in_a_cut",
    "later_address",
    "wrong_resource_tag",
)
BY_HAND = -2
NEVER = -1e9
IN_TIME_SECONDS = 6.0
"""A call that took no longer was well within the time that its client gives it."""
REMOVAL = -1


def i1_terms(watch: Watch, cluster_id: str, old: Address, after: Address) -> str | None:
    """Terms only grow, and each stands for one grant."""
    if after.term < old.term:
        return f"{cluster_id} {after.resource}: term {old.term} went back to {after.term}"
    if after.term == old.term and after.holder not in (old.holder, None):
        return f"{cluster_id} {after.resource}: term {after.term} was granted twice"
    if after.term > old.term and (after.allocation_id, after.term) in watch.grants:
        return f"{cluster_id} {after.resource}: term {after.term} was granted before"
    return None


def i1_settled_where_it_was_put(watch: Watch, cluster_id: str, resource: str) -> str | None:
    """A grant is settled only after EC2 had the address on its holder's interface."""
    now = address_of(watch, cluster_id, resource)
    if now.holder is None:
        return None
    grant = watch.grants.get((now.allocation_id, now.term))
    interface = watch.node(now.holder).interface_id
    was_at = places_of(watch, now.allocation_id)
    earlier = [where for at, where in was_at if grant is None or at <= grant.at]
    later = [where for at, where in was_at if grant is not None and at > grant.at]
    if interface in [*earlier[-1:], *later]:
        return None
    return f"{resource} is settled on {interface} by term {now.term}, where EC2 never had it"


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


def i2_silent_when_claimed(watch: Watch, old: Address, after: Address) -> str | None:
    """By R070 only: the holder had been silent for long enough when the claim was sent.

    EventBridge's stamp has whole seconds, which is the error that a claim is given.
    """
    holder = watch.claimed.get((old.holder or "", old.resource))
    claim = watch.heard.get(after.holder or "")
    if after.rule != "R070" or holder is None or claim is None:
        return None
    report = claim.report
    sent_at = watch.sent[report.instance_id, report.incarnation, report.seq]
    silence = sent_at - holder.at + watch.clock_error(holder.at) + STAMP_SECONDS
    if silence >= watch.world.region.policy.answer_ms / 1000:
        return None
    return f"R070 took {old.resource} off {old.holder}, which claimed {-silence:.2f} s after it"


def i2_undisturbed_holder(watch: Watch, old: Address, after: Address) -> str | None:
    """A holder that runs the resource and whose reports nothing disturbed keeps its address."""
    if old.holder in (None, after.holder) or is_ordered(old, after.holder):
        return None
    holder = watch.node(old.holder or "")
    watch.world.result.counts["moves off a node that ran it"] += runs(holder, old.resource)
    if not runs(holder, old.resource) or only_claimant_has_quorum(watch, old, after):
        return None
    if holder.instance_id in watch.told_going or holder.cluster.configuration.red[holder.name] > 0:
        return None
    disturbed_at = max(
        watch.disturbed.get(holder.instance_id, 0.0), watch.world.weather.struck_at, 30.0
    )
    started = watch.starts.get((holder.instance_id, old.resource), 0.0)
    if watch.now - max(disturbed_at, started) < UNDISTURBED_SECONDS or watch.world.weather.is_bad:
        return None
    # One whose claim is kept back may have got the address since, by what it said before.
    unheard = holder.aws_cut or watch.world.region.keeps_back(holder.instance_id)
    if unheard or holder.agent is None or holder.agent.process.frozen:
        return None
    return f"{after.rule} took {old.resource} off {holder.key}, which runs it undisturbed"


def drift_is_real(watch: Watch, old: Address, after: Address) -> str | None:
    """What is put right was wrong: not where the grant's own call put it, bad weather apart."""
    undisturbed = watch.now - watch.world.weather.struck_at > CLEAR_SECONDS
    if after.rule != "R080" or watch.world.weather.is_bad or not undisturbed:
        return None
    landings = [x for x in watch.world.region.ec2.journal if x.allocation_id == old.allocation_id]
    if landings and landings[-1].term == old.term:
        return f"R080 put {old.resource} right, which lay where term {old.term} put it"
    return None


def i3_landed_by_grant(watch: Watch, landing: Landing) -> str | None:
    """EC2 has an address only where some grant put it."""
    if landing.after is None:
        return None
    _, address = watch.world.region.ec2.addresses[landing.allocation_id]
    key = (landing.allocation_id, landing.term)
    of_old = key in watch.old_grants and watch.old_grants[key].holder is not None
    if of_old or watch.world.region.is_of_old:
        return None  # it was under way when the table was replaced
    grant = watch.grants.get(key)
    if grant is None or grant.holder is None:
        return f"{address.resource} was associated under term {landing.term}, which is no grant"
    if watch.node(grant.holder).interface_id != landing.after.interface_id:
        return f"{address.resource} of term {landing.term} landed on another node's interface"
    return None


def i4_paused(watch: Watch, before: Snapshot, old: Address, after: Address) -> str | None:
    """Nothing is granted while an operator has the cluster paused, orders excepted."""
    since = watch.paused_from.get(before.cluster_id)
    if since is None or is_wanted(old, after.holder):
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
    """Only an association that a release was about is ever removed.

    A call that EC2 carries out long after its client gave up may find that association granted
    again; nothing can prevent that, and R080 puts it right, which I6 judges.
    """
    if landing.after is not None or landing.before is None or landing.term == BY_HAND:
        return None
    if landing.at - landing.asked_at > GIVEN_UP_SECONDS:
        return None
    cluster_id, address = watch.world.region.ec2.addresses[landing.allocation_id]
    now = by_allocation(watch, cluster_id, landing.allocation_id)
    if now.holder is None or now.term == 0:
        return None
    owner = watch.world.region.ec2.instances[now.holder].node.interface_id
    if landing.before.interface_id == owner and now.phase is Phase.SETTLED:
        return f"{address.resource} was taken off its holder of term {now.term}"
    return None


def not_overtaken(watch: Watch, landing: Landing) -> str | None:
    """A call never lands after a later grant was settled, unless EC2 itself was late with it."""
    if landing.after is None or landing.at - landing.asked_at > IN_TIME_SECONDS:
        return None
    cluster_id, address = watch.world.region.ec2.addresses[landing.allocation_id]
    now = by_allocation(watch, cluster_id, landing.allocation_id)
    if watch.world.region.is_of_old or now.term <= landing.term or now.phase is Phase.MOVING:
        return None
    return f"{address.resource} was moved by term {landing.term} after term {now.term} was settled"


def released_long_ago(watch: Watch, old: Address) -> str | None:
    """An address is taken off a node only if nothing has run there for the release time."""
    node = watch.node(old.holder or "")
    here = node.peer.resources[old.resource]
    since = min(here.since, watch.not_running.get((node.instance_id, old.resource), here.since))
    granted_at, _ = watch.last_granted.get(old.allocation_id, (NEVER, None))
    since = max(since, granted_at)
    waited = watch.now - since + watch.clock_error(since) + 0.5
    if here.role != "Stopped" or waited >= watch.world.region.policy.release_ms / 1000:
        return None
    had_it = f"which ran it, or was granted it, {waited:.1f} s ago"
    return f"{old.resource} was taken off {node.key}, {had_it}"


def i5_replay(watch: Watch, before: list[tuple[str, str, str | None, int]]) -> str | None:
    """Old reports, delivered again, change nothing; what tags add meanwhile is no change."""
    pairs = zip(before, holders(watch), strict=True)
    changed = [(old, new) for old, new in pairs if old[-1] and old != new]
    return f"replayed reports changed {changed}" if changed else None


def i6_recovers(watch: Watch) -> str | None:
    """Once faults end, the address is on the node that Pacemaker runs it on, and only one does."""
    return f"not well {LONGEST_RECOVERY_SECONDS:.0f} s after all faults: " + "; ".join(
        problem for problem in problems_of(watch)
    )


def i6_dead_holder_is_replaced(watch: Watch, node: Node, resource: str) -> str | None:
    """No start is refused for want of a grant while the holder was dead all that time, or stopped.

    Nor does it give up between its grant and the settlement. Judged where the control plane was
    well and in reach, the start waited in full, and no operator had a hand in it.
    """
    cluster_id, weather = node.cluster_id, watch.world.weather
    address = address_of(watch, cluster_id, resource)
    began = watch.starts[node.instance_id, resource]
    full_wait = watch.world.setup.start_seconds - RESERVE_SECONDS
    if watch.now - began < full_wait or address.holder is None:
        return None
    troubled_at = max(weather.struck_at, weather.front_at, watch.disturbed.get(node.instance_id, 0))
    by_hand = (
        address.order
        or cluster_id in watch.paused_from
        or watch.now - troubled_at < (watch.now - began + UNDISTURBED_SECONDS)
    )
    holder = watch.node(address.holder or "")
    others = [n for n in watch.cluster_of(node).nodes if n not in (node, holder)]
    if (
        by_hand
        or node.aws_cut
        or watch.world.region.ec2.refused[node.interface_id]
        or watch.world.region.keeps_back(node.instance_id)
        or weather.is_bad
        or any(n.peer.resources[resource].busy for n in others)
    ):
        return None
    if holder is node:
        # Just before the end, unless the holder before fell silent when this start was nearly over.
        granted_for = watch.now - watch.grants[address.allocation_id, address.term].at
        _, before = watch.last_granted[address.allocation_id]
        if before and before != node.instance_id:
            dead_since = watch.node(before).stood_still_since()
            granted_for += MOVE_SECONDS if dead_since <= began else 0.0
        gave_up = (
            f"{node.key} gave {resource} up before its grant of term {address.term} was settled"
        )
        return gave_up if granted_for >= MOVE_SECONDS else None
    if holder.stood_still_since() <= began:
        return f"{node.key} was refused {resource}, whose holder {holder.key} stands still"
    there = holder.peer.resources[resource]
    if there.role == "Stopped" and there.since <= began and holder.peer.stack in ("up", "down"):
        return f"{node.key} was refused {resource}, which its holder {holder.key} had stopped"
    return None


def i7_moves(watch: Watch) -> str | None:
    """One fault causes at most one move of the arbiter's own accord, its end included.

    A move that only follows Pacemaker's stop of a copy that was well is Pacemaker's own, and an
    order's is its operator's. What is several faults in one is not judged; nor is a run whose
    climate adds faults of its own.
    """
    if not watch.world.setup.serial or watch.world.setup.climate:
        return None
    for fault, next_fault in itertools.pairwise([*watch.faults, None]):
        if fault is None or fault.kind in SEVERAL_IN_ONE:
            continue
        until = next_fault.at if next_fault else float("inf")
        own: dict[str, list[str]] = {}
        for at, rule, landing in watch.moves:
            by_pacemaker = (landing.allocation_id, landing.term) in watch.moved_by_pacemaker
            if fault.at <= at < until and rule != "R020" and not by_pacemaker and landing.after:
                own.setdefault(landing.allocation_id, []).append(f"{rule} at {at:.1f}")
        for moves in own.values():
            if len(moves) > 1:
                return f"{len(moves)} moves ({', '.join(moves)} s) of {fault}"
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
    """An accepted order is carried out; it may end with a reason instead.

    That of a failover is that its target, or AWS, has got into trouble.
    """
    for order in watch.orders:
        if order.done:
            continue
        standing = address_of(watch, order.cluster_id, order.resource).order
        if standing is not None and standing.id == order.order_id:
            continue  # It waits until its target is fit, or expires.
        struck_at = max(watch.disturbed.get(order.target, NEVER), watch.world.weather.struck_at)
        hit = struck_at >= order.at - UNDISTURBED_SECONDS
        if order.order_id in watch.orders_ended and (order.verb == "switchover" or hit):
            continue
        taken_at = watch.orders_taken.get(order.order_id, order.at)
        # A later one counts even if its operator never got an answer.
        superseded = any(
            at > taken_at and watch.order_about[other] == (order.cluster_id, order.resource)
            for other, at in watch.orders_taken.items()
        )
        target = watch.node(order.target).interface_id
        was_at = places(watch, order.cluster_id, order.resource)
        earlier = [where for at, where in was_at if at <= order.at]
        later = [where for at, where in was_at if at > order.at]
        carried_out = target in [*earlier[-1:], *later]
        if not superseded and not carried_out:
            return f"order {order.order_id} ({order.resource} to {order.target}) was lost"
    return None


def i6_what_was_put_here_starts(watch: Watch, node: Node, resource: str) -> str | None:
    """No start fails long after EC2 put its address here: the metadata service tells so.

    Nobody else may have it by now, and it must have been elsewhere while the start waited.
    """
    address = address_of(watch, node.cluster_id, resource)
    ec2, weather = watch.world.region.ec2, watch.world.weather
    where, began = ec2.locate(address.allocation_id), watch.starts[node.instance_id, resource]
    here = where is not None and where.interface_id == node.interface_id
    ours = here and address.holder == node.instance_id and address.phase is Phase.SETTLED
    put = [x.at for x in ec2.journal if x.allocation_id == address.allocation_id]
    late = ours and put[-1] > began + TOKEN_READ_SECONDS and watch.now - put[-1] > SHOWN_SECONDS
    troubled = weather.is_bad or watch.now - weather.struck_at < watch.now - began
    if not late or troubled or watch.world.region.is_of_old:
        return None
    return f"{node.key} gave {resource} up {watch.now - put[-1]:.1f} s after EC2 put it there"


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


def i11_started_where_granted(watch: Watch, node: Node, resource: str) -> str | None:
    """A start succeeds only where the address was granted, or was until a moment ago.

    Where the state cannot be read, the metadata service's word counts, which lags.
    """
    address = address_of(watch, node.cluster_id, resource)
    if address.holder == node.instance_id:
        return None
    was_at = places_of(watch, address.allocation_id)
    until = [
        at
        for (_, where), (at, _) in zip(was_at, [*was_at[1:], (watch.now, "")], strict=True)
        if where == node.interface_id
    ]
    if node.aws_cut and until and watch.now - until[-1] < METADATA_LAG_SECONDS:
        return None
    at, before = watch.last_granted.get(address.allocation_id, (0.0, None))
    frozen = watch.now - max(watch.disturbed.get(node.instance_id, 0.0), 0.0) < UNDISTURBED_SECONDS
    if frozen or (before == node.instance_id and watch.now - at < JUST_NOW_SECONDS):
        return None
    return f"{node.key} started {resource}, which {address.holder} holds by term {address.term}"
