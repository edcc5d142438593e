"""What a seed makes of a run before anything happens."""

# ruff: noqa: S311 - a run must be repeatable, nothing is secret

from __future__ import annotations

import random
from dataclasses import dataclass

from simulation.faults import Fault, one_at_a_time, schedule
from simulation.weather import CLIMATE_LIMITS

FIRST_FAULT_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Setup:
    """What a seed makes of a run before anything happens."""

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


def make_setup(seed: int) -> Setup:
    """What this seed stands for."""
    rng = random.Random(f"{seed} setup")
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
    return Setup(
        seed=seed,
        sizes=sizes,
        addresses=rng.choice((1, 1, 1, 2)),
        token_seconds=rng.choice((1.0, 1.0, 3.0)),
        stops_without_quorum=rng.random() < 0.5,
        release_ms=rng.choice((20_000, 60_000)),
        climate=climate,
        faults=tuple(faults),
        serial=serial,
        calm_from=calm_from,
    )
