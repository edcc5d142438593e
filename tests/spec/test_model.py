"""The model of the protocol holds within its bounds, and bugs planted in it are found."""

from __future__ import annotations

import re
import shutil

import pytest
from needs import needed

from spec.checking import SHORT, Run
from spec.spinning import MODEL, TOOLS

TWO = Run("two invocations", invocations=2, terms=3)
ONE = Run("one invocation")
ORDER = Run("an order", orders=1, terms=3)
LATE = Run("late reports", late=1)
LIVE = Run("it ends well", terms=1, live=True)
BUGS = {
    "VERSION": TWO,
    "REPORTS": ONE,
    "CLAIM": ONE,
    "SETTLE": TWO,
    "UNKNOWN": ONE,
    "PIN": ORDER,
    "END": ORDER,
    "RETRY": ONE,
    "STALE": LATE,
    "ANSWER": LIVE,
}
"""Each planted bug, and the run that finds it."""


@pytest.fixture(autouse=True)
def _tools() -> None:
    for tool in TOOLS:
        needed(tool, there=shutil.which(tool) is not None)


@pytest.mark.parametrize("run", SHORT, ids=lambda run: run.name)
def test_every_state_that_the_protocol_can_reach_is_safe_and_ends_well(run: Run) -> None:
    verdict = run.verdict()
    assert not verdict.violated
    assert verdict.states > 100_000, "the model has become smaller than it was"


@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_is_found(bug: str) -> None:
    assert BUGS[bug].verdict(f"BUG_{bug}").violated


def test_every_bug_of_the_model_is_planted_here() -> None:
    assert set(re.findall(r"BUG_(\w+)", MODEL.read_text())) == set(BUGS)
