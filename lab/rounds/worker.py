"""Plays rounds on one real cluster, in an enclosure of its own, and tells of each as it ends.

`python -m lab.rounds.worker SIZE SEED NUMBERS DESCRIPTOR [LOGS]`: outcomes go to the descriptor, a
line of JSON each.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
import traceback
from collections.abc import Iterator
from pathlib import Path

from lab.cluster.protocol import ClusterError
from lab.real_site import install, real_cluster
from lab.rounds.injections import Lab
from lab.rounds.judge import judge
from lab.rounds.outcome import Outcome, outcome_of, to_json
from lab.rounds.plan import draw
from lab.rounds.play import NotCalmError, play
from lab.rounds.recorder import Recorder

TOKEN_MS = 1000
_MOST_CLUSTERS = 4
"""A cluster that does not come back is a violation, and is made anew so often."""


@contextlib.contextmanager
def lab_of(size: int) -> Iterator[tuple[Lab, Recorder]]:
    """A fresh cluster with the product installed, and what records it."""
    with real_cluster(size, token_ms=TOKEN_MS) as place:
        lab = Lab(install(place), place.cluster, place.aws, place.world)
        yield lab, Recorder(lab)


def rounds(size: int, seed: int, numbers: list[int], logs: Path | None) -> Iterator[Outcome]:
    """Plays these rounds in order; a lab that is spoiled is replaced by a new one."""
    left = list(numbers)
    for _ in range(_MOST_CLUSTERS):
        with lab_of(size) as (lab, recorder):
            while left:
                plan, began = draw(seed, left[0]), time.monotonic()
                try:
                    facts = play(lab, recorder, plan)
                except NotCalmError as error:
                    print(f"round {plan.number} could not begin: {error}", flush=True)
                    break
                left.pop(0)
                violations = judge(facts)
                if logs is not None:
                    folder = logs / f"round-{plan.number}"
                    folder.mkdir(parents=True, exist_ok=True)
                    (folder / "history.json").write_text(facts.export)
                    if violations:
                        lab.cluster.save_logs(folder)
                yield outcome_of(facts, violations, time.monotonic() - began)
                if facts.end.trouble:
                    break
        if not left:
            return
    raise ClusterError(f"rounds {left} could not be played: the clusters did not come up")


def main() -> int:
    """Reads the command line, plays and tells."""
    size, seed, numbers, descriptor, *rest = sys.argv[1:]
    logs = Path(rest[0]) if rest else None
    with os.fdopen(int(descriptor), "w", buffering=1) as told:
        try:
            for outcome in rounds(int(size), int(seed), json.loads(numbers), logs):
                told.write(json.dumps(to_json(outcome)) + "\n")
        except (ClusterError, OSError):
            told.write(json.dumps({"broken": traceback.format_exc()}) + "\n")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
