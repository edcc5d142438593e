"""`python -m spec`: checks the model; `--history FILE`: whether a history is a run of it.

FILE has what the verb `history` answered, or a query of the table, which has the evidence too.

Exits with 0 if all is as the specification allows, with 1 if not, with 2 for a file that is no
history, with 3 where Spin came to no verdict within its bounds, and with 69 where Spin or a C
compiler is missing.
"""

# ruff: noqa: T201 - a command speaks to its terminal

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from spec.checking import LONG, SHORT, Run, check
from spec.histories import NoHistoryError, read
from spec.spinning import MissingToolError, ModelError, need_tools
from spec.validate import validate

UNAVAILABLE = 69
"""`EX_UNAVAILABLE` of sysexits.h."""


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m spec", description=__doc__)
    parser.add_argument("--history", metavar="FILE", help="JSON of a history, `-` for the input")
    parser.add_argument("--long", action="store_true", help="larger bounds: some minutes")
    given = parser.parse_args()
    try:
        need_tools()
        if not given.history:
            return _checked(LONG if given.long else SHORT)
        whole = sys.stdin.read() if given.history == "-" else Path(given.history).read_text()
        answer = validate(read(whole))
    except MissingToolError as missing:
        print(missing, file=sys.stderr)
        return UNAVAILABLE
    except ModelError as error:
        print(error, file=sys.stderr)
        return 3
    except (NoHistoryError, OSError, UnicodeError) as error:
        print(error, file=sys.stderr)
        return 2
    print(answer.sentence)
    return int(not answer.allowed)


def _checked(runs: tuple[Run, ...]) -> int:
    failed = False
    for line, holds in check(runs):
        print(line, flush=True)
        failed |= not holds
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
