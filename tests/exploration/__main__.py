"""`python -m exploration --nodes 2 --depth 9`: explores, and prints how much was visited.

Run from `tests/`. Exits with 1 at the first violation, with the shortest way to it in words.
"""

from __future__ import annotations

import argparse
import gc
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / part) for part in ("tests", "layers/contract/src", "layers/core/src")]

from exploration.search import Found, explore  # noqa: E402 - the path comes first
from exploration.world import Budget, Limits  # noqa: E402


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m exploration", description=__doc__)
    parser.add_argument("--nodes", type=int, default=2, choices=(2, 3))
    parser.add_argument("--depth", type=int, default=6)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin no depth after")
    parser.add_argument("--invocations", type=int, default=2, help="invocations at once")
    for name, default in Budget()._asdict().items():
        parser.add_argument(f"--{name}", type=int, default=default)
    given = parser.parse_args()
    gc.disable()  # States hold no cycles, and there are millions.
    found = explore(
        Limits(given.nodes, given.invocations),
        Budget(*(getattr(given, name) for name in Budget._fields)),
        given.depth,
        seconds=given.seconds,
        tell=lambda line: print(line, file=sys.stderr, flush=True),  # noqa: T201
    )
    print("\n".join(lines(found)))  # noqa: T201
    return bool(found.violation)


def lines(found: Found) -> list[str]:
    """What was found, for people."""
    said = [
        f"depth {found.depth}: {found.states} states, {found.transitions} transitions",
        f"seconds: {found.seconds:.1f}",
        f"new states by depth: {' '.join(map(str, found.levels))}",
        f"rules that acted: {' '.join(sorted(found.rules))}",
    ]
    if not found.violation:
        return [*said, "no violation"]
    way = [f"  {number}. {step}" for number, step in enumerate(found.trace, 1)]
    return [*said, f"VIOLATION {found.violation}", *way]


if __name__ == "__main__":
    sys.exit(main())
