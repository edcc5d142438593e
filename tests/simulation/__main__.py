"""`python -m simulation --seeds N`: many runs, what was injected, what came of it, what broke.

Run from `tests/`. Exits with 1 if an invariant was broken, and shows the first such seed: its
schedule, shrunk as far as it goes, and the timeline of that.
"""

# ruff: noqa: T201 - a command speaks to its terminal

from __future__ import annotations

import argparse
import dataclasses
import functools
import multiprocessing
import sys
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PARTS = (".", "tests", "layers/contract/src", "layers/core/src", "node_agent/src")
sys.path[:0] = [str(ROOT / part) for part in PARTS]

from simulation import drifting, mutants, recovery, silence  # noqa: E402 - the path comes first
from simulation.report import Summary, write_json  # noqa: E402
from simulation.setup import Setup, make_setup  # noqa: E402
from simulation.shrink import shrink  # noqa: E402
from simulation.world import Result, run  # noqa: E402

PROGRESS_SECONDS = 10.0
CHUNK = 8
SHOWN_LINES = 120
DULL = ("rejected, stale", "R030: ", " monitor eip -> 0", " monitor vip -> 0")
"""Lines of which every timeline is full."""


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=200, help="how many")
    parser.add_argument("--first", type=int, default=1, help="the first one")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--json", metavar="FILE", help="write all figures there")
    parser.add_argument("--timeline", action="store_true", help="show all that one seed does")
    parser.add_argument("--quiet", action="store_true", help="do not shrink what fails")
    parser.add_argument("--mutants", action="store_true", help="plant bugs and see them caught")
    parser.add_argument("--recovery", action="store_true", help="after half an hour of trouble")
    parser.add_argument("--silence", action="store_true", help="how long a holder may be silent")
    parser.add_argument("--drift", action="store_true", help="how soon drift is put right")
    parser.add_argument("--answer-ms", type=int, help="how docs/timing.md chose it")
    parser.add_argument("--only", default="", help="mutants whose name has this in it")
    arguments = parser.parse_args()
    if arguments.mutants:
        return mutants.hunt(arguments.seeds, arguments.first, arguments.jobs, arguments.only)
    if arguments.recovery:
        return recovery.tell(arguments.seeds, arguments.first, arguments.jobs)
    if arguments.silence:
        return silence.tell(arguments.seeds, arguments.first, arguments.jobs)
    if arguments.drift:
        return drifting.tell(arguments.seeds, arguments.first, arguments.jobs)
    if arguments.timeline:
        setup = _setup(arguments.first, arguments.answer_ms)
        result = run(setup, keep_timeline=True)
        print("\n".join(result.timeline))
        print(f"violations: {result.violations or 'none'}")
        return bool(result.violations)
    return many(arguments)


def many(arguments: argparse.Namespace) -> int:
    """Runs seeds and tells what came of them."""
    began = told = time.monotonic()
    seeds, first = arguments.seeds, arguments.first
    summary = Summary()
    for result in results(range(first, first + seeds), arguments.jobs, arguments.answer_ms):
        summary.add(result)
        if result.violations:
            print(f"seed {result.setup.seed}: {result.violations[0]}", flush=True)
        if time.monotonic() - told > PROGRESS_SECONDS:
            told = time.monotonic()
            print(
                f"{summary.runs} of {seeds} runs, {summary.faults} faults, "
                f"{len(summary.failed)} with violations, {told - began:.0f} s",
                flush=True,
            )
    summary.seconds = time.monotonic() - began
    print("\n".join(summary.lines()))
    if arguments.json:
        write_json(arguments.json, summary.as_json())
    if not summary.failed:
        return 0
    if arguments.quiet:
        return 1
    broken = min(summary.failed)
    show(_setup(broken, arguments.answer_ms), summary.failed[broken])
    return 1


def results(seeds: range, jobs: int, answer_ms: int | None) -> Iterator[Result]:
    """The results of many seeds, as they come."""
    play = functools.partial(one, answer_ms=answer_ms)
    if jobs <= 1:
        yield from map(play, seeds)
        return
    with multiprocessing.Pool(jobs, maxtasksperchild=25) as pool:
        yield from pool.imap_unordered(play, seeds, CHUNK)


def one(seed: int, answer_ms: int | None) -> Result:
    """One seed's result; a bug of the simulation itself is told with its seed."""
    try:
        return run(_setup(seed, answer_ms))
    except Exception as error:
        raise RuntimeError(f"seed {seed} could not be run") from error


def _setup(seed: int, answer_ms: int | None) -> Setup:
    setup = make_setup(seed)
    return setup if answer_ms is None else dataclasses.replace(setup, answer_ms=answer_ms)


def show(setup: Setup, violations: list[str]) -> None:
    """The smallest schedule found that still breaks what this one broke, and its timeline."""
    print(f"\nseed {setup.seed} broke:\n  " + "\n  ".join(violations[:5]))
    small = shrink(setup, violations)
    result = run(small, keep_timeline=True)
    print(
        f"shrunk from {len(setup.faults)} to {len(small.faults)} faults, climate {small.climate}:"
    )
    for fault in small.faults:
        print(f"  {fault}")
    lines = [line for line in result.timeline if not any(word in line for word in DULL)]
    broke_at = next((i for i, line in enumerate(lines) if "VIOLATION" in line), len(lines))
    print("the timeline before it broke:")
    print("\n".join(lines[max(0, broke_at - SHOWN_LINES) : broke_at + 1]))


if __name__ == "__main__":
    sys.exit(main())
