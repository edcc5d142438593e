"""`python -m lab.layouts`: a cluster's ordinary year in each layout, beside `awseip`.

Each contender has a cluster of its own in each layout, set up the classic way with
`migration-threshold=1`. Nobody cleans up unless it ends with a node banned, and that is told.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from lab.cluster import enclosure
from lab.contest.contenders import Awseip, Contender, EipArbiter
from lab.embedded.ways import LAYOUTS, Layout
from lab.layouts.steps import Step, Year
from lab.real_site import real_cluster

CONTENDERS = {"arbiter": EipArbiter, "awseip": Awseip}
_COLUMNS = ("layout", "who", "step", "address", "packet", "down", "moves", "put right by a person")


def year(layout: Layout, contender: Contender, token_ms: int) -> list[Step]:
    """One contender's steps on a cluster of its own, told as they end."""
    steps = []
    with real_cluster(token_ms=token_ms, layout=layout) as place:
        if isinstance(contender, EipArbiter):
            contender.join(place)
        else:
            contender.create(place)  # as in the classic set-up: a failure bans its node
        for step in Year(place, contender, layout).all():
            print(row(step), flush=True)
            steps.append(step)
    return steps


def row(step: Step) -> str:
    """A step as a line of the table."""
    what = "; ".join([*step.helped, *step.problems]) or "nothing"
    return (
        f"{step.layout:<15}{step.contender:<13}{step.name:<21}{_seconds(step.address_seconds)}"
        f"{_seconds(step.packet_seconds)}{_seconds(step.down_seconds)}{step.moves:>7}  {what}"
    )


def _seconds(value: float | None) -> str:
    return f"{'-' if value is None else format(value, '.1f'):>9}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Reads the command line."""
    parser = argparse.ArgumentParser(prog="python -m lab.layouts", description=__doc__)
    parser.add_argument("--layout", nargs="+", choices=LAYOUTS, default=list(LAYOUTS))
    parser.add_argument("--who", nargs="+", choices=CONTENDERS, default=list(CONTENDERS))
    again = "after so long EC2 gives a node that lost the address another public one"
    parser.add_argument("--new-address-seconds", type=float, default=180.0, help=again)
    parser.add_argument("--token", type=int, default=1000, help="Corosync's token, milliseconds")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the steps there")
    chosen = parser.parse_args(arguments)
    missing = enclosure.requirements_missing()
    if missing:
        print(*(f"missing: {what}" for what in missing), sep="\n", file=sys.stderr)
        return 2
    enclosure.ensure_inside()
    began, steps = time.monotonic(), []
    print(
        "seconds from the fault; `packet` adds the layout's mapping, the rest is control plane only"
    )
    layout_, who, name, *numbers, last = _COLUMNS
    widths = (9, 9, 9, 7)
    columns = "".join(f"{text:>{w}}" for text, w in zip(numbers, widths, strict=True))
    print(f"{layout_:<15}{who:<13}{name:<21}{columns}  {last}", flush=True)
    for name in chosen.layout:
        layout = dataclasses.replace(LAYOUTS[name], new_address_seconds=chosen.new_address_seconds)
        for key in chosen.who:
            steps += year(layout, CONTENDERS[key](), chosen.token)
    ours = [step for step in steps if step.contender == EipArbiter().name]
    wrong = [step for step in ours if step.helped or step.problems]
    print(f"\n{time.monotonic() - began:.0f} s in all; ", end="")
    print(f"WRONG: {len(wrong)} steps" if wrong else "all of ours as it must be")
    if chosen.json:
        told = [dataclasses.asdict(step) for step in steps]
        chosen.json.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
