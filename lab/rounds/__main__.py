"""`python -m lab.rounds --rounds 100 --seed 1`: random real faults on real clusters, judged.

Odd rounds are for a cluster of two nodes, even ones for three. Both run at the same time, each in
an enclosure of its own that leaves nothing behind.
"""

from __future__ import annotations

import argparse
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from lab.cluster import enclosure
from lab.rounds import show
from lab.rounds.outcome import Outcome, from_json, to_json
from lab.rounds.plan import KINDS, draw
from spec.spinning import missing_tools

_TAIL = 3000


@dataclass
class _Worker:
    """A cluster's own process, its outcomes, and all else that it says."""

    process: subprocess.Popen[bytes]
    told: IO[str]
    output: IO[bytes]

    def tail(self) -> str:
        """The last that it said."""
        self.output.seek(0)
        return self.output.read().decode(errors="replace")[-_TAIL:]


class BrokenError(Exception):
    """The lab itself broke: nothing can be said of the product."""


def play(seed: int, numbers: Sequence[int], logs: Path | None) -> Iterator[Outcome]:
    """Plays rounds on as many clusters as there are sizes among them, as they come.

    Raises:
        BrokenError: a cluster could not be made, or its process ended.
    """
    by_size: dict[int, list[int]] = {}
    for number in numbers:
        by_size.setdefault(draw(seed, number).size, []).append(number)
    told: queue.SimpleQueue[tuple[_Worker, str]] = queue.SimpleQueue()
    # Started here and not in the threads: a worker dies with the thread that started it.
    workers = [_start(size, seed, mine, logs) for size, mine in by_size.items()]
    for worker in workers:
        threading.Thread(target=_listen, args=(worker, told), daemon=True).start()
    try:
        left = len(workers)
        while left:
            worker, text = told.get()
            if text:
                yield _outcome(json.loads(text))
                continue
            left -= 1
            if worker.process.wait() != 0:
                raise BrokenError(worker.tail())
    finally:
        for worker in workers:
            worker.process.kill()
            worker.process.wait()


def _listen(worker: _Worker, told: queue.SimpleQueue[tuple[_Worker, str]]) -> None:
    """Passes on what a worker tells, line by line; an empty line is its end."""
    for text in worker.told:
        told.put((worker, text))
    told.put((worker, ""))


def _start(size: int, seed: int, numbers: list[int], logs: Path | None) -> _Worker:
    read_end, write_end = os.pipe()
    output: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - for the worker's whole life
    arguments = [str(size), str(seed), json.dumps(numbers), str(write_end)]
    process = enclosure.start(
        [sys.executable, "-m", "lab.rounds.worker", *arguments, *([str(logs)] if logs else [])],
        output=output,
        pass_fds=(write_end,),
    )
    os.close(write_end)
    return _Worker(process, os.fdopen(read_end), output)


def _outcome(data: dict[str, object]) -> Outcome:
    if "broken" in data:
        raise BrokenError(str(data["broken"]))
    return from_json(data)


def run(arguments: argparse.Namespace) -> int:
    """Plays, prints, and says by its exit code whether an invariant was violated."""
    missing = enclosure.requirements_missing()
    if missing:
        print(*(f"missing: {what}" for what in missing), sep="\n", file=sys.stderr)
        return 2
    numbers = _numbers(arguments)
    began = time.monotonic()
    print(
        f"fault rounds: {len(numbers)} of seed {arguments.seed}; real Pacemaker and Corosync, "
        "the AWS is embedded",
        flush=True,
    )
    for tool in missing_tools():
        print(f"{tool} is missing: no history is held against the specification", flush=True)
    outcomes: list[Outcome] = []
    try:
        for outcome in play(arguments.seed, numbers, arguments.logs):
            outcomes.append(outcome)
            print(show.line(outcome, len(outcomes), len(numbers)), flush=True)
            if not outcome.ok or arguments.timeline:
                print(show.violation(outcome), flush=True)
    except BrokenError as error:
        print(f"the lab broke:\n{error}", file=sys.stderr)
        return 3
    seconds = time.monotonic() - began
    wrong = sorted(outcome.number for outcome in outcomes if not outcome.ok)
    print(f"\n{show.table(outcomes)}\n")
    print(f"{seconds:.0f} s in all; {f'VIOLATED in rounds {wrong}' if wrong else 'no violation'}")
    if arguments.json:
        document = {
            "seed": arguments.seed,
            "seconds": round(seconds, 1),
            "violated": wrong,
            "rounds": [{**to_json(o), "ok": o.ok} for o in outcomes],
        }
        arguments.json.write_text(json.dumps(document, indent=2) + "\n")
    return 1 if wrong else 0


def _numbers(arguments: argparse.Namespace) -> list[int]:
    """The rounds to play: as many as wanted, of one size or with one kind of fault if wanted."""
    found: list[int] = []
    number = arguments.first
    while len(found) < arguments.rounds:
        plan = draw(arguments.seed, number)
        of_kind = arguments.kind in (None, *(fault.kind for fault in plan.faults))
        if of_kind and arguments.nodes in (None, plan.size):
            found.append(number)
        number += 1
    return found


def main() -> int:
    """Reads the command line."""
    parser = argparse.ArgumentParser(prog="python -m lab.rounds", description=__doc__)
    parser.add_argument("--rounds", type=int, default=20, help="how many")
    parser.add_argument("--seed", type=int, default=1, help="of what is drawn")
    parser.add_argument("--first", type=int, default=1, help="the number of the first one")
    parser.add_argument("--nodes", type=int, choices=(2, 3), help="only clusters of this size")
    parser.add_argument("--kind", choices=KINDS, help="only rounds with this kind of fault")
    parser.add_argument("--timeline", action="store_true", help="show all that happened")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the outcomes there")
    parser.add_argument(
        "--logs", type=Path, metavar="DIR", help="keep each history, and nodes' logs of violations"
    )
    arguments = parser.parse_args()
    # So that a polite end cleans up like Ctrl-C does, and Ctrl-C works in a background job too.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        return run(arguments)
    except KeyboardInterrupt:
        return 128 + signal.SIGINT


if __name__ == "__main__":
    sys.exit(main())
