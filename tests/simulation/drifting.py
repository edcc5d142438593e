"""`--drift`: how `DriftSeconds` was chosen.

Whoever holds an address is killed again and again, while one association in four is made long after
it was asked for. It may land on the old holder, after the new one got the address: R080 puts that
right once the grant is older than `DriftSeconds`. The shorter they are, the sooner, and the oftener
a metadata service that only lags is taken for drift: a second set of runs, in which no call is
late, shows what that costs.
"""

# ruff: noqa: T201 - a command speaks to its terminal

from __future__ import annotations

import dataclasses
import itertools
import multiprocessing

from simulation import shims
from simulation.setup import METADATA_LAG_SECONDS, Setup
from simulation.silence import DEATH_SECONDS, DEATHS, one_kind
from simulation.world import Result, World

DRIFT_SECONDS = (5, 15, 30, 60)
LAGS_SECONDS = (METADATA_LAG_SECONDS, 45.0)
LATE_CALLS = 0.25


def _setup(seed: int, late: float, drift_seconds: int, lag_seconds: float) -> Setup:
    return dataclasses.replace(
        one_kind(seed, "holder_dies", DEATHS, DEATH_SECONDS),
        climate={"ec2_late": late},
        drift_ms=1000 * drift_seconds,
        metadata_lag_seconds=lag_seconds,
    )


def _play(job: tuple[int, float, int, float]) -> tuple[Result, int, int]:
    """The result, the associations of the arbiter's, and the notices of a move."""
    with shims.installed():
        world = World(_setup(*job))
        result = world.run()
    calls = sum(landing.term > 0 for landing in world.region.ec2.journal)
    told = sum(n for (kind, *_), n in world.watch.notices.items() if kind == "Address Moved")
    return result, calls, told


def tell(runs: int, first: int, jobs: int) -> int:
    """Plays all of it on the same seeds, and tells the figures."""
    with multiprocessing.Pool(jobs, maxtasksperchild=50) as pool:
        for late, lag, drift in itertools.product((LATE_CALLS, 0.0), LAGS_SECONDS, DRIFT_SECONDS):
            work = [(seed, late, drift, lag) for seed in range(first, first + runs)]
            played = pool.map(_play, work, 4)
            away = sorted(s for result, _, _ in played for s in result.wrong_place) or [0.0]
            print(
                f"{late:.0%} of calls late, metadata up to {lag:.0f} s late, DriftSeconds {drift}: "
                f"elsewhere than it runs {sum(away) / len(away):.2f} s for each fault, "
                f"p99 {away[int(0.99 * (len(away) - 1))]:.1f} s, at most {away[-1]:.1f} s; R080 "
                f"{sum(result.moves['R080 (same holder)'] for result, _, _ in played)} times, "
                f"{sum(calls for _, calls, _ in played)} associations, "
                f"{sum(told for _, _, told in played)} notices of a move",
                flush=True,
            )
    return 0
