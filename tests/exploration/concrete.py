"""The world's small numbers to the arbiter's own values, and back.

A number stands for an instance, its interface and its name; an age stands for a time before `NOW`.
"""

from __future__ import annotations

from eip_arbiter.decision import snapshot as shape
from eip_contract.report import ResourceState

from exploration import world
from exploration.world import Address, Item, Known, Order, Said

NOW = 1_795_352_400_000
TERM = 100
ALLOCATION = "eipalloc-1"
PUBLIC_IP = "203.0.113.10"


def instance(number: int) -> str:
    """A node's instance id."""
    return f"i-{number}"


def snapshot(item: Item) -> shape.Snapshot:
    """The item as the arbiter reads it at `NOW`."""
    return shape.Snapshot(
        cluster_id="web",
        version=1,
        nodes={
            instance(number): _node(number, known, len(item.known))
            for number, known in enumerate(item.known, 1)
        },
        addresses={"eip": _address(item.address)},
        paused_until_ms=NOW + 60_000 if item.paused else 0,
    )


def _ago(ticks: int) -> int:
    return NOW - ticks * world.TICK_MS


def _node(number: int, known: Known, size: int) -> shape.Node:
    said = known.said
    peers = [n for n in range(1, size + 1) if not said.lost[n - 1]]
    alert = said.awaiting or any(said.lost)
    ips = {world.HERE: (PUBLIC_IP,), world.NOT_HERE: ()}.get(said.here)
    evidence = None
    if known.ec2:
        incarnation = said.boot - (known.ec2 == world.GOES_BUT_CAME_BACK)
        evidence = shape.Ec2Evidence("stopped", NOW, incarnation)
    return shape.Node(
        instance_id=instance(number),
        interface_id=f"eni-{number}",
        private_ips=(f"10.0.0.{number}",),
        report=shape.LastReport(
            received_at_ms=_ago(known.age),
            incarnation=said.boot,
            seq=0,
            next_report_within_ms=world.ALERT_PROMISE_MS if alert else world.CALM_PROMISE_MS,
            node_name=f"n{number}",
            pacemaker_state="online",
            quorate=2 * len(peers) > size or size == 2,
            quorum_mode="two_node" if size == 2 else "majority",
            members=tuple(f"n{n}" for n in peers),
            suspects={
                f"n{n}": (since - 1) * world.TICK_MS
                for n, since in enumerate(said.lost, 1)
                if since
            },
            resources={"eip": ResourceState(_state(said), said.for_ticks * world.TICK_MS)},
            awaiting=("eip",) if said.awaiting else (),
            failing=(),
            public_ips=ips,
            late_ms=known.late * world.TICK_MS,
        ),
        alarm_since_ms=_ago(known.alarm - 1) if known.alarm else None,
        ec2=evidence,
    )


def _state(said: Said) -> str:
    if not said.runs:
        return "stopped"
    return "starting" if said.awaiting else "started"


def _address(address: Address) -> shape.Address:
    order = address.order
    return shape.Address(
        resource="eip",
        allocation_id=ALLOCATION,
        public_ip=PUBLIC_IP,
        holder=instance(address.holder) if address.holder else None,
        term=TERM,
        phase=shape.Phase.MOVING if address.moving else shape.Phase.SETTLED,
        association_id="eipassoc-1" if address.association else None,
        interface_id=f"eni-{address.interface}" if address.interface else None,
        deadline_ms=_ago(-address.deadline),
        changed_at_ms=_ago(address.changed),
        order=order
        and shape.Order("ops-1", instance(order.target), order.force, NOW, _ago(-order.left)),
        refusal=shape.Refusal(instance(address.refused), NOW) if address.refused else None,
        recent_moves_ms=(NOW,) * address.moves,
    )


def abstract(address: shape.Address) -> Address:
    """What the arbiter wrote at `NOW`, in the world's terms."""
    ordered = address.order
    order = None
    if ordered:
        left = max(ordered.until_ms - NOW, 0) // world.TICK_MS
        order = Order(number_of(ordered.target), ordered.force, left)
    return Address(
        holder=number_of(address.holder),
        moving=address.phase is shape.Phase.MOVING,
        deadline=max(address.deadline_ms - NOW, 0) // world.TICK_MS,
        changed=(NOW - address.changed_at_ms) // world.TICK_MS,
        association=int(address.association_id is not None),
        interface=number_of(address.interface_id),
        order=order,
        refused=number_of(address.refusal.claimant) if address.refusal else 0,
        moves=min(len(address.recent_moves_ms), world.MOVES_CAP),
    )


def number_of(name: str | None) -> int:
    """The number at the end of an id, 0 without one."""
    return int(name.rpartition("-")[2]) if name else 0
