"""What a person sees of fault rounds: a line for each, what was wrong, and a table at the end."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Sequence

from lab.rounds.outcome import Outcome
from lab.rounds.plan import KINDS

_GREEN, _RED, _BOLD = "32", "31", "1"


def coloured(text: str, colour: str) -> str:
    """Coloured on a terminal, plain elsewhere."""
    return f"\033[{colour}m{text}\033[0m" if sys.stdout.isatty() else text


def line(outcome: Outcome, done: int, total: int) -> str:
    """One round in one line."""
    verdict = coloured("ok", _GREEN) if outcome.ok else coloured("VIOLATION", _RED)
    moves = f"{outcome.moves} move{'' if outcome.moves == 1 else 's'}"
    return (
        f"{done:4}/{total}  round {outcome.number:<4} {outcome.size} nodes  {moves:<7}"
        f" whole {outcome.whole_seconds:5.1f} s  {verdict}  {outcome.faults}"
    )


def violation(outcome: Outcome) -> str:
    """All that a person needs to understand a violation, and to see it again."""
    parts = [
        coloured(f"round {outcome.number} of seed {outcome.seed}: {outcome.plan}", _BOLD),
        *(coloured(f"  {sentence}", _RED) for sentence in outcome.violations),
        *(f"  {text}" for text in outcome.timeline),
        f"  again: {outcome.replay}",
    ]
    return "\n".join(parts)


def table(outcomes: Sequence[Outcome]) -> str:
    """Rounds by fault: a round with two faults counts in both lines."""
    header = (
        f"{'fault':<18}{'rounds':>8}{'moves':>7}{'whole, median':>15}{'most':>8}{'violations':>12}"
    )
    rows = [header]
    for kind in KINDS:
        mine = [outcome for outcome in outcomes if kind in outcome.kinds]
        if mine:
            rows.append(_row(kind, mine))
    return "\n".join([*rows, _row("all", outcomes)])


def _row(title: str, outcomes: Sequence[Outcome]) -> str:
    whole = [outcome.whole_seconds for outcome in outcomes]
    moves = sum(outcome.moves for outcome in outcomes)
    wrong = sum(not outcome.ok for outcome in outcomes)
    return (
        f"{title:<18}{len(outcomes):>8}{moves:>7}{statistics.median(whole):>13.1f} s"
        f"{max(whole):>6.1f} s{wrong:>12}"
    )
