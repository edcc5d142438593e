"""What the modelled Pacemaker remembers: resources on nodes, sides of a cluster and their CIBs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from lab.simulated.plan import Role
from simulation.clock import Process


@dataclass
class Here:
    """One resource on one node."""

    role: Role = "Stopped"
    since: float = 0.0
    failed: bool = False
    busy: bool = False
    monitors: int = 0
    gone: bool = False
    """Its monitor said that it does not run here: it is no second copy any more."""


@dataclass
class Cib:
    """What one side of a cluster remembers in common."""

    failures: dict[tuple[str, str], str] = field(default_factory=dict)
    last_on: dict[str, str] = field(default_factory=dict)
    wanted: dict[str, tuple[str | None, str | None, float]] = field(default_factory=dict)
    epoch: int = 0
    """Of the configuration, which is on disk: where two differ, the higher one wins."""

    left: set[str] = field(default_factory=set)


@dataclass
class Side:
    """Nodes that agree on their membership."""

    members: tuple[str, ...]
    dc: str
    ready_at: float
    cib: Cib
    waits_for: list[Peer] = field(default_factory=list)
    """Nodes whose operations have to end before the others may join."""


class Peer:
    """Corosync and Pacemaker on one node; `stack` is `up`, `down`, or `dead` under Pacemaker."""

    def __init__(self, name: str, number: int, resources: Sequence[str]) -> None:
        self.name, self.number = name, number
        self.stack, self.stack_since = "down", 0.0
        self.process = Process(f"{name} pacemaker")
        self.view: tuple[str, ...] = ()
        self.left_cleanly = False
        self.leaving = False
        self.pending = False
        self.side = Side((name,), name, 0.0, Cib())
        self.resources = {resource: Here() for resource in resources}


def state_of(here: Here) -> str:
    if here.failed:
        return "failed"
    return {"Stopped": "stopped", "Starting": "starting"}.get(here.role, "started")


def is_busy(peer: Peer) -> bool:
    return any(here.busy for here in peer.resources.values())


def merged(nodes: Sequence[Peer], sources: list[Side], chosen: Side) -> Cib:
    """One CIB of several; of its failures, each node's own word takes priority."""
    newest = max(sources, key=lambda side: (side.cib.epoch, side is chosen)).cib
    # Not by what a side thinks its members are: one that stood still thinks of long ago.
    owner = {node.name: node.side for node in nodes}
    cib = Cib(
        {},
        dict(chosen.cib.last_on),
        dict(newest.wanted),
        newest.epoch,
        set(chosen.cib.left),
    )
    for side in sources:
        for (resource, name), action in side.cib.failures.items():
            if owner.get(name, chosen) is side:
                cib.failures[resource, name] = action
        for resource, name in side.cib.last_on.items():
            cib.last_on.setdefault(resource, name)
    return cib
