"""What a seed makes of a run before anything happens."""

# ruff: noqa: S311 - a run must be repeatable, nothing is secret

from __future__ import annotations

import random
from dataclasses import dataclass, replace

from eip_arbiter.decision.policy import Policy

from simulation.faults import (
    AIMED,
    OF_PLAIN,
    OUTAGES,
    Fault,
    aimed,
    one_at_a_time,
    schedule,
    through_an_outage,
)
from simulation.ports import EC2_CLIENT_SECONDS
from simulation.weather import CLIMATE_LIMITS

FIRST_FAULT_SECONDS = 30.0
LONG, LONGEST_OUTAGE_SECONDS = 0.03, (120.0, 1_800.0)
"""So many runs have one trouble that lasts so long."""

AIMED_RUNS, AIMED_FAULTS = 0.12, (2, 3)
"""So many runs are made of so many aimed faults, and of nothing else."""

LEAST_START_SECONDS = 20.0
PUBLIC_WAYS = 0.25
"""So many of the others have nodes that talk to AWS by the public IPv4 address they were given."""

START_SECONDS = (60.0, 60.0, LEAST_START_SECONDS)
"""The resource's start timeout: the documented one, and that of older installations."""

JUDGED_IN_THE_CALM = ("drifts", "needed_after_a_refusal")

METADATA_LAG_SECONDS = 8.0
"""The metadata service lags behind EC2 by so much at the most."""

MOST_SKEW_SECONDS, ENVIRONMENTS = 0.5, 4
"""Any two environments' clocks differ by up to a second."""


@dataclass(frozen=True, slots=True)
class Setup:
    """What a seed makes of a run before anything happens.

    `blocks`: `multiple-active=block`, else `stop_unexpected`. `plain`: the second resource is not
    of our resource agent. `later`: the second address has no tag yet. `spares`: clusters whose last
    node is not there yet. `skews`: by how much the clocks of Lambda's environments are off.
    """

    seed: int
    sizes: tuple[int, ...]
    addresses: int
    token_seconds: float
    stops_without_quorum: bool
    release_ms: int
    climate: dict[str, float]
    faults: tuple[Fault, ...]
    serial: bool
    calm_from: float
    answer_ms: int = 3_000
    blocks: bool = True
    plain: bool = False
    later: bool = False
    spares: tuple[bool, ...] = ()
    skews: tuple[float, ...] = ()
    public_ways: bool = False
    start_seconds: float = 60.0
    drift_ms: int = Policy().drift_ms
    metadata_lag_seconds: float = METADATA_LAG_SECONDS


def make_setup(seed: int) -> Setup:
    """What this seed stands for."""
    rng = random.Random(f"{seed} setup")
    if rng.random() < LONG:
        low, high = LONGEST_OUTAGE_SECONDS
        return outage_setup(seed, rng.choice(OUTAGES), low * (high / low) ** rng.random())
    # By dice of its own, so that all other seeds stay what they were without such runs.
    dice = random.Random(f"{seed} aimed")
    if dice.random() < AIMED_RUNS:
        return aimed_setup(seed, dice.sample(sorted(AIMED), dice.choice(AIMED_FAULTS)))
    public_ways = dice.random() < PUBLIC_WAYS
    start_seconds = dice.choice(START_SECONDS)
    serial = rng.random() < 0.25
    clusters = 1 if serial else rng.choice((1, 1, 1, 2, 3))
    sizes = tuple(rng.choice((2, 2, 2, 2, 3, 3, 4, 5)) for _ in range(clusters))
    climate = {}
    clean = serial and rng.random() < 0.6
    if not clean and rng.random() < 0.7:
        worst = rng.random() ** 2
        climate = {kind: worst * limit * rng.random() for kind, limit in CLIMATE_LIMITS.items()}
    if serial:
        count = rng.randint(4, 8)
        faults = one_at_a_time(
            rng,
            clusters,
            max(sizes),
            begin=FIRST_FAULT_SECONDS,
            gap=60.0 if clean else 90.0,
            clean=clean,
            count=count,
        )
        calm_from = faults[-1].at + faults[-1].seconds + 30.0
    else:
        length = rng.uniform(60.0, 200.0)
        count = rng.randint(10, 40) * clusters
        faults = schedule(
            rng,
            clusters,
            max(sizes),
            begin=FIRST_FAULT_SECONDS,
            end=FIRST_FAULT_SECONDS + length,
            count=count,
        )
        calm_from = FIRST_FAULT_SECONDS + length + 1.0
    addresses = rng.choice((1, 1, 1, 2))
    second = rng.random() if addresses > 1 else 1.0
    return Setup(
        seed=seed,
        sizes=sizes,
        addresses=addresses,
        token_seconds=rng.choice((1.0, 1.0, 3.0)),
        stops_without_quorum=rng.random() < 0.5,
        release_ms=rng.choice((20_000, 60_000)),
        climate=climate,
        faults=tuple(faults),
        serial=serial,
        calm_from=calm_from,
        blocks=rng.random() < 0.75,
        plain=second < 0.4,
        later=0.4 <= second < 0.6,
        spares=tuple(size > 2 and rng.random() < 0.4 for size in sizes),
        skews=_skews(rng) if rng.random() < 0.25 else (),
        answer_ms=rng.choice((3_000, 3_000, 3_000, longest_answer_ms())),
        public_ways=public_ways,
        start_seconds=start_seconds,
    )


def _skews(rng: random.Random) -> tuple[float, ...]:
    most = MOST_SKEW_SECONDS
    return tuple(rng.uniform(-most, most) for _ in range(ENVIRONMENTS))


def longest_answer_ms() -> int:
    """The longest answer time in whole seconds that docs/timing.md lets any installation have."""
    least_ms = int(LEAST_START_SECONDS * 1000)
    policy = Policy(ec2_call_ms=int(EC2_CLIENT_SECONDS * 1000), start_timeout_ms=least_ms)
    allowed = (ms for ms in range(1_000, policy.start_timeout_ms, 1_000))
    return max(ms for ms in allowed if not replace(policy, answer_ms=ms).problems())


def aimed_setup(seed: int, kinds: list[str]) -> Setup:
    """One cluster in good weather, and aimed faults one after the other."""
    rng = random.Random(f"{seed} aimed faults")
    # These come last, and a node alone has no quorum in three or more.
    kinds = sorted(kinds, key=JUDGED_IN_THE_CALM.__contains__)
    nodes = rng.choice((3, 3, 4)) if "left_alone" in kinds else rng.choice((2, 2, 2, 3))
    plain = any(kind in OF_PLAIN for kind in kinds)
    faults = aimed(rng, nodes, kinds, begin=60.0)
    return Setup(
        seed=seed,
        sizes=(nodes,),
        addresses=2 if plain else 1,
        token_seconds=1.0,
        stops_without_quorum="left_alone" not in kinds and rng.random() < 0.5,
        release_ms=60_000,
        climate={},
        faults=tuple(faults),
        serial=False,
        calm_from=faults[-1].at + faults[-1].seconds + rng.uniform(1.0, 20.0),
        answer_ms=rng.choice((3_000, longest_answer_ms())),
        blocks=rng.random() < 0.75,
        plain=plain,
        spares=(False,),
    )


def outage_setup(seed: int, kind: str, seconds: float) -> Setup:
    """One cluster, and one long trouble in which the holder dies."""
    rng = random.Random(f"{seed} outage")
    nodes = rng.choice((2, 2, 3))
    faults = through_an_outage(rng, nodes, kind, begin=60.0, seconds=seconds)
    return Setup(
        seed=seed,
        sizes=(nodes,),
        addresses=1,
        token_seconds=1.0,
        stops_without_quorum=rng.random() < 0.5,
        release_ms=60_000,
        climate={},
        faults=tuple(faults),
        serial=False,
        calm_from=60.0 + seconds + 0.1,
        spares=(False,),
    )
