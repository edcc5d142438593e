"""`python -m spec`: checks the model; `--history FILE`: whether a history is a run of it.

Exits with 0 if all is as the specification allows, with 1 if not, with 2 for a file that is no
history, and with 69 where Spin or a C compiler is missing.
"""

# ruff: noqa: T201 - a command speaks to its terminal

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from spec.checking import check
from spec.histories import NoHistoryError, read
from spec.spinning import MissingToolError, need_tools
from spec.validate import validate

UNAVAILABLE = 69
"""`EX_UNAVAILABLE` of sysexits.h."""


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m spec", description=__doc__)
    parser.add_argument(
        "--history", metavar="FILE", help="JSON of the verb `history`, or a line each"
    )
    parser.add_argument(
        "--lost-lines",
        action="store_true",
        help="an invocation may have died between a step and its line of history",
    )
    parser.add_argument("--move-seconds", type=float, default=10, help="the stack's MoveSeconds")
    given = parser.parse_args()
    try:
        need_tools()
        if not given.history:
            return _checked()
        lines = read(Path(given.history).read_text())
        answer = validate(
            lines, lost_lines=given.lost_lines, move_ms=int(1000 * given.move_seconds)
        )
    except MissingToolError as missing:
        print(missing, file=sys.stderr)
        return UNAVAILABLE
    except (NoHistoryError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    print(answer.sentence)
    return int(not answer.allowed)


def _checked() -> int:
    failed = False
    for line, holds in check():
        print(line, flush=True)
        failed |= not holds
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
