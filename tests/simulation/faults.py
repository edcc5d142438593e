"""Faults: what can be done to nodes, networks, the region and people's nerves, and schedules of it.

A fault is a value: kind, when, for how long, on what, and a number that each kind reads in its own
way. A run's schedule is a list of them, so that one can be dropped and the run repeated.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from simulation import acts, acts_aimed, acts_cluster, acts_region


@dataclass(frozen=True, slots=True)
class Fault:
    """`cluster` and `node` count from 0; `amount` is from 0 to 1."""

    kind: str
    at: float
    seconds: float
    cluster: int
    node: int
    amount: float

    def __str__(self) -> str:
        where = f"c{self.cluster + 1}/n{self.node + 1}"
        return (
            f"{self.kind} at {self.at:.2f} s for {self.seconds:.2f} s on {where}, {self.amount:.3f}"
        )


SILENT = ("hangs", "fails")
OUTAGES = ("ec2_outage", "function_outage", "dynamodb_outage", "pause")
BURSTS, BURST_SECONDS = 0.5, 4.0
AIMED_GAP_SECONDS = (50.0, 70.0)
CLEAN = (
    "crash",
    "stop_instance",
    "stop_stack",
    "kill_corosync",
    "freeze",
    "partition",
    "order",
    "switchover",
    "holder_dies",
    "unread_in_a_cut",
    "unread_survivor",
    "all_but_one_die",
    "two_orders",
    "crm_mon",
    "crm_resource",
    "standby",
    "unmanaged",
    "red",
    "ec2_slow",
    "join",
    "unnamed",
    "reboot",
)

KINDS: dict[str, tuple[float, tuple[float, float], acts.Act]] = {
    "crash": (10, (5.0, 90.0), acts.crash),
    "stop_instance": (3, (30.0, 80.0), acts.stop_instance),
    "stop_stack": (6, (5.0, 60.0), acts.stop_stack),
    "kill_corosync": (3, (5.0, 60.0), acts.kill_corosync),
    "freeze": (8, (0.5, 40.0), acts.freeze),
    "freeze_agent": (4, (5.0, 30.0), acts.freeze_agent),
    "restart_agent": (5, (0.0, 0.0), acts.restart_agent),
    "partition": (12, (0.3, 60.0), acts.partition),
    "partition_one_way": (5, (0.3, 60.0), acts.partition_one_way),
    "partition_flapping": (4, (5.0, 40.0), acts.partition_flapping),
    "cut_aws": (6, (1.0, 90.0), acts.cut_aws),
    "cut_aws_all": (4, (1.0, 90.0), acts.cut_aws_all),
    "node_clock": (2, (0.0, 0.0), acts.node_clock),
    "arbiter_clock": (2, (5.0, 60.0), acts.arbiter_clock),
    "order": (6, (0.0, 0.0), acts.order),
    "switchover": (4, (0.0, 0.0), acts.switchover),
    "disable": (3, (10.0, 100.0), acts.disable),
    "claim_at_release": (2, (0.0, 0.0), acts.claim_at_release),
    "lone_return": (2, (40.0, 80.0), acts.lone_return),
    "interface_refused": (3, (10.0, 90.0), acts.interface_refused),
    "claim_kept_back": (2, (30.0, 60.0), acts.claim_kept_back),
    "pause": (3, (5.0, 60.0), acts.pause),
    "acknowledge": (1, (0.0, 0.0), acts.acknowledge),
    "drift": (2, (0.0, 0.0), acts.drift),
    "event_loss": (3, (5.0, 40.0), acts.weather("event_loss", 0.1, 0.6)),
    "event_late": (2, (5.0, 40.0), acts.weather("event_late", 0.1, 0.5)),
    "event_double": (2, (5.0, 40.0), acts.weather("event_double", 0.2, 1.0)),
    "event_reordered": (2, (5.0, 40.0), acts.weather("event_reordered", 0.3, 1.0)),
    "publish_error": (2, (5.0, 40.0), acts.weather("publish_error", 0.2, 1.0)),
    "invocation_crash": (4, (5.0, 40.0), acts.weather("invocation_crash", 0.1, 0.8)),
    "invocation_stall": (3, (5.0, 40.0), acts.weather("invocation_stall", 0.05, 0.4)),
    "move_stall": (3, (5.0, 60.0), acts.weather("move_stall", 0.3, 1.0)),
    "dynamodb_error": (3, (5.0, 60.0), acts.weather("dynamodb_error", 0.2, 1.0)),
    "dynamodb_slow": (2, (5.0, 40.0), acts.weather("dynamodb_slow", 0.1, 0.8)),
    "dynamodb_lost_reply": (2, (5.0, 40.0), acts.weather("dynamodb_lost_reply", 0.1, 0.5)),
    "dynamodb_retried": (2, (5.0, 40.0), acts.weather("dynamodb_retried", 0.1, 0.8)),
    "ec2_error": (4, (5.0, 60.0), acts.weather("ec2_error", 0.3, 1.0)),
    "ec2_lost_reply": (3, (5.0, 60.0), acts.weather("ec2_lost_reply", 0.3, 1.0)),
    "ec2_late": (3, (5.0, 60.0), acts.weather("ec2_late", 0.2, 1.0)),
    "ec2_slow": (3, (5.0, 60.0), acts.weather("ec2_slow", 0.3, 1.0)),
    "function_error": (2, (5.0, 60.0), acts.weather("function_error", 0.3, 1.0)),
    "crm_mon": (5, (1.0, 40.0), acts_cluster.trouble("crm_mon")),
    "unread_in_a_cut": (4, (8.0, 60.0), acts_cluster.unread_in_a_cut),
    "unread_survivor": (2, (20.0, 60.0), acts_cluster.unread_survivor),
    "crm_resource": (3, (5.0, 60.0), acts_cluster.trouble("crm_resource", SILENT)),
    "corosync_tools": (
        2,
        (1.0, 40.0),
        acts_cluster.trouble("corosync-cfgtool", SILENT),
    ),
    "quorumtool": (2, (1.0, 40.0), acts_cluster.trouble("corosync-quorumtool", SILENT)),
    "die": (3, (0.0, 0.0), acts_cluster.die),
    "holder_dies": (3, (20.0, 90.0), acts_cluster.holder_dies),
    "order_then_death": (3, (20.0, 90.0), acts_cluster.order_then_death),
    "all_but_one_die": (2, (25.0, 60.0), acts_cluster.all_but_one_die),
    "two_orders": (3, (4.0, 10.0), acts_cluster.two_orders),
    "unmanaged": (3, (5.0, 90.0), acts_cluster.unmanaged),
    "maintenance": (2, (5.0, 90.0), acts_cluster.maintenance),
    "standby": (4, (5.0, 90.0), acts_cluster.standby),
    "ban": (3, (5.0, 90.0), acts_cluster.ban),
    "red": (4, (5.0, 60.0), acts_cluster.red),
    "unnamed": (2, (20.0, 90.0), acts_cluster.unnamed),
    "other_name": (1, (10.0, 60.0), acts_cluster.other_name),
    "reboot": (3, (20.0, 60.0), acts_cluster.reboot),
    "join": (4, (0.0, 0.0), acts_cluster.join),
    "quorum_device": (2, (10.0, 90.0), acts_cluster.quorum_device),
    "ec2_outage": (2, (20.0, 120.0), acts_region.outage("ec2_error")),
    "function_outage": (2, (20.0, 120.0), acts_region.outage("function_error")),
    "dynamodb_outage": (2, (20.0, 120.0), acts_region.outage("dynamodb_error")),
    "later_address": (4, (0.0, 0.0), acts_region.later_address),
    "wrong_resource_tag": (1, (5.0, 90.0), acts_region.wrong_resource_tag),
    "untag_node": (2, (5.0, 120.0), acts_region.untag_node),
    "new_table": (1, (0.0, 0.0), acts_region.new_table),
    "forged_counter": (1, (0.0, 0.0), acts_region.forged_counter),
    "flood": (1, (5.0, 40.0), acts_region.flood),
    "metadata_error": (1, (5.0, 60.0), acts.weather("metadata_error", 0.3, 1.0)),
}
"""Weight, shortest and longest duration in seconds, and what it does."""

AIMED: dict[str, tuple[tuple[float, float], acts.Act]] = {
    "clone": ((90.0, 120.0), acts_aimed.clone),
    "corosync_bounce": ((15.0, 25.0), acts_aimed.corosync_bounce),
    "drifts": ((110.0, 115.0), acts_aimed.drifts),
    "forged_claim": ((40.0, 50.0), acts_aimed.forged_claim),
    "half_a_group": ((110.0, 130.0), acts_aimed.half_a_group),
    "held_words": ((175.0, 190.0), acts_aimed.held_words),
    "late_twin": ((20.0, 25.0), acts_aimed.late_twin),
    "left_alone": ((30.0, 40.0), acts_cluster.all_but_one_die),
    "long_cut": ((100.0, 130.0), acts_aimed.long_cut),
    "long_unread": ((60.0, 70.0), acts_aimed.long_unread),
    "muted_survivor": ((30.0, 40.0), acts_aimed.muted_survivor),
    "needed_after_a_refusal": ((52.0, 56.0), acts_aimed.needed_after_a_refusal),
    "order_in_a_call": ((15.0, 25.0), acts_aimed.order_in_a_call),
    "order_while_disabled": ((110.0, 120.0), acts_aimed.order_while_disabled),
    "restart_unseen": ((15.0, 25.0), acts_aimed.restart_unseen),
}
"""What chance hardly ever brings: runs of their own are made of it. Durations as above."""

OF_PLAIN = ("clone", "half_a_group", "long_cut", "restart_unseen")
"""What needs a resource that is watched as it is."""

MEASURED: dict[str, acts.Act] = {"forged_claims": acts_aimed.forged_claims}
"""What the design lets happen, and no run has; `silence` measures it."""

ACTS: dict[str, acts.Act] = {
    **{kind: act for kind, (_, _, act) in KINDS.items()},
    **{kind: act for kind, (_, act) in AIMED.items()},
    **MEASURED,
}


def schedule(
    rng: random.Random, clusters: int, nodes: int, *, begin: float, end: float, count: int
) -> list[Fault]:
    """Faults at any time between, overlapping as they may."""
    names, weights = list(KINDS), [weight for weight, _, _ in KINDS.values()]
    faults: list[Fault] = []
    for kind in rng.choices(names, weights, k=count):
        low, high = KINDS[kind][1]
        at, cluster = rng.uniform(begin, end), rng.randrange(clusters)
        if faults and rng.random() < BURSTS:
            # Trouble comes in company: a fault in the middle of what another one set off.
            at, cluster = faults[-1].at + rng.expovariate(1 / BURST_SECONDS), faults[-1].cluster
            at = at if at < end else rng.uniform(begin, end)
        # Short ones are as likely as long ones: many races live below a few seconds.
        seconds = low * (high / low) ** rng.random() if low else 0.0
        seconds = min(seconds, end - at)
        faults.append(Fault(kind, at, seconds, cluster, rng.randrange(nodes), rng.random()))
    return sorted(faults, key=lambda fault: fault.at)


def through_an_outage(
    rng: random.Random, nodes: int, kind: str, *, begin: float, seconds: float
) -> list[Fault]:
    """Long trouble of a service, or a long pause, in which the holder dies."""

    def fault(name: str, at: float, length: float) -> Fault:
        return Fault(name, at, length, 0, rng.randrange(nodes), rng.random())

    dies = begin + seconds * rng.random() * 0.5
    dead = Fault("holder_dies", dies, 1.0, 0, 0, 0.5 * rng.random())
    return [fault(kind, begin, seconds), dead]


def one_at_a_time(
    rng: random.Random,
    clusters: int,
    nodes: int,
    *,
    begin: float,
    gap: float,
    clean: bool,
    count: int,
) -> list[Fault]:
    """Faults with calm between them, so that what follows is owed to one of them.

    `clean` ones are those that people fear, and last until all that follows has happened.
    """
    faults, at = [], begin
    names = CLEAN if clean else list(KINDS)
    for kind in rng.choices(names, [KINDS[name][0] for name in names], k=count):
        low, high = KINDS[kind][1]
        seconds = low * (high / low) ** rng.random() if low else 0.0
        if clean and low:
            seconds = rng.uniform(25.0, 60.0)
        faults.append(
            Fault(kind, at, seconds, rng.randrange(clusters), rng.randrange(nodes), rng.random())
        )
        at += seconds + gap
    return faults


def aimed(rng: random.Random, nodes: int, kinds: list[str], *, begin: float) -> list[Fault]:
    """Aimed faults, one after the other, with calm between them."""
    faults, at = [], begin
    for kind in kinds:
        seconds = rng.uniform(*AIMED[kind][0])
        faults.append(Fault(kind, at, seconds, 0, rng.randrange(nodes), rng.random()))
        at += seconds + rng.uniform(*AIMED_GAP_SECONDS)
    return faults
