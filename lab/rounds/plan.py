"""What a round does to its cluster: one fault, or two that overlap, drawn from a seed.

A plan is a value, drawn without a look at any cluster. It names nodes by their role when the round
begins, so that the same round means the same on a cluster that has just been started.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass

HOLDER = 0
"""The role of the node that runs the resource when the round begins; 1 and 2 are the others."""

Token = tuple[str, int | None]
"""A part of the site that a fault occupies, on one node or (None) on all of it."""

PAIRS = 0.45
_TRIES = 100


@dataclass(frozen=True)
class Kind:
    """One kind of fault.

    `weight` among the others, `seconds` it lasts at least and at most, `occupies`: two faults that
    occupy the same part exclude each other. What it does to its node, as the judge sees it:
    `ends_service`: the resource may rightly go elsewhere; `divides`: others may lose sight of the
    node, or it of them; `mutes`: the control plane may not hear it; `takes_power`: nothing runs
    there; `stays`: it is not lifted before the round is judged, so the others must do without.
    `least_nodes`: the smallest cluster that it can be put on.
    """

    weight: int
    seconds: tuple[float, float]
    occupies: tuple[str, ...]
    everywhere: bool = False
    ends_service: bool = False
    divides: bool = False
    mutes: bool = False
    takes_power: bool = False
    stays: bool = False
    least_nodes: int = 2


KINDS: Mapping[str, Kind] = {
    "stop": Kind(4, (1, 12), ("stack",), ends_service=True, divides=True),
    "power_loss": Kind(
        5,
        (1, 16),
        ("stack", "agent", "metadata", "filter"),
        ends_service=True,
        divides=True,
        mutes=True,
        takes_power=True,
    ),
    "reboot": Kind(
        3,
        (1, 12),
        ("stack", "agent", "metadata", "filter"),
        ends_service=True,
        divides=True,
        mutes=True,
        takes_power=True,
    ),
    "dead_for_good": Kind(
        3,
        (1, 4),
        ("stack", "agent", "metadata", "filter", "ring", "services", "events", "aws"),
        ends_service=True,
        divides=True,
        mutes=True,
        takes_power=True,
        stays=True,
    ),
    "leaves_and_joins": Kind(
        4,
        (1, 8),
        ("stack", "agent", "metadata", "filter", "ring", "services", "events", "aws", "cib"),
        ends_service=True,
        divides=True,
        mutes=True,
        takes_power=True,
        least_nodes=3,
    ),
    "freeze": Kind(
        5, (0.5, 12), ("stack", "agent", "metadata"), ends_service=True, divides=True, mutes=True
    ),
    "kill_corosync": Kind(3, (1, 12), ("stack",), ends_service=True, divides=True),
    "kill_pacemaker": Kind(3, (1, 12), ("stack",), ends_service=True, divides=True),
    "partition": Kind(6, (0.5, 24), ("ring",), divides=True),
    "loss_in": Kind(3, (0.5, 16), ("ring", "filter"), divides=True),
    "loss_out": Kind(3, (0.5, 16), ("ring", "filter"), divides=True),
    "kill_agent": Kind(3, (1, 12), ("agent",), mutes=True),
    "freeze_agent": Kind(2, (1, 12), ("agent",), mutes=True),
    "aws_unreachable": Kind(2, (1, 14), ("aws",), mutes=True),
    "aws_refused": Kind(2, (1, 14), ("aws",), mutes=True),
    "aws_blackhole": Kind(3, (1, 14), ("aws",), mutes=True),
    "aws_away": Kind(2, (1, 14), ("aws",), everywhere=True, mutes=True),
    "aws_errors": Kind(3, (1, 12), ("services",), everywhere=True, mutes=True),
    "aws_throttles": Kind(3, (1, 12), ("services",), everywhere=True, mutes=True),
    "ec2_errors": Kind(3, (1, 12), ("services",), everywhere=True),
    "events_lost": Kind(2, (1, 12), ("events",), everywhere=True, mutes=True),
    "events_late": Kind(2, (1, 12), ("events",), everywhere=True, mutes=True),
    "crm_mon_hangs": Kind(4, (1, 20), ("crm_mon",)),
    "crm_mon_fails": Kind(3, (1, 20), ("crm_mon",)),
    "crm_mon_not_connected": Kind(3, (0.5, 3), ("crm_mon",)),
    "acl_on": Kind(2, (1, 20), ("cib",), everywhere=True),
    "metadata_refused": Kind(2, (1, 14), ("metadata",)),
    "metadata_hangs": Kind(2, (1, 14), ("metadata",)),
}
"""All that is put on, by name. `filter`: the packet filters, which a loss of power would take."""

_CLUSTER_WIDE = ("ring", "filter", "services", "events", "cib")


@dataclass(frozen=True)
class Fault:
    """A fault of a plan: `at` counts from the round's begin, in seconds; `role` is whom it hits."""

    kind: str
    role: int
    at: float
    seconds: float

    @property
    def occupies(self) -> frozenset[Token]:
        """The parts of the site that no other fault may touch meanwhile."""
        everywhere = KINDS[self.kind].everywhere
        return frozenset(
            (part, None if everywhere or part in _CLUSTER_WIDE else self.role)
            for part in KINDS[self.kind].occupies
        )

    def excludes(self, other: Fault) -> bool:
        """Whether both cannot be put on at the same time."""
        return any(
            part == other_part and (role == other_role or None in (role, other_role))
            for part, role in self.occupies
            for other_part, other_role in other.occupies
        )

    def __str__(self) -> str:
        where = "" if KINDS[self.kind].everywhere else f" of {role_name(self.role)}"
        return f"{self.kind}{where} at {self.at:.1f} s for {self.seconds:.1f} s"


@dataclass(frozen=True)
class Plan:
    """One round: its number, the size of its cluster, and its faults by the time they begin."""

    seed: int
    number: int
    size: int
    faults: tuple[Fault, ...]

    def __str__(self) -> str:
        return " + ".join(str(fault) for fault in self.faults)


def role_name(role: int) -> str:
    """A role in words."""
    return "the holder" if role == HOLDER else f"standby {role}"


def draw(seed: int, number: int) -> Plan:
    """The plan of a round; odd rounds are for two nodes, even ones for three."""
    rng = random.Random(f"{seed}/{number}")  # noqa: S311 - repeatable on purpose
    size = 2 if number % 2 else 3
    first = _fault(rng, size, 0.0)
    if rng.random() >= PAIRS:
        return Plan(seed, number, size, (first,))
    for _ in range(_TRIES):
        # Trouble in the middle of what other trouble has set off.
        second = _fault(rng, size, round(rng.uniform(0.0, first.seconds), 2))
        if not first.excludes(second):
            return Plan(seed, number, size, (first, second))
    raise AssertionError("some fault goes with every other one")


def _fault(rng: random.Random, size: int, at: float) -> Fault:
    kinds = {name: kind.weight for name, kind in KINDS.items() if kind.least_nodes <= size}
    (name,) = rng.choices(list(kinds), list(kinds.values()))
    low, high = KINDS[name].seconds
    # Short ones are as likely as long ones: many races live below a few seconds.
    seconds = low * (high / low) ** rng.random()
    # The holder as often as all others together.
    role = HOLDER if rng.random() < 1 / 2 else rng.randrange(1, size)
    return Fault(name, role, at, round(seconds, 2))
