"""`python -m simulation --recovery`: how soon the service is back after a long trouble.

The holder dies while a service of AWS answers nothing for half an hour, or the cluster is paused
for so long. What is counted begins with the trouble's end.
"""

# ruff: noqa: T201 - a command speaks to its terminal

from __future__ import annotations

import multiprocessing
import statistics

from simulation import truth
from simulation.faults import OUTAGES
from simulation.setup import outage_setup
from simulation.shims import installed
from simulation.world import World

OUTAGE_SECONDS, LONGEST_SECONDS, STEP_SECONDS = 1_800.0, 900.0, 0.25
WANTED_SECONDS = 15.0


def measure(job: tuple[int, str]) -> tuple[str, int, float]:
    """One run: the seconds without service after the trouble, infinite if it never came back."""
    seed, kind = job
    with installed():
        world = World(outage_setup(seed, kind, OUTAGE_SECONDS))
        world.begin()
        world.loop.run_until(world.setup.calm_from)
        cluster, begin = world.clusters[0], world.loop.now
        resource = cluster.nodes[0].resources[0]
        while world.loop.now < begin + LONGEST_SECONDS:
            running = [node for node in cluster.nodes if truth.runs(node, resource)]
            if running and not truth.is_elsewhere(world.watch, cluster, resource, running):
                return kind, seed, world.loop.now - begin
            world.loop.run_until(world.loop.now + STEP_SECONDS)
    return kind, seed, float("inf")


def tell(runs: int, first: int, jobs: int) -> int:
    """Runs a quarter of them for each trouble; tells median and worst, and 1 if any is too long."""
    work = [(first + number, OUTAGES[number % len(OUTAGES)]) for number in range(runs)]
    with multiprocessing.Pool(jobs) as pool:
        found = list(pool.imap_unordered(measure, work))
    for kind in OUTAGES:
        ours = sorted((seconds, seed) for known, seed, seconds in found if known == kind)
        if not ours:
            continue
        seconds, seed = ours[-1]
        median = statistics.median(value for value, _ in ours)
        print(
            f"{kind}: {len(ours)} runs, median {median:.1f} s, worst {seconds:.1f} s (seed {seed})"
        )
    every = [seconds for _, _, seconds in found]
    print(f"all: median {statistics.median(every):.1f} s, worst {max(every):.1f} s")
    return int(max(every) > WANTED_SECONDS)
