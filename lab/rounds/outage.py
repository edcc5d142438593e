"""`python -m lab.rounds.outage --minutes 30`: the holder dies for good while AWS does not answer.

On a real cluster: EventBridge, DynamoDB and EC2, or EC2 alone, answer all that time with errors.
Then the trouble ends; printed is how long it takes until the survivor serves.
"""

from __future__ import annotations

import argparse
import sys

from lab.cluster import enclosure
from lab.rounds.judge import judge
from lab.rounds.plan import HOLDER, Fault, Plan
from lab.rounds.play import play
from lab.rounds.worker import lab_of

_DIES_AFTER_SECONDS = 20.0


def main() -> int:
    """Reads the command line, plays, prints."""
    parser = argparse.ArgumentParser(prog="python -m lab.rounds.outage", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0, help="how long the trouble lasts")
    trouble = ("aws_errors", "aws_throttles", "ec2_errors")
    parser.add_argument("--trouble", choices=trouble, default="aws_errors", help="of what kind")
    arguments = parser.parse_args()
    missing = enclosure.requirements_missing()
    if missing:
        print(*(f"missing: {what}" for what in missing), sep="\n", file=sys.stderr)
        return 2
    enclosure.ensure_inside()
    seconds = 60.0 * arguments.minutes
    # The survivor's power is lost last: all is judged without the holder.
    dies = Fault("dead_for_good", HOLDER, _DIES_AFTER_SECONDS, seconds - _DIES_AFTER_SECONDS)
    with lab_of(2) as (lab, recorder):
        long = Fault(arguments.trouble, HOLDER, 0.0, seconds)
        facts = play(lab, recorder, Plan(0, 1, 2, (long, dies)))
    ended_at = max(put.lifted_at for put in facts.puts)
    for violation in judge(facts):
        print(f"violated: {violation}")
    moves = [f"{move.at - ended_at:.1f} s" for move in facts.moves]
    print(
        f"{arguments.trouble} for {arguments.minutes:g} min, and the holder dead for good: whole "
        f"{facts.end.seconds:.1f} s after the end; moves at {', '.join(moves) or 'no time'} from it"
    )
    return 1 if facts.end.trouble else 0


if __name__ == "__main__":
    sys.exit(main())
