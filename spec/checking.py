"""The runs that check the model: each is exhaustive within its bounds.

All features at once would need hundreds of millions of states, so that each run turns on those that
meet each other.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from spec.spinning import MODEL, Verdict, make, search

DEPTH = 3_000_000


@dataclass(frozen=True)
class Run:
    """One run: how many of each there are; `live` judges what comes of it once faults stop."""

    name: str
    invocations: int = 1
    orders: int = 0
    pauses: int = 0
    late: int = 0
    going: int = 0
    terms: int = 2
    quorum: int = 0
    nodes: int = 2
    live: bool = False

    @property
    def defines(self) -> tuple[str, ...]:
        """The macros of the model."""
        bounds = {
            "INVOCATIONS": self.invocations,
            "ORDERS": self.orders,
            "PAUSES": self.pauses,
            "LATE": self.late,
            "GOING": self.going,
            "TERMS": self.terms,
            "QUORUM": self.quorum,
            "NODES": self.nodes,
            "LIVE": self.live,
        }
        return tuple(f"{name}={int(value)}" for name, value in bounds.items())

    def verdict(self, *further: str) -> Verdict:
        """Has Spin judge it, with further macros, as of a planted bug."""
        with tempfile.TemporaryDirectory(prefix="eip-spec-") as folder:
            defines = (*self.defines, *further)
            verifier = make(
                MODEL, Path(folder), defines=defines, live=self.live, small=bool(further)
            )
            return search(verifier, f"-m{DEPTH}", *(("-a",) if self.live else ()))


SHORT = (
    Run("two invocations at once", invocations=2),
    Run("an operator's order", orders=1),
    Run("late reports, late calls of EC2", late=1),
    Run("a pause", pauses=1),
    Run("an instance goes away, one side is quorate", going=1, quorum=1),
    Run("three nodes", nodes=3),
    Run("it ends well: two invocations", invocations=2, terms=1, live=True),
    Run("it ends well: late things, an instance", late=1, going=1, terms=1, live=True),
)
"""Some seconds each: what the tests and `make spec` run."""

LONG = (
    Run("two invocations at once", invocations=2, terms=3),
    Run("an operator's order", orders=1, terms=3),
    Run("an order and a pause", orders=1, pauses=1),
    Run("late reports, late calls of EC2", late=1, terms=3),
    Run("... and an instance goes away", late=1, going=1),
    Run("an instance goes away", going=1, terms=3),
    Run("one side alone is quorate", quorum=1, terms=3),
    *SHORT[3:],
    Run("it ends well: an order and a pause", orders=1, pauses=1, terms=1, live=True),
    Run("it ends well: an order, late things", orders=1, late=1, terms=1, live=True),
)
"""Four minutes altogether, the longest 43 s."""


def check(runs: tuple[Run, ...]) -> Iterator[tuple[str, bool]]:
    """A line about each run, and whether it holds, as they come.

    Raises:
        ModelError: a run went out of its bounds of time or memory.
    """
    for run in runs:
        verdict = run.verdict()
        what = verdict.violated or "holds"
        yield (
            f"{run.name}: {what}; {verdict.states:,} states, {verdict.seconds:.1f} s",
            not verdict.violated,
        )
